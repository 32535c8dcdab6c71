import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from bench.plans import Red, make_set
from tamperscope import catalog
from tamperscope.bench.protocols import PROTOCOLS

Cli = Callable[..., Result]
RESULTS = Path(__file__).parents[2] / "results"
QUICK = ("--no-plots", "--pictures", "1", "--no-references")


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch, here: Path) -> list[dict[str, Any]]:
    """Options of every method that was loaded; a set lies at ``set``."""
    asked: list[dict[str, Any]] = []

    def load(name: str, **options: Any) -> Red:
        asked.append({"name": name, **options})
        return Red(level=60 if options.get("preset") is None else 20)

    monkeypatch.setattr(catalog, "load", load)
    make_set(here / "set")
    (here / "set" / "images" / "f2.png").write_bytes(b"nothing")
    for path in sorted((here / "set" / "images").glob("a*.png")):
        path.rename(here / "set" / path.name)
    (here / "set" / "authentic").mkdir()
    for path in sorted((here / "set").glob("a*.png")):
        path.rename(here / "set" / "authentic" / path.name)
    return asked


@pytest.mark.usefixtures("loaded")
def test_methods_on_a_set(cli: Cli, here: Path) -> None:
    result = cli("bench", "focal", "--data", "folder=set", "-o", "out", "--pictures", "1")
    assert result.exit_code == 0, result.output
    # A line for the method and each of eight references.
    text = result.stdout
    assert text.startswith("# Benchmark\n\n## folder\n")
    assert text.count("\n| Reference: ") == 8
    assert len(text.splitlines()) < 20
    more = "in benchmark.md, or here with --full: paired differences, the rules"
    assert more in result.stderr.splitlines()
    full = cli("bench", "focal", "--data", "folder=set", "-o", "out", "--pictures", "1", "--full")
    # The best of the references is also beside the method's F1 and image AUC.
    assert full.stdout.count("| Reference: ") == 8 + 2
    assert full.stdout.rstrip("\n") == (here / "out" / "benchmark.md").read_text().rstrip("\n")
    assert more not in full.stderr
    assert "folder: images/f2: left out: " in result.stderr
    lines = result.stderr.splitlines()
    assert "written to out: benchmark.json, benchmark.csv, benchmark.md, benchmark.html" in lines
    assert "left out of every row: 1 pictures, named above and in the record" in lines
    record = json.loads((here / "out" / "benchmark.json").read_text(encoding="utf-8"))
    assert record["dataset"]["folder"]["excluded"][0]["id"] == "images/f2"
    assert (here / "out" / "cache" / "maps").is_dir()


def test_a_diagnosis(cli: Cli, here: Path, loaded: list[dict[str, Any]]) -> None:
    words = ["bench", "diagnose", "focal:fast", "--data", "folder=set", "--set", "cut=fixed"]
    result = cli(*words, "--shift", "-o", "out.json")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Forged pictures:\n")
    assert "| folder | all | " in result.stdout
    asked = {"name": "focal", "preset": "fast", "weights": None, "device": "auto", "cut": "fixed"}
    assert loaded == [asked]
    record = json.loads((here / "out.json").read_text(encoding="utf-8"))
    assert record["kind"] == "diagnosis"
    left = record["numbers"]["folder"]["excluded"]
    assert [one["id"] for one in left] == ["images/f2"]
    assert "folder: images/f2: left out: " in result.stderr
    assert json.loads(cli(*words, "--json").stdout)["numbers"]["folder"]["excluded"] == left


@pytest.mark.usefixtures("loaded")
def test_sets_have_labels_and_options(cli: Cli, here: Path) -> None:
    words = ["bench", "focal", "--data", "white:folder=set", "--data", "black:folder=set"]
    words += ["--set", "black.polarity=forged-black", "--json", *QUICK]
    result = cli(*words)
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert list(record["dataset"]) == ["white", "black"]
    assert record["dataset"]["black"]["notes"] == {"option polarity": "forged-black"}
    assert record["dataset"]["white"]["notes"] == {}
    white, black = (cell["numbers"]["f1"]["mean"] for cell in record["numbers"]["cells"])
    assert white != black


def test_presets_weights_protocols_and_perturbations(
    cli: Cli, loaded: list[dict[str, Any]], here: Path
) -> None:
    words = ["bench", "focal", "focal:as-released", "--data=folder=set", "--protocol", "all"]
    words += ["--perturb", "jpeg:070", "--perturb", "crop:0.9", "--weights", "focal=w.pt"]
    result = cli(*words, *QUICK, "--limit", "2", "--json", "--device", "cpu", "--rows")
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert [m["name"] for m in record["method"]["rows"]] == ["focal", "focal:as-released"]
    assert list(record["protocol"]) == list(PROTOCOLS)
    names = [c["name"] for c in record["numbers"]["conditions"]]
    assert names == ["none", "jpeg:70", "crop:0.9"]
    assert [(a["name"], a["preset"], a["weights"]) for a in loaded] == [
        ("focal", None, "w.pt"),
        ("focal", "as-released", None),
    ]
    assert {a["device"] for a in loaded} == {"cpu"}
    assert {row["id"] for row in record["rows"]} <= {"images/f1", "images/f3"} | {
        f"authentic/a{n}" for n in range(4, 7)
    }
    assert (here / "benchmark" / "benchmark.html").is_file()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (
            ["focal", "--data", "folder"],
            2,
            "--data 'folder': give NAME=ROOT or LABEL:NAME=ROOT, such as casia1=",
        ),
        (["focal", "--data", "nosuch=."], 2, "unknown dataset 'nosuch'"),
        (["focal", "--data", "folder=nowhere"], 1, "no such folder: nowhere"),
        (
            ["focal", "--data", "mine:folder=set", "--data", "mine:folder=set"],
            2,
            "--data 'mine:folder=set': this set was already given",
        ),
        (
            ["focal", "--data", "mine:folder=set", "--set", "min.polarity=forged-black"],
            2,
            "unknown set of --set 'min'; did you mean 'mine'",
        ),
        (
            ["focal", "--data", "folder=set", "--set", "folder.polarty=forged-black"],
            2,
            "unknown option of folder 'polarty'; did you mean 'polarity'",
        ),
        (
            ["focal", "--data", "folder=set", "--set", "folder=1"],
            2,
            "--set folder=1: give folder.OPTION=VALUE",
        ),
        (["fcal", "--data", "folder=set"], 2, "unknown method 'fcal'; did you mean 'focal'"),
        (
            ["focal", "--data", "folder=set", "--protocol", "our"],
            2,
            "unknown protocol 'our'; did you mean 'ours'",
        ),
        (
            ["focal", "--data", "folder=set", "--perturb", "jepg:70"],
            2,
            "unknown perturbation 'jepg'; did you mean 'jpeg'",
        ),
        (["focal", "--data", "folder=set", "--perturb", "jpeg:700"], 2, "give 1 to 100"),
        (
            ["focal", "--data", "folder=set", "--weights", "w.pt"],
            2,
            "--weights 'w.pt': give METHOD=FILE",
        ),
        (
            ["focal", "--data", "folder=set", "--weights", "fcal=w.pt"],
            2,
            "unknown method of --weights 'fcal'; did you mean 'focal'",
        ),
    ],
)
@pytest.mark.usefixtures("loaded")
def test_wrong_words_are_one_line(cli: Cli, words: list[str], code: int, message: str) -> None:
    result = cli("bench", *words)
    assert result.exit_code == code
    (line,) = result.stderr.splitlines()
    assert message in line


@pytest.mark.usefixtures("loaded")
def test_two_sets_of_one_reader_are_told_apart_by_their_folders(cli: Cli, here: Path) -> None:
    make_set(here / "more", forged=2, authentic=0)
    words = ("bench", "focal", "--data", "folder=set", "--data", "folder=more", *QUICK, "--json")
    record = json.loads(cli(*words).stdout)
    assert list(record["dataset"]) == ["folder", "folder (more)"]
    assert "already given" in cli(*words, "--data", "folder=more").stderr


@pytest.mark.usefixtures("loaded")
def test_comparing_gives_the_exit_code(cli: Cli, here: Path) -> None:
    assert cli("bench", "focal", "--data", "folder=set", *QUICK, "-o", "a").exit_code == 0
    good = here / "a" / "benchmark.json"
    record = json.loads(good.read_text(encoding="utf-8"))
    record["numbers"]["cells"][0]["numbers"]["f1"]["mean"] = -1
    record["numbers"]["values"] = []
    bad = here / "b.json"
    bad.write_text(json.dumps(record), encoding="utf-8")
    assert cli("bench", "--compare", good, good).exit_code == 0
    for words in (["--compare", good, bad], ["compare", good, bad]):
        result = cli("bench", *words)
        assert result.exit_code == 1
        assert "1 worse, 0 better" in result.stdout
    found = json.loads(cli("bench", "compare", good, bad, "--json").stdout)
    assert found["regressions"] == 1


@pytest.mark.usefixtures("loaded")
def test_what_cannot_be_compared_is_no_regression(cli: Cli, here: Path) -> None:
    assert cli("bench", "focal", "--data", "folder=set", *QUICK, "-o", "a").exit_code == 0
    good = here / "a" / "benchmark.json"
    (here / "text.json").write_text("no JSON", encoding="utf-8")
    (here / "foreign.json").write_text('{"a": 1}', encoding="utf-8")
    (here / "deep.json").write_text("[" * 100_000, encoding="utf-8")
    cut = {k: v for k, v in json.loads(good.read_bytes()).items() if k != "numbers"}
    (here / "cut.json").write_text(json.dumps(cut), encoding="utf-8")
    speed = RESULTS / "speed-focal-default.json"
    for file, message in (
        ("none.json", "no such file: none.json: give a record (JSON) that `tamperscope bench`"),
        (".", ". cannot be read (Is a directory): give a record"),
        ("text.json", "text.json is not JSON: give a record"),
        ("deep.json", "deep.json is not JSON: give a record"),
        ("foreign.json", "foreign.json is not a tamperscope-record: give a record"),
        ("cut.json", "cut.json has no numbers: run the benchmark again"),
        (speed, "speed-focal-default.json is a record of kind 'speed': give one of kind 'bench"),
        (RESULTS / "benchmark-main.json", "the two records hold no number of the same method"),
    ):
        for words in ((good, file), (file, good)):
            result = cli("bench", "compare", *words)
            assert result.exit_code == 2, file
            (line,) = result.stderr.splitlines()
            assert message in line


def test_what_cannot_be_explained_is_named(cli: Cli, here: Path) -> None:
    result = cli("bench", "explain", RESULTS / "focal-diagnosis.json")
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.endswith(
        "focal-diagnosis.json is a record of kind 'diagnosis': give one of kind 'benchmark', which "
        "`tamperscope bench run` writes"
    )
    gone = cli("bench", "explain", "gone.json")
    assert gone.exit_code == 2
    assert "no such file: gone.json" in gone.stderr


@pytest.mark.usefixtures("loaded")
def test_of_several_protocols_the_main_numbers_are_printed(cli: Cli) -> None:
    words = ("bench", "focal", "--data", "folder=set", *QUICK, "--protocol", "all")
    result = cli(*words, "--perturb", "jpeg:70")
    assert result.exit_code == 0, result.output
    (row,) = (line for line in result.stdout.splitlines() if line.startswith("| Red is forged |"))
    assert row.count(" | ") == 1 + len(PROTOCOLS)
    assert "| Method | Set | ours: F1 | focal: macro-F1 (grid) |" in result.stdout
    assert "1 perturbations, every number of each protocol, the rules" in result.stderr


@pytest.mark.usefixtures("loaded")
def test_explaining_a_record(cli: Cli) -> None:
    made = cli("bench", "focal", "--data", "folder=set", *QUICK, "--protocol", "all", "-o", "a")
    assert made.exit_code == 0, made.output
    result = cli("bench", "explain", "a/benchmark.json")
    assert result.exit_code == 0, result.output
    assert "Red is forged on folder" in result.stdout
    assert "| focal | macro-F1 (grid) |" in result.stdout
    found = json.loads(cli("bench", "explain", "a/benchmark.json", "--json").stdout)
    assert found[0]["dataset"] == "folder"
    assert cli("bench", "explain", "a/benchmark.json", "-m", "fcal").exit_code == 2


def test_a_method_alone_is_told_what_is_missing(cli: Cli) -> None:
    result = cli("bench", "focal")
    assert result.exit_code == 2
    assert "--data" in result.stderr


def test_content_passes_everything_on(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from tamperscope.bench import content

    seen: dict[str, Any] = {}

    def main_content(
        methods: list[str], root: Path, output: Path, **options: Any
    ) -> list[dict[str, object]]:
        seen.update(options, methods=methods, root=root, output=output)
        options["progress"](0, 1, "a")
        return [{"kind": "content-overlap"}]

    monkeypatch.setattr(content, "main_content", main_content)
    words = ("bench", "content", "focal", "--data", "set", "--limit", "3", "-o", "r")
    result = cli(*words, "--held-back", "0.1", "--no-references", "--json")
    assert json.loads(result.stdout) == [{"kind": "content-overlap"}]
    assert (seen["methods"], seen["root"], seen["output"]) == (["focal"], Path("set"), Path("r"))
    assert (seen["limit"], seen["share"], seen["references"]) == (3, 0.1, False)


def test_content_of_photographs(cli: Cli, here: Path) -> None:
    made = make_set(here / "set", forged=2, authentic=0)
    assert len(made.samples) == 2
    result = cli("bench", "content", "full", "--data", "set", "--no-references", "-o", "out")
    assert result.exit_code == 0, result.output
    assert "| Full mask | 2 |" in result.stdout
    assert (here / "out" / "objects-full.json").is_file()
    gone = cli("bench", "content", "full", "--data", "nowhere")
    assert gone.exit_code == 1
    (line,) = gone.stderr.splitlines()
    assert "no folder nowhere" in line or "nowhere" in line
