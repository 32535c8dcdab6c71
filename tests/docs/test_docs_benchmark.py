"""The commands on the page about benchmarks are those that made the records."""

import json
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "benchmark.md").read_text(encoding="utf-8")
OWN = ("--workers", "--cache", "--output", "-o")
"""Options that say where and how fast, not what."""
PLOTS = "--no-plots"
"""Pictures beside the record, none in it."""


def documented() -> dict[str, list[str]]:
    """Words after ``bench`` of every command with a record, by the record's name."""
    (block,) = re.findall(r"^## The records.*?```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    lines = block.replace("\\\n", " ").splitlines()
    commands = [shlex.split(line) for line in lines if line.startswith("tamperscope bench ")]
    return {words[words.index("--output") + 1].rpartition("/")[2]: words[2:] for words in commands}


def plain(words: list[str]) -> list[str]:
    """Without what a machine adds: options of its own and the folders above a set."""
    kept = [
        word
        for before, word in zip(["", *words], words, strict=False)
        if word not in (*OWN, PLOTS) and before not in OWN
    ]
    return [re.sub(r"=.*/", "=", word) for word in kept]


@pytest.mark.parametrize("name", documented())
def test_the_command_is_the_one_that_made_the_record(name: str) -> None:
    record = json.loads((ROOT / "results" / f"{name}.json").read_text(encoding="utf-8"))
    program, verb, run, *words = shlex.split(record["environment"]["command"])
    assert (verb, run) == ("bench", "run"), program
    assert plain(documented()[name]) == plain(words)


def test_there_are_such_commands() -> None:
    made = {"benchmark-main", "benchmark-fast", "benchmark-robustness", "benchmark-faces"}
    assert set(documented()) == made
