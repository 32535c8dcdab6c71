"""What the README shows runs as it stands, and what it states is backed by a file."""

import re
import shlex
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from scripts import load_script
from tamperscope.bench.protocols import PROTOCOLS
from tamperscope.bench.tables import load_records
from tamperscope.cli.main import app
from tamperscope.image import read_image, read_mask

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "examples/README.md"])
SETUP = ("python", ".", "pip", "uv", "make")
"""First words of commands that set up a machine: these are not run here."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.strip()]
    return [line for line in lines if line.split()[0] not in SETUP]


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the examples in it, as the README's reader has."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_there_is_something_to_run() -> None:
    assert len(blocks("python")) == 2
    assert len(commands()) == 4


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.splitlines()[-1][:40])
def test_python_blocks_run(clone: Path, code: str) -> None:
    exec(compile(code, "README.md", "exec"), {})


@pytest.mark.parametrize("command", commands())
def test_commands_run(clone: Path, command: str) -> None:
    words = shlex.split(command)
    assert words[0] == "tamperscope"
    result = CliRunner().invoke(app, words[1:])
    assert result.exit_code == 0, result.output


def test_cli_page_is_current() -> None:
    page = load_script("docs/make_cli.py").page()
    written = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert written == page, "run: python docs/make_cli.py"


def test_readme_tables_are_those_of_the_records() -> None:
    tables = load_script("docs/make_tables.py")
    assert tables.filled(README, load_records(ROOT / "results")) == README, (
        "run: python docs/make_tables.py"
    )


def test_training_table_is_that_of_the_logs() -> None:
    tables = load_script("docs/make_tables.py")
    text = tables.TRAINING.read_text(encoding="utf-8")
    made = tables.with_runs(text, ROOT / "results" / "training")
    assert made == text, "run: python docs/make_tables.py"
    assert "| focal-compact |" in made


def test_tables_fill_their_markers_and_nothing_else() -> None:
    tables = load_script("docs/make_tables.py")
    text = "a\n<!-- table: speed -->\nold\n<!-- end of table -->\nb 0.5\n"
    assert tables.filled(text, []) == text.replace("old\n", tables.NONE_YET)
    names = re.findall(r"<!-- table: (\w+)[ \w-]* -->", README)
    assert names
    assert set(names) <= set(tables.TABLES)
    assert README.count("<!-- end of table -->") == len(names)


def test_a_marker_may_name_the_records_it_takes() -> None:
    tables = load_script("docs/make_tables.py")
    text = "<!-- table: accuracy {} -->\n<!-- end of table -->\n"
    made = tables.filled(text.format("benchmark-main"), [])
    assert "| casia1 (918 + 400) | ours |" in made
    assert tables.NONE_YET in tables.filled(text.format("no-such-record"), [])


def test_published_numbers_have_a_source_and_are_no_one_s_here() -> None:
    tables = load_script("docs/make_tables.py")
    text = (ROOT / "results" / "published.toml").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "published.md").read_text(encoding="utf-8")
    assert tables.published_page(text) == page, "run: python docs/make_tables.py"
    assert "As published, not measured here" in page
    for one in tomllib.loads(text)["table"]:
        assert one["source"]
        assert one["note"]
        assert one["protocol"] in ("", *PROTOCOLS)
        for row in one["rows"]:
            assert len(row) == 1 + len(one["columns"])
            numbers = [float(n) for cell in row[1:] if cell for n in cell.split(" / ")]
            assert all(0 < n < 1 for n in numbers)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_to_files_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    missing = [target for target in local if not (page.parent / target).exists()]
    assert missing == []


def test_pictures_in_the_readme_come_with_it() -> None:
    assert all("://" not in target for target in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README))


@pytest.mark.parametrize("name", ["launch_spliced", "table_spliced"])
def test_example_masks_fit_their_pictures(name: str) -> None:
    picture = read_image(ROOT / "examples" / f"{name}.jpg")
    mask = read_mask(ROOT / "examples" / "masks" / f"{name}.png")
    assert mask.shape == picture.size
    assert 0.01 < mask.mean() < 0.4


def test_the_forged_table_is_the_authentic_one_outside_the_patch() -> None:
    forged, authentic = (
        read_image(ROOT / "examples" / f"table_{kind}.jpg").pixels.astype(int)
        for kind in ("spliced", "authentic")
    )
    mask = read_mask(ROOT / "examples" / "masks" / "table_spliced.png")
    difference = np.abs(forged - authentic).max(axis=2)
    assert difference[mask].mean() > 40
    assert difference[:200, :400].max() <= 1


def test_examples_stay_small_and_are_all_described() -> None:
    files = [path for path in (ROOT / "examples").rglob("*") if path.suffix in (".jpg", ".png")]
    assert sum(path.stat().st_size for path in files) < 600_000
    text = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    for path in files:
        assert path.relative_to(ROOT / "examples").as_posix() in text


def test_examples_can_be_made_again(tmp_path: Path) -> None:
    pytest.importorskip("skimage", reason="the pictures come from scikit-image")
    load_script("examples/make_examples.py").main(tmp_path)
    made = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert len(made) == 8
    for path in made:
        # Another Pillow may round a JPEG's numbers otherwise; the picture stays the same.
        new, kept = (read_image(root / path).pixels for root in (tmp_path, ROOT / "examples"))
        assert np.abs(new.astype(int) - kept.astype(int)).mean() < 1
