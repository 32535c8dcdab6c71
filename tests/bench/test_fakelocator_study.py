from pathlib import Path

import pytest

from bench.fakelocator_toys import STUDY
from tamperscope.bench.fakelocator_study import (
    ROBUSTNESS,
    Entry,
    Study,
    plain_study,
    read_study,
)
from tamperscope.errors import ConfigError, TamperscopeError, UnknownNameError
from tamperscope.train import load_recipe

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_study_is_read_with_its_defaults(tmp_path: Path) -> None:
    study = read_study(write(tmp_path / "s.toml", STUDY))
    assert (study.faces, study.split, study.variant) == ("celebahq", "test", "whole")
    assert (study.jpeg_quality, study.limit, study.draws) == (90, None, 10)
    first = study.entries[0]
    assert (first.method, first.weights) == ("fakelocator", "red-raw.safetensors")
    assert [entry.trained_on for entry in study.entries] == ["red", "red", "green", "red", "red"]
    assert [entry.name for entry in study.robust_entries()] == ["red-partial"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('home = "red"', 'home = "blue"', "unknown home generator 'blue'; known: green, red"),
        ('home = "red"', 'home = "red"\nvariant = "part"', "unknown variant 'part'; known: region"),
        ('home = "red"', 'home = "red"\ndraws = 0', "draws is 0: give at least 1"),
        ("robust_limit = 2", "robust_limit = 0", "robust_limit is 0: give at least 1"),
        ('["red-partial"]', '["red-parted"]', "unknown localizer of the study 'red-parted'; did"),
        ('"noise:9"', '"nose:9"', "unknown perturbation 'nose'; did you mean 'noise'?"),
        ('"noise:9"', '"resize:0.5"', "resize:0.5 changes the size of pictures, which fakeness"),
        ('augment = "real"', 'augment = "fake"', "unknown augment of red-partial 'fake'; known: b"),
        ('attention = "parts"', 'attention = "full"', "unknown attention of hair-attention 'full'"),
        ('regions = ["hair"]', 'regions = ["hear"]', "unknown face region 'hear'; did you mean"),
        ('title = "Tints"', "", "the study has no 'title': add it"),
        ('name = "green-raw"', 'name = "red-raw"', "two localizers are called 'red-raw'"),
        ('name = "green-raw"', 'name = "green-raw"\noptions = ["x"]', "option 'x' of green-raw: w"),
    ],
)
def test_what_is_wrong_with_a_study(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in STUDY
    with pytest.raises(TamperscopeError, match=message):
        read_study(write(tmp_path / "s.toml", STUDY.replace(old, new, 1)))


def test_a_study_without_a_file() -> None:
    study = plain_study(("a", "b"), {})
    assert (study.home, study.entries[0].weights) == ("a", "")
    assert study.robust_entries() == study.entries
    named = plain_study(("a",), {"mine": Path("x.safetensors")})
    assert [(e.name, e.weights) for e in named.entries] == [("mine", "x.safetensors")]
    with pytest.raises(ConfigError, match=r"generators is \[\]: name at least one"):
        plain_study((), {})


def test_the_perturbations_are_those_of_the_paper() -> None:
    study = Study(title="", generators=("g",), home="g", entries=(Entry(name="x"),))
    assert study.perturbations == ROBUSTNESS
    assert {f"jpeg:{quality}" for quality in range(20, 101, 10)} < set(ROBUSTNESS)
    with pytest.raises(UnknownNameError, match="unknown face region"):
        Entry(name="x", regions=("elbow",))


def test_the_shipped_study_has_every_table() -> None:
    study = read_study(BENCHMARKS / "fakelocator_study.toml")
    shipped = [entry for entry in study.entries if not entry.weights]
    assert [set(entry.generators) >= set(study.generators) for entry in shipped] == [True]
    one = [entry for entry in study.entries if entry.weights and not entry.regions]
    pairs = {(entry.generators, entry.augment) for entry in one}
    trained = {generators for generators, _ in pairs}
    assert pairs == {(g, augment) for g in trained for augment in ("none", "real")}
    assert {len(generators) for generators in trained} == {1}
    assert trained <= {(name,) for name in study.generators}
    attributes = [entry for entry in study.entries if entry.regions]
    assert {entry.attention for entry in attributes} == {"none", "parts"}
    assert len({entry.regions for entry in attributes}) == 1
    assert shipped[0].recipe == ""
    for entry in study.entries:
        if entry in shipped:
            continue
        assert load_recipe(entry.recipe, list(entry.settings)).task == "fakelocator"
