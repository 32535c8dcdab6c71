import dataclasses
import enum
import json
import math
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamperscope import __version__, provenance
from tamperscope.errors import ResultError
from tamperscope.provenance import (
    Provenance,
    Stopwatch,
    config_digest,
    json_safe,
    tool_commit,
    tool_version,
)


def make(**changes: Any) -> Provenance:
    values: dict[str, Any] = {
        "version": tool_version(),
        "commit": None,
        "method": "focal",
        "config": {"clusters": 2, "opening": False},
        "weights": {"focal-compact": "0" * 64},
        "device": "cpu",
        "precision": "fp32",
        "seed": 0,
        "seconds": {"decode": 0.25},
        "input_id": "photo.jpg",
        "input_sha256": "f" * 64,
        "input_size": (4, 5),
    }
    return Provenance(**(values | changes))


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass(frozen=True)
class Settings:
    size: tuple[int, int] = (1024, 1024)
    colour: Colour = Colour.RED
    folder: Path = Path("a/b")
    names: frozenset[str] = frozenset({"b", "a"})
    scale: Any = None
    grid: Any = None


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON_VALUES, max_size=4), st.integers(-(2**63), 2**63))
def test_survives_json_unchanged(notes: dict[str, Any], seed: int) -> None:
    before = make(notes=notes, seed=seed)
    after = Provenance.from_dict(json.loads(json.dumps(before.to_dict(), allow_nan=False)))
    assert after == before
    assert isinstance(after.input_size, tuple)


def test_rich_values_become_plain_json() -> None:
    stored = make(config={"s": Settings(scale=np.float32(0.5), grid=np.array([[1, 2]]))}).config[
        "s"
    ]
    assert stored == {
        "size": [1024, 1024],
        "colour": "red",
        "folder": "a/b",
        "names": ["a", "b"],
        "scale": 0.5,
        "grid": [[1, 2]],
    }
    assert type(json_safe(np.int64(3))) is int
    assert type(json_safe(np.bool_(True))) is bool


@pytest.mark.parametrize("number", [math.nan, math.inf, np.float32("-inf")])
def test_refuses_numbers_json_has_not(number: float) -> None:
    with pytest.raises(ResultError, match=r"provenance\.notes\.a\[1\] is .*store None instead"):
        make(notes={"a": [0.0, number]})


def test_refuses_values_json_has_not() -> None:
    with pytest.raises(ResultError, match="config is a object, which JSON cannot hold"):
        json_safe(object(), where="config")
    with pytest.raises(ResultError, match="has the key 3: JSON keys must be strings"):
        json_safe({3: 4})
    with pytest.raises(ResultError, match="provenance.config must be a dict, got list"):
        make(config=[1])


@pytest.mark.parametrize("size", [(4,), (4, 0), (-1, 5), (1, 2, 3)])
def test_refuses_sizes_that_are_none(size: tuple[int, ...]) -> None:
    with pytest.raises(ResultError, match=r"input_size must be \(h, w\), both positive"):
        make(input_size=size)


@pytest.mark.parametrize("seed", [1.5, True, "1", None])
def test_refuses_seeds_that_are_not_integers(seed: Any) -> None:
    with pytest.raises(ResultError, match="seed must hold integers"):
        make(seed=seed)


def test_from_dict_names_missing_and_unknown_fields() -> None:
    values = make().to_dict()
    del values["seed"]
    values["sed"] = 1
    with pytest.raises(ResultError, match=r"missing or unknown fields \['sed', 'seed'\]"):
        Provenance.from_dict(values)


def test_from_dict_refuses_malformed_fields() -> None:
    with pytest.raises(ResultError, match="provenance is malformed"):
        Provenance.from_dict({**make().to_dict(), "input_size": 3})


def test_config_digest_ignores_order_and_sees_values() -> None:
    assert config_digest({"a": 1, "b": (1, 2)}) == config_digest({"b": [1, 2], "a": 1})
    assert config_digest({"a": 1}) != config_digest({"a": 1.5})
    assert config_digest(Settings()) != config_digest(Settings(size=(1, 1)))
    assert re.fullmatch("[0-9a-f]{64}", config_digest({}))


def test_config_digest_does_not_change_between_versions() -> None:
    # --resume compares digests that an earlier run wrote.
    expected = "43258cff783fe7036d8a43033f830adfc60ec037382473548ac742b888292777"
    assert config_digest({"b": 2, "a": 1}) == expected


def test_stopwatch_adds_up_and_keeps_order(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0.0, 1.0, 5.0, 5.5, 10.0, 12.0])
    monkeypatch.setattr(provenance.time, "perf_counter", lambda: next(ticks))
    watch = Stopwatch()
    with watch.stage("b"):
        pass
    with watch.stage("a"):
        pass
    with pytest.raises(RuntimeError, match="inside"), watch.stage("b"):
        raise RuntimeError("inside")
    assert list(watch.seconds.items()) == [("b", 3.0), ("a", 0.5)]


def test_stopwatch_gives_a_copy() -> None:
    watch = Stopwatch()
    watch.seconds["x"] = 1.0
    assert watch.seconds == {}


def test_version_is_the_packages() -> None:
    assert tool_version() == __version__


def test_commit_is_a_revision_or_unknown() -> None:
    commit = tool_commit()
    assert commit is None or re.fullmatch(r"[0-9a-f]{40}(-dirty)?", commit)


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_commit_of_a_checkout(tmp_path: Path) -> None:
    source = tmp_path / "src" / "tamperscope" / "x.py"
    source.parent.mkdir(parents=True)
    source.write_text("a = 1\n")
    assert provenance._checkout_commit(tmp_path) is None
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    git(tmp_path, "tag", "v9")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert provenance._checkout_commit(tmp_path) == head
    source.write_text("a = 2\n")
    assert provenance._checkout_commit(tmp_path) == f"{head}-dirty"


def test_the_commit_is_ours_inside_a_git_hook_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads = {}
    for name in ("ours", "theirs"):
        source = tmp_path / name / "src" / "tamperscope" / "x.py"
        source.parent.mkdir(parents=True)
        source.write_text(f"a = {name!r}\n")
        git(tmp_path / name, "init", "-q")
        git(tmp_path / name, "add", ".")
        git(tmp_path / name, "commit", "-q", "-m", name)
        heads[name] = git(tmp_path / name, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "theirs" / ".git"))
    assert provenance._checkout_commit(tmp_path / "ours") == heads["ours"] != heads["theirs"]


def test_somebody_elses_repository_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "README").write_text("theirs")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    assert provenance._checkout_commit(tmp_path) is None


def test_commit_of_an_install_from_a_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    class Installed:
        text: str | None = json.dumps({"url": "x", "vcs_info": {"commit_id": "c" * 40}})

        def read_text(self, name: str) -> str | None:
            assert name == "direct_url.json"
            return self.text

    monkeypatch.setattr(provenance.metadata, "distribution", lambda name: Installed())
    assert provenance._installed_commit() == "c" * 40
    for text in (None, "{}", "[]", "not json", '{"vcs_info": {}}'):
        Installed.text = text
        assert provenance._installed_commit() is None
