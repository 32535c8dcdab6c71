import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from bench.dolos_toys import STUDY
from tamperscope.bench.dolos_study import Entry, Study, plain_study, read_study
from tamperscope.bench.plan import in_words
from tamperscope.errors import ConfigError, TamperscopeError, UnknownNameError

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_study_is_read_with_its_defaults(tmp_path: Path) -> None:
    study = read_study(write(tmp_path / "s.toml", STUDY))
    assert (study.title, study.home, study.split) == ("Colours", "red", "test")
    assert (study.jpeg_quality, study.limit) == (90, None)
    first = study.entries[0]
    assert (first.faces, first.weights) == ("celebahq", "full-red.safetensors")
    assert [entry.trained_on for entry in study.entries] == [
        "red", "green", "all but blue", "all but red", "red", "red",
    ]  # fmt: skip


def test_generators_in_words() -> None:
    universe = {"a", "b", "c"}
    assert in_words(["a"], {"a", "b"}) == "a"
    assert in_words(["a", "b"], universe) == "all but c"
    assert in_words(["a", "b", "c"], universe) == "a + b + c"
    assert in_words([], universe) == ""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'title = "Colours"',
            'titel = "Colours"',
            "unknown key of the study 'titel'; did you",
        ),
        ('title = "Colours"', "", "the study has no 'title': add it"),
        ('title = "Colours"', "title = 3", "study: title must be a string, got 3"),
        ('faces = ["celebahq"]', 'faces = "ffhq"', "study: faces must be a list of names, got 'f"),
        ('faces = ["celebahq"]', "faces = []", "faces is []: name at least one"),
        ('home = "red"', 'home = "rad"', "unknown home generator 'rad'; did you mean 'red'?"),
        ('home = "red"', 'home = "red"\nlimit = true', "study: limit must be a whole number"),
        ('home = "red"', 'home = "red"\nlimit = 0', "limit is 0: give at least 1"),
        ('home = "red"', 'home = "red"\njpeg_quality = 0', "jpeg_quality is 0: give 1 to 100"),
        ('setup = "weak-b"', 'setup = "weak-c"', "unknown setup of weak-red 'weak-c'; did you"),
        ('name = "full-green"', 'name = "full-red"', "two localizers are called 'full-red'"),
        ('name = "weak-red"', 'nome = "weak-red"', "unknown key of the localizer '[?]' 'nome'"),
        ('method = "dolos-other"', "", "the localizer 'other-red' has no 'method': add it"),
        ("title", "title =", "is not TOML"),
    ],
)
def test_a_wrong_study_is_explained(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "s.toml", STUDY.replace(old, new, 1))
    pattern = message.replace("[]", r"\[\]")
    with pytest.raises(TamperscopeError, match=pattern):
        read_study(path)


def test_a_study_needs_a_file_and_localizers(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the study .*gone\.toml \(No such file"):
        read_study(tmp_path / "gone.toml")
    head = STUDY.partition("[[")[0]
    with pytest.raises(ConfigError, match=r"no localizers: give each its table \[\[localizer\]\]"):
        read_study(write(tmp_path / "s.toml", head))


def test_methods_without_a_study() -> None:
    study = plain_study(
        ["dolos-a", "dolos-b"],
        faces=["celebahq"],
        generators=["red", "blue"],
        weights=[("dolos-b", "x/one.safetensors"), ("dolos-b", "x/two.safetensors")],
    )
    assert study.home == "red"
    assert [(e.name, e.weights) for e in study.entries] == [
        ("dolos-a", ""),
        ("dolos-b one", "x/one.safetensors"),
        ("dolos-b two", "x/two.safetensors"),
    ]
    with pytest.raises(ConfigError, match="weights are given for 'dolos-c', which is not measured"):
        plain_study(["dolos-a"], faces=["f"], generators=["g"], weights=[("dolos-c", "f")])


def test_a_set_up_is_one_of_three() -> None:
    with pytest.raises(UnknownNameError, match="known: full-c, weak-a, weak-b"):
        Entry(name="x", method="dolos-a", setup="full")
    study = Study(title="", faces=("f",), generators=("g",), home="g", entries=())
    with pytest.raises(ConfigError, match="generators is .*none of them twice"):
        replace(study, generators=("g", "g"))


def test_the_shipped_study_has_every_row_of_the_paper() -> None:
    path = BENCHMARKS / "dolos_study.toml"
    study = read_study(path)
    home = [e for e in study.entries if e.generators == (study.home,)]
    cells = {(e.method.removesuffix("-weak").removeprefix("dolos-"), e.setup) for e in home}
    methods = ("patches", "attention", "gradcam")
    assert cells == {(m, s) for m in methods for s in ("weak-a", "weak-b", "full-c")}
    assert all(e.method.endswith("-weak") == e.setup.startswith("weak") for e in study.entries)
    matrix = [e for e in study.entries if e.method == "dolos-patches"]
    singles = {e.generators[0] for e in matrix if len(e.generators) == 1}
    assert {e.trained_on for e in matrix} == singles | {f"all but {name}" for name in singles}
    assert singles < set(study.generators)
    for entry in study.entries:
        method = entry.method.removesuffix("-weak")
        assert entry.recipe == f"{method}-{entry.setup}"
    assert "localizer" in tomllib.loads(path.read_text(encoding="utf-8"))
