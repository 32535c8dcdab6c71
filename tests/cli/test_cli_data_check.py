"""`tamperscope data check` and `tamperscope data info`, as they are typed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from data import layouts
from data.test_check import save, scene, square

Cli = Callable[..., Result]


@pytest.fixture
def good(here: Path) -> Path:
    for i in range(3):
        save(here / f"set/images/{i}.png", scene(i))
        save(here / f"set/masks/{i}.png", square())
    return here / "set"


def test_a_sound_set(cli: Cli, good: Path) -> None:
    result = cli("data", "check", "folder", "set", "--strict")
    assert result.exit_code == 0, result.output
    title, pictures, masks, verdict = (line.rstrip() for line in result.stdout.splitlines())
    assert title == "A folder of one's own  set"
    assert pictures == "pictures: 3 forged, 0 authentic"
    assert masks == "masks: forged-white, half of them mark less than 16.3% of the picture"
    assert verdict == "verdict: sound - nothing speaks against measuring on it"
    assert cli("data", "check", "set", "folder", "set").stdout == result.stdout


def test_a_broken_set(cli: Cli, good: Path) -> None:
    for i in range(5, 10):
        save(good / f"images/{i}.png", scene(i))
    result = cli("data", "check", "folder", "set")
    assert result.exit_code == 1
    assert "error  5 without partner: no masks in set/masks" in result.stdout
    assert "  ... and 2 more (--full)" in result.stdout
    assert result.stdout.splitlines()[-1].startswith(
        "verdict: broken - numbers on it would be wrong: mend the errors ("
    )
    full = cli("data", "check", "folder", "set", "--full").stdout
    assert "more (--full)" not in full
    report = json.loads(cli("data", "check", "folder", "set", "--json").stdout)
    assert report["verdict"] == "broken"
    assert report["findings"][0]["items"] == ["5", "6", "7", "8", "9"]


def test_names_with_brackets_are_printed_as_they_are(cli: Cli, good: Path) -> None:
    for name in ("a[red]", "b[bold]c", "d[x:y]:b:"):
        save(good / f"images/{name}.png", scene(len(name)))
    printed = cli("data", "check", "folder", "set", "--full").stdout
    lines = {line.strip() for line in printed.splitlines()}
    assert {"a[red]", "b[bold]c", "d[x:y]:b:"} <= lines


def test_warnings_fail_only_when_asked(cli: Cli, good: Path) -> None:
    save(good / "masks/0.png", square((90, 128)))
    assert cli("data", "check", "folder", "set").exit_code == 0
    result = cli("data", "check", "folder", "set", "--strict", "--workers", "2")
    assert result.exit_code == 1
    assert "images/0: picture 96 x 128, mask 90 x 128" in result.stdout
    assert result.stdout.splitlines()[-1] == (
        "verdict: usable with care - say beside a number what the warnings (1) say"
    )


def test_options_and_other_sets(cli: Cli, good: Path) -> None:
    save(good.parent / "photos/x.png", scene(1))
    arguments = ("data", "check", "folder", "set", "--set", "polarity=forged-black")
    result = cli(*arguments, "--against", "authentic=photos", "--json")
    assert result.exit_code == 1
    kinds = [finding["kind"] for finding in json.loads(result.stdout)["findings"]]
    assert kinds == ["inverted-masks", "shared"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("fodler", "set"), 2, "unknown dataset 'fodler'; did you mean 'folder'"),
        (("folder", "set", "--set", "polarty=x"), 2, "did you mean 'polarity'"),
        (("folder", "set", "--against", "photos"), 2, "--against takes NAME=ROOT, got 'photos'"),
        (("folder", "nowhere"), 1, "no such folder: nowhere"),
        (("coverage", "set"), 1, "no folder image/ or COVERAGE/image/ in set: expected image/"),
    ],
)
def test_wrong_usage_is_one_line(
    cli: Cli, good: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    result = cli("data", "check", *arguments)
    assert result.exit_code == code
    (line,) = result.stderr.splitlines()
    assert message in line


def test_the_check_of_dolos_keeps_its_own(cli: Cli, here: Path) -> None:
    layouts.dolos(here / "faces")
    assert (
        "celebahq/fake/lama test: 2 pictures, 2 masks"
        in cli("data", "check", "dolos", "faces").stdout
    )
    whole = cli("data", "check", "set", "dolos", "faces", "--json")
    assert json.loads(whole.stdout)["counts"] == {"forged": 2, "authentic": 1, "lama": 2}


def test_info_of_all_sets_and_of_one(cli: Cli) -> None:
    listing = cli("data", "info").stdout
    assert all(name in listing for name in ("casia1", "columbia", "imdlbenco", "manifest"))
    details = cli("data", "info", "coverage").stdout
    for text in ("https://github.com/wenbihan/coverage", "non-commercial", "100 forged, 100 auth"):
        assert text in details
    assert "9 of the 100 masks differ in size" in details
    cards = json.loads(cli("data", "info", "--json").stdout)
    card = json.loads(cli("data", "info", "dso1", "--json").stdout)
    assert card in cards
    assert card["polarity"] == "forged-black"
    assert card["mask_values"] == "values of 0 to 127 (black) mark what is forged"
    black = "masks forged-black: values of 0 to 127 (black) mark what is forged"
    assert black in " ".join(cli("data", "info", "dso1").stdout.split())
    result = cli("data", "info", "dso")
    assert result.exit_code == 2
    assert "did you mean 'dso1'" in result.stderr


def test_info_of_a_folder_reads_its_masks(cli: Cli, good: Path) -> None:
    save(good / "masks/1.png", square(value=250))
    save(good / "authentic/9.png", scene(9))
    printed = cli("data", "info", "folder", "set").stdout
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    assert lines[-4:] == [
        "here 3 forged, 1 authentic in set",
        "masks here forged-white: values of 128 to 255 (white) mark what is forged",
        "values 0 (83.7%), 250 (5.4%), 255 (10.9%) of the pixels of 3 masks",
        "forged 16.3% of a picture (median), 16.3% (mean), 16.3% to 16.3%",
    ]
    # A folder that is no set's name is one of one's own.
    assert cli("data", "info", "set").stdout == printed
    found = json.loads(cli("data", "info", "set", "--json").stdout)
    assert (found["name"], found["root"], found["forged"], found["authentic"]) == (
        "folder",
        "set",
        3,
        1,
    )
    masks = found["masks"]
    assert (masks["polarity"], masks["masks"], masks["unreadable"]) == ("forged-white", 3, [])
    assert masks["forged"]["median"] == pytest.approx(2000 / (96 * 128))
    assert set(masks["values"]) == {"0", "250", "255"}
    other = cli("data", "info", "folder", "set", "--set", "polarity=forged-black", "--json")
    turned = json.loads(other.stdout)["masks"]
    assert turned["meaning"] == "values of 0 to 127 (black) mark what is forged"
    assert turned["forged"]["mean"] == pytest.approx(1 - masks["forged"]["mean"])


def test_info_of_a_folder_names_masks_that_cannot_be_read(cli: Cli, good: Path) -> None:
    for i in range(3):
        (good / f"masks/{i}.png").write_bytes(b"nothing")
    result = cli("data", "info", "set")
    assert result.exit_code == 0, result.output
    assert "images/0: " in result.stdout
    assert "median" not in result.stdout
    assert json.loads(cli("data", "info", "set", "--json").stdout)["masks"]["forged"] is None
    for words, code, message in (
        (("authentic", "nowhere"), 1, "no such folder: nowhere"),
        (("casia1", "--set", "polarity=forged-black"), 2, "--set says how a folder is read"),
        (("nowhere",), 2, "unknown dataset 'nowhere'"),
    ):
        wrong = cli("data", "info", *words)
        assert wrong.exit_code == code
        assert message in wrong.stderr
