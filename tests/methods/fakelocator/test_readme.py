"""The tables of options in the method's README are those of the code."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import tamperscope.methods.fakelocator.config as module
from tamperscope.methods.fakelocator.config import PRESETS, FakeLocatorConfig
from tamperscope.methods.fakelocator.network import _DEFAULTS

README = (Path(module.__file__).parent / "README.md").read_text(encoding="utf-8")


def table(heading: str) -> dict[str, str]:
    section = README.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.+?) \| \S", section, re.MULTILINE))


def shown(value: Any) -> str:
    return f"`{value}`" if isinstance(value, str) else str(value).lower()


def test_every_option_with_its_default() -> None:
    expected = {f.name: shown(f.default) for f in fields(FakeLocatorConfig)}
    assert table("Options") == expected
    assert list(table("Options")) == list(expected)


def test_every_option_of_the_network_with_its_default() -> None:
    rows = table("Network")
    assert list(rows) == list(_DEFAULTS)
    for name in ("architecture", "encoder", "encoder_depth", "attention", "attention_stage"):
        assert rows[name] == shown(_DEFAULTS[name])


def test_every_preset() -> None:
    assert re.findall(r"^- `([\w-]+)`: ", README, re.MULTILINE) == list(PRESETS)
