import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage
from typer.testing import Result

from cli.bright import BrightIsForged
from tamperscope.cli import _inputs, _outputs
from tamperscope.errors import DataError
from tamperscope.image import read_image
from tamperscope.result import Localization

Cli = Callable[..., Result]
Picture = Callable[..., Path]
OUT = Path("tamperscope-out")
pytestmark = pytest.mark.usefixtures("method")


def names(folder: Path = OUT) -> set[str]:
    return {path.name for path in folder.iterdir()}


def lines(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_one_picture_gives_all_files_at_its_own_size(cli: Cli, picture: Picture) -> None:
    picture("photo.png", size=(24, 32))
    result = cli("localize", "photo.png")
    assert result.exit_code == 0
    assert names() == {
        f"photo{end}" for end in (".mask.png", ".heatmap.png", ".overlay.png", ".json", ".npz")
    }
    mask = read_image(OUT / "photo.mask.png").pixels[..., 0]
    assert mask.shape == (24, 32)
    assert set(np.unique(mask)) == {0, 255}
    assert (mask[6:12, 8:16] == 255).all()
    assert (mask == 255).sum() == 48
    for kind in ("heatmap", "overlay"):
        assert read_image(OUT / f"photo.{kind}.png").size == (24, 32)
    assert np.array_equal(Localization.load(OUT / "photo.npz").mask, mask == 255)


def test_the_record_says_what_and_how(cli: Cli, picture: Picture) -> None:
    path = picture("photo.png")
    cli("localize", "photo.png")
    record = json.loads((OUT / "photo.json").read_text())
    assert record["source"] == str(path.resolve())
    assert record["verdict"] == "suspicious region: 6.2 % of the picture, score 0.98"
    assert record["outputs"] == {
        "mask": "photo.mask.png",
        "heatmap": "photo.heatmap.png",
        "overlay": "photo.overlay.png",
        "scores": "photo.npz",
    }
    assert record["provenance"]["config"] == {"level": 0.5}
    assert record["provenance"]["input_id"] == "photo.png"
    assert len(record["provenance"]["input_sha256"]) == 64


def test_summary_never_says_authentic_and_shows_where(cli: Cli, picture: Picture) -> None:
    picture("clean.png", bright=0)
    result = cli("localize", "clean.png", "-o", "there")
    assert "nothing found (this does not prove that the picture is authentic)" in result.stdout
    assert f"there{os.sep}clean.*" in result.stdout
    assert result.stderr == ""


def test_json_is_all_there_is_on_stdout(cli: Cli, picture: Picture, here: Path) -> None:
    picture("a.png")
    (here / "b.jpg").write_bytes(b"not a picture")
    result = cli("localize", "a.png", "b.jpg", "--json")
    assert result.exit_code == 1
    good, bad = lines(result)
    assert good["skipped"] is False
    assert good["folder"] == "tamperscope-out"
    assert good["outputs"]["mask"] == "a.mask.png"  # type: ignore[index]
    assert bad["source"] == str((here / "b.jpg").resolve())
    assert "is not a picture" in str(bad["error"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"hello", "not a picture"),
        (None, "no such file or folder; check the path"),
    ],
)
def test_one_bad_file_is_one_line_and_the_rest_goes_on(
    cli: Cli, picture: Picture, here: Path, content: bytes | None, message: str
) -> None:
    picture("a.png")
    picture("c.png")
    if content is not None:
        (here / "b.jpg").write_bytes(content)
    result = cli("localize", "a.png", "b.jpg", "c.png")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("b.jpg: ")
    assert line.count("b.jpg") == 1
    assert message in line
    assert {"a.json", "c.json"} <= names()
    assert not any(name.startswith("b") for name in names())


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "photo.png: not enough memory; give fewer pixels"),
        (PermissionError(13, "Permission denied"), "photo.png: Permission denied; check the path"),
        (
            ZeroDivisionError("division\nby zero"),
            "photo.png: unexpected ZeroDivisionError: division by zero (a bug in tamperscope",
        ),
    ],
)
def test_no_failure_stops_the_others_or_shows_a_traceback(
    cli: Cli, picture: Picture, method: BrightIsForged, error: Exception, message: str
) -> None:
    picture("photo.png")
    picture("rest.png", bright=0)

    def fail(name: str) -> None:
        if name == "photo.png":
            raise error

    method.before = fail
    result = cli("localize", "photo.png", "rest.png")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(message)
    assert "rest.json" in names()


def test_debug_shows_the_traceback(cli: Cli, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAMPERSCOPE_DEBUG", "1")
    (here / "b.jpg").write_bytes(b"hello")
    assert "Traceback (most recent call last)" in cli("localize", "b.jpg").stderr


def test_names_cannot_command_the_terminal(cli: Cli, here: Path) -> None:
    try:
        (here / "a\x1b[2J[red].jpg").write_bytes(b"hello")
    except OSError:
        pytest.skip("this file system refuses such names")
    result = cli("localize", "a\x1b[2J[red].jpg")
    assert "\x1b" not in result.output
    assert result.stderr.startswith("a\\x1b[2J[red].jpg: ")


def test_hostile_and_undecodable_names_go_all_the_way(cli: Cli, picture: Picture) -> None:
    try:
        picture('<img src=x onerror=1>"&.png')
        picture(os.fsdecode(b"caf\xe9.png"))
    except (OSError, UnicodeEncodeError):
        pytest.skip("this file system refuses such names")
    result = cli("localize", ".", "--report", "--json")
    assert result.exit_code == 0, result.output
    assert len(lines(result)) == 2
    assert "<img src=x" not in (OUT / "index.html").read_text()
    assert cli("localize", ".", "--report", "--resume").exit_code == 0


def test_a_name_of_the_longest_kind_still_fits(cli: Cli, picture: Picture) -> None:
    picture("x" * 250 + ".png")
    assert cli("localize", ".").exit_code == 0
    assert all(len(name) < 140 for name in names())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["localize"], 2, "Missing argument"),
        (["localize", "none.png"], 2, "none.png: no such file or folder; check the path"),
        (["localize", "empty"], 2, "empty: no pictures in this folder; --recursive looks"),
        (["localize", "*.png"], 2, "*.png: no picture matches this pattern"),
        (["localize", "none.png"], 2, "tamperscope: nothing to do: no picture was found"),
        (["localize", "a.png", "--max-pixels", "0"], 2, "max-pixels"),
        (["localize", "a.png", "--set", "level"], 2, "--set takes key=value, got 'level'"),
        (["localize", "a.png", "--set", "=1"], 2, "--set takes key=value, got '=1'"),
        (["localize", "a.png", "--set", "device=cpu"], 2, "no setting of the method; use --device"),
        (["localize", "a.png", "--set", "name=x"], 2, "no setting of the method; use --method"),
        (["localize", "a.png", "--set", "max_pixels=9"], 2, "of the method; use --max-pixels"),
        (["localize", "a.png", "--set", "level=high"], 2, "write --set level=0.5"),
    ],
)
def test_wrong_usage_is_code_2(
    cli: Cli, here: Path, arguments: list[str], code: int, message: str
) -> None:
    (here / "empty").mkdir()
    if "a.png" in arguments:
        PILImage.new("RGB", (4, 4)).save(here / "a.png")
    result = cli(*arguments)
    assert result.exit_code == code
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not OUT.exists()


def test_an_unknown_method_is_one_line_with_the_nearest(
    cli: Cli, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    path = picture("a.png")
    result = cli("localize", path, "--method", "fcal", "-o", path.parent / "out")
    assert result.exit_code == 2
    assert result.stderr.startswith(
        "tamperscope: unknown method 'fcal'; did you mean 'focal'? known: "
    )


def test_options_reach_the_method(cli: Cli, picture: Picture, method: BrightIsForged) -> None:
    picture("a.png")
    cli("localize", "a.png", "--set", "level=0.25", "--weights", "b" * 64, "--max-pixels", "1000")
    assert (method.level, method.weights, method.max_pixels) == (0.25, "b" * 64, 1000)


def test_pictures_over_the_limit_are_refused(cli: Cli, picture: Picture) -> None:
    picture("a.png", size=(24, 32))
    result = cli("localize", "a.png", "--max-pixels", "767")
    assert result.exit_code == 1
    assert "768" in result.stderr or "767" in result.stderr
    assert cli("localize", "a.png", "--max-pixels", "768").exit_code == 0


# ------------------------------------------------------------------------------------ inputs


def test_folders_patterns_and_repetitions(here: Path, picture: Picture) -> None:
    for name in ("b.png", "a.JPG", "in/c.webp", "in/deep/d.tif", ".hidden/e.png", "out/f.png"):
        picture(name)
    (here / "notes.txt").write_text("")
    (here / ".g.png").write_bytes(b"")

    def found(*asked: str, recursive: bool = False) -> list[str]:
        pictures = _inputs.find_pictures(asked, recursive=recursive, skip=Path("out")).pictures
        return [path.as_posix() for path in pictures]

    assert found(".") == ["a.JPG", "b.png"]
    assert found(".", recursive=True) == ["a.JPG", "b.png", "in/c.webp", "in/deep/d.tif"]
    assert found("in", ".") == ["in/c.webp", "a.JPG", "b.png"]
    assert found("b.png", "./b.png", ".") == ["b.png", "a.JPG"]
    assert found("**/*.tif") == ["in/deep/d.tif"]
    assert found("*.png") == ["b.png"]
    assert found("*/*.png") == []
    assert found("notes.txt") == ["notes.txt"]
    assert found("out/f.png") == ["out/f.png"]


def test_a_name_with_brackets_is_a_file_before_it_is_a_pattern(
    here: Path, picture: Picture
) -> None:
    picture("a[1].png")
    found = _inputs.find_pictures(["a[1].png"], recursive=False, skip=here / "out")
    assert [path.name for path in found.pictures] == ["a[1].png"]


def test_problems_name_what_was_asked(here: Path) -> None:
    found = _inputs.find_pictures(["x*", "y"], recursive=False, skip=here / "out")
    assert [name for name, _ in found.problems] == ["x*", "y"]
    assert all(isinstance(error, DataError) for _, error in found.problems)


def test_folders_are_searched_for_every_kind_of_picture(cli: Cli, picture: Picture) -> None:
    kinds = ("pbm", "pnm", "pgm", "ppm", "j2k", "jp2")
    for kind in kinds:
        picture(f"in/{kind}.{kind}")
    result = cli("localize", "in", "--json")
    assert result.exit_code == 0, result.output
    assert {line["flagged"] for line in lines(result)} == {True}
    assert {f"{kind}.json" for kind in kinds} <= names()


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders of this name cannot be listed, whoever runs the tests."""
    scandir = os.scandir

    def refuse(path: Any = ".") -> Any:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)


@pytest.mark.usefixtures("locked")
def test_what_cannot_be_looked_at_is_one_line_and_the_rest_goes_on(
    cli: Cli, picture: Picture, here: Path
) -> None:
    picture("locked/x.png")
    picture("a.png")
    long = "x" * 300 + ".png"
    (here / "loop.png").symlink_to("loop.png")
    (here / "one").symlink_to("two")
    (here / "two").symlink_to("one")
    bad = ("loop.png", long, "locked", "one/b.png")
    result = cli("localize", *bad, "a.png", "--json")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"{name}: cannot be looked at ({reason}); check the path and its permissions"
        for name, reason in zip(
            bad[:3],
            ("it is a link that leads to itself", "File name too long", "Permission denied"),
            strict=True,
        )
    ] + ["one/b.png: no such file or folder; check the path"]
    assert [line["flagged"] for line in lines(result)] == [True]


@pytest.mark.usefixtures("locked")
def test_folders_inside_that_cannot_be_looked_at_are_named(cli: Cli, picture: Picture) -> None:
    picture("in/deep/locked/x.png")
    picture("in/deep/a.png")
    result = cli("localize", "in", "--recursive", "--json")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("in/deep/locked: cannot be looked at (Permission denied); check the")
    assert [Path(str(line["source"])).name for line in lines(result)] == ["a.png"]
    alone = cli("localize", "in/deep/locked", "--recursive")
    assert alone.exit_code == 2
    assert "no pictures in this folder" not in alone.stderr


# ------------------------------------------------------------------------------------- names


def test_equal_stems_never_overwrite_each_other(cli: Cli, picture: Picture) -> None:
    picture("in/x/p.png", bright=0)
    picture("in/y/p.png")
    picture("in/y/p.jpg")
    picture("in/y/P.webp")
    assert cli("localize", "in", "-r").exit_code == 0
    stems = {name.removesuffix(".npz") for name in names() if name.endswith(".npz")}
    assert stems == {"p", "y__P.webp", "y__p.jpg", "y__p.png"}
    sources = {json.loads((OUT / f"{stem}.json").read_text())["source"] for stem in stems}
    assert len(sources) == 4


def test_a_later_call_does_not_overwrite_another_picture(cli: Cli, picture: Picture) -> None:
    picture("x/p.png", bright=0)
    picture("y/p.png")
    cli("localize", "x/p.png")
    cli("localize", "y/p.png")
    assert {name for name in names() if name.endswith(".json")} == {"p.json", "p.png.json"}
    assert json.loads((OUT / "p.json").read_text())["flagged"] is False
    cli("localize", "y/p.png")
    assert len([name for name in names() if name.endswith(".json")]) == 2


def test_pictures_and_files_of_others_are_never_overwritten(
    cli: Cli, picture: Picture, here: Path
) -> None:
    picture("a.png")
    picture("a.mask.png", bright=0)
    picture("b.png")
    (here / "b.json").write_text('{"license": "mine"}')
    picture("c.png")
    (here / "c.npz").write_bytes(b"somebody's features")
    kept = {path: path.read_bytes() for path in here.iterdir()}
    for _ in range(2):
        assert cli("localize", "a.png", "a.mask.png", "b.png", "c.png", "-o", ".").exit_code == 0
        assert {path: path.read_bytes() for path in kept} == kept
        stems = {p.name.removesuffix(".npz") for p in here.glob("*.npz")}
        assert stems == {"a.png", "a.mask", "b.png", "c.png", "c"}
    assert cli("localize", "c.png", "-o", ".", "--resume").stdout.count("done before") == 1


def test_a_foreign_index_is_not_replaced(cli: Cli, picture: Picture, here: Path) -> None:
    picture("a.png")
    page = here / "site" / "index.html"
    page.parent.mkdir()
    page.write_text("<h1>my site</h1>")
    result = cli("localize", "a.png", "-o", "site", "--report")
    assert result.exit_code == 2
    assert "would be replaced: choose another folder with --output" in result.stderr
    assert page.read_text() == "<h1>my site</h1>"
    page.unlink()
    for _ in range(2):
        assert cli("localize", "a.png", "-o", "site", "--report").exit_code == 0


def test_a_folder_in_the_output_folder_is_named_as_the_reason(cli: Cli, picture: Picture) -> None:
    picture("photos/a.png")
    for output in ("photos", "."):
        result = cli("localize", "photos", "-o", output)
        assert result.exit_code == 2
        assert "photos: lies in the output folder, where no pictures are looked" in result.stderr


def test_when_the_relative_path_is_taken_too_a_hash_decides(here: Path, picture: Picture) -> None:
    pictures = [picture(name) for name in ("p.png", "a/p.png", "a__p.png.png", "b/a__p.png.png")]
    stems = _outputs.Names(here / "out", [pictures[0], pictures[2], pictures[1], pictures[3]])
    assert stems[pictures[0]] == "p"
    assert stems[pictures[2]] == "a__p.png"
    assert stems[pictures[1]].startswith("a__p.png-")
    assert stems[pictures[3]] == "b__a__p.png.png"


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("index.png", "index.png"),
        ("a:b.png", "a_b-"),
        ("...png", "picture-"),
        ("é.png", "é"),
        ("CON.png", "_CON-"),
    ],
)
def test_awkward_stems(here: Path, name: str, start: str) -> None:
    path = here / name
    stem = _outputs.Names(here / "out", [path])[path]
    assert stem.startswith(start)
    assert stem == Path(stem).name


# ------------------------------------------------------------------------------------ resume


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_resume_goes_by_content(cli: Cli, picture: Picture, method: BrightIsForged) -> None:
    first = picture("a.png")
    cli("localize", "a.png")
    first.rename(first.with_name("renamed.png"))
    result = cli("localize", "renamed.png", "--resume", "--json")
    assert result.exit_code == 0
    assert method.calls == ["a.png"]
    (line,) = lines(result)
    assert (line["skipped"], line["flagged"]) == (True, True)


@pytest.mark.parametrize("order", [("a.png", "b.png"), ("b.png", "a.png")])
def test_resume_lends_no_result_that_is_overwritten(
    cli: Cli, picture: Picture, method: BrightIsForged, order: tuple[str, str]
) -> None:
    first = picture("a.png")
    cli("localize", "a.png")
    renamed = first.rename(first.with_name("b.png"))
    picture("a.png", bright=0)
    result = cli("localize", *order, "--resume", "--report", "--json")
    assert result.exit_code == 0
    assert method.calls == ["a.png", *order]
    for path, flagged in ((first, False), (renamed, True)):
        record = json.loads((OUT / f"{path.stem}.json").read_text())
        assert record["provenance"]["input_sha256"] == digest(path)
        assert record["source"] == str(path)
        saved = Localization.load(OUT / f"{path.stem}.npz")
        assert record["flagged"] == saved.flagged == saved.mask.any() == flagged
    for line, name in zip(lines(result), order, strict=True):
        assert line["skipped"] is False
        assert line["outputs"]["mask"] == f"{Path(name).stem}.mask.png"  # type: ignore[index]
    again = cli("localize", *order, "--resume", "--json")
    assert [line["skipped"] for line in lines(again)] == [True, True]


def test_a_new_copy_is_lent_the_result_of_one_done_before(
    cli: Cli, picture: Picture, method: BrightIsForged
) -> None:
    picture("a.png")
    cli("localize", "a.png")
    picture("b.png")
    result = cli("localize", "a.png", "b.png", "--resume", "--json")
    assert method.calls == ["a.png"]
    assert [line["skipped"] for line in lines(result)] == [True, True]
    assert "b.json" not in names()


def test_resume_does_not_trust_other_settings_or_weights(
    cli: Cli, picture: Picture, method: BrightIsForged
) -> None:
    picture("a.png")
    base = ["localize", "a.png", "--resume"]
    for extra in ([], ["--set", "level=0.3"], ["--set", "level=0.3", "--weights", "c" * 64]):
        cli(*base, *extra)
        cli(*base, *extra)
    assert len(method.calls) == 3


@pytest.mark.parametrize("damage", ["gone", "no output", "not JSON", "foreign"])
def test_resume_redoes_what_is_not_whole(
    cli: Cli, picture: Picture, method: BrightIsForged, damage: str
) -> None:
    picture("a.png")
    cli("localize", "a.png")
    record = OUT / "a.json"
    match damage:
        case "gone":
            record.unlink()
        case "no output":
            (OUT / "a.overlay.png").unlink()
        case "not JSON":
            record.write_text("{")
        case "foreign":
            record.write_text('{"run_digest": 3, "outputs": 5}')
    assert cli("localize", "a.png", "--resume").exit_code == 0
    assert len(method.calls) == 2
    assert (OUT / "a.overlay.png").is_file()


def test_without_resume_everything_is_done_again(
    cli: Cli, picture: Picture, method: BrightIsForged
) -> None:
    picture("a.png")
    cli("localize", "a.png")
    cli("localize", "a.png")
    assert len(method.calls) == 2


def test_resume_adds_a_missing_report_without_running_again(
    cli: Cli, picture: Picture, method: BrightIsForged
) -> None:
    picture("a.png")
    picture("b.png", bright=0)
    cli("localize", "a.png", "b.png")
    result = cli("localize", "a.png", "b.png", "--resume", "--report")
    assert result.exit_code == 0
    assert "done before" in result.stdout
    assert len(method.calls) == 2
    assert {"a.html", "b.html", "index.html"} <= names()
    assert json.loads((OUT / "a.json").read_text())["outputs"]["report"] == "a.html"


def test_resume_examines_again_where_the_scores_for_a_report_are_damaged(
    cli: Cli, picture: Picture, method: BrightIsForged
) -> None:
    picture("a.png")
    cli("localize", "a.png")
    scores = OUT / "a.npz"
    scores.write_bytes(scores.read_bytes()[:99])
    for skipped in (False, True):
        result = cli("localize", "a.png", "--resume", "--report", "--json")
        assert result.exit_code == 0
        assert [line["skipped"] for line in lines(result)] == [skipped]
    assert len(method.calls) == 2
    assert Localization.load(scores).flagged


def test_pictures_that_no_folder_holds_together_are_known_by_their_whole_paths(
    cli: Cli, picture: Picture, method: BrightIsForged, monkeypatch: pytest.MonkeyPatch
) -> None:
    def commonpath(paths: object) -> str:
        # What Windows says of pictures on two drives.
        raise ValueError("Paths don't have the same drive")

    first, second = picture("one/a.png"), picture("two/a.png", bright=0)
    monkeypatch.setattr("tamperscope.cli._inputs.os.path.commonpath", commonpath)
    result = cli("localize", str(first), str(second), "--report", "--json")
    assert result.exit_code == 0
    assert method.calls == [first.resolve().as_posix(), second.resolve().as_posix()]
    stems = [str(line["outputs"]["mask"]) for line in lines(result)]  # type: ignore[index]
    assert len(set(stems)) == 2
    assert {"index.html", *stems} <= names()


def test_two_copies_each_keep_their_own_result(
    cli: Cli, picture: Picture, method: BrightIsForged
) -> None:
    picture("a.png")
    picture("b.png")
    cli("localize", "a.png", "b.png")
    result = cli("localize", "a.png", "b.png", "--resume", "--json")
    assert [line["outputs"]["mask"] for line in lines(result)] == [  # type: ignore[index]
        "a.mask.png",
        "b.mask.png",
    ]


# --------------------------------------------------------------------------- reports, Ctrl-C


def test_report_writes_a_page_and_an_index(cli: Cli, picture: Picture) -> None:
    picture("a.png")
    result = cli("localize", "a.png", "--report")
    assert {"a.html", "index.html"} <= names()
    assert f"open tamperscope-out{os.sep}index.html" in result.stdout


def test_report_of_many_has_an_index_with_failures(cli: Cli, picture: Picture, here: Path) -> None:
    picture("in/a.png")
    picture("in/b.png", bright=0)
    (here / "in" / "bad.png").write_bytes(b"hello")
    result = cli("localize", "in", "gone.png", "--report")
    assert result.exit_code == 1
    index = (OUT / "index.html").read_text()
    assert index.index("./a.html") < index.index("./b.html")
    assert "is not a picture" in index
    assert "gone.png" in index
    assert "index.html" in result.stdout


def test_a_new_result_takes_back_an_old_report(cli: Cli, picture: Picture) -> None:
    picture("a.png")
    cli("localize", "a.png", "--report")
    cli("localize", "a.png", "--set", "level=0.1")
    assert "a.html" not in names()


def test_ctrl_c_leaves_whole_files_only(
    cli: Cli, picture: Picture, method: BrightIsForged, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture("a.png")
    picture("b.png", bright=0)
    save_mask = Localization.save_mask

    def stop(self: Localization, path: Path) -> Path:
        if not self.flagged:
            raise KeyboardInterrupt
        return save_mask(self, path)

    monkeypatch.setattr(Localization, "save_mask", stop)
    result = cli("localize", "a.png", "b.png")
    assert result.exit_code == 130
    assert "stopped after 1 of 2 pictures; --resume goes on from there" in result.stderr
    assert not [name for name in names() if name.endswith(".tmp")]
    monkeypatch.undo()


def test_after_ctrl_c_resume_does_the_rest(
    cli: Cli, picture: Picture, method: BrightIsForged
) -> None:
    picture("a.png")
    picture("b.png", bright=0)

    def stop(name: str) -> None:
        if name == "b.png":
            raise KeyboardInterrupt

    method.before = stop
    assert cli("localize", "a.png", "b.png").exit_code == 130
    method.before = lambda name: None
    assert cli("localize", "a.png", "b.png", "--resume").exit_code == 0
    assert method.calls == ["a.png", "b.png", "b.png"]


def test_an_output_folder_that_is_a_file_is_one_line(
    cli: Cli, picture: Picture, here: Path
) -> None:
    picture("a.png")
    (here / "taken").write_text("")
    result = cli("localize", "a.png", "-o", "taken")
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("tamperscope: cannot write to taken: ")
    assert line.endswith("; choose another with --output")
