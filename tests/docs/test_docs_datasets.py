"""The page on data sets is the one its cards make, and its block of code runs."""

import re
import runpy
from pathlib import Path

import pytest

from data import layouts
from tamperscope.data import DATASETS
from tamperscope.data.check import check_set

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_up_to_date() -> None:
    made = runpy.run_path(str(DOCS / "make_datasets.py"))["page"]()
    assert (DOCS / "datasets.md").read_text(encoding="utf-8") == made, (
        "run: python docs/make_datasets.py"
    )


def test_every_set_has_its_section() -> None:
    text = (DOCS / "datasets.md").read_text(encoding="utf-8")
    assert re.findall(r"^### (\S+)$", text, re.MULTILINE) == list(DATASETS)


def test_the_cards_know_the_counts_that_are_in_use() -> None:
    counts = {
        name: [(c.forged, c.authentic) for c in card.counts] for name, card in DATASETS.items()
    }
    assert [forged for forged, _ in counts["casia1"]] == [921, 920, 923]
    assert counts["casia1"][0] == (921, 800)
    assert counts["casia2"] == [(5123, 7491)]
    assert counts["columbia"] == [(180, 183), (160, None)]
    assert counts["coverage"] == counts["dso1"] == [(100, 100)]
    assert counts["nist16"] == [(564, None), (564, 874), (160, 160)]
    assert counts["ffpp"] == [(1000, None)]
    assert counts["misd"][-1] == (227, None)
    assert [forged for forged, _ in counts["imd2020"]] == [2010, 2020]
    assert counts["korus"] == [(220, 220)]
    assert counts["cocoglide"] == [(512, 512)]
    assert any("9 of the 100 masks differ in size" in t for t in DATASETS["coverage"].traps)


def test_the_block_of_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layouts.coverage(tmp_path)
    text = (DOCS / "datasets.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    scope: dict[str, object] = {}
    exec(block.replace("/data/COVERAGE", str(tmp_path)), scope)
    assert "truth" in scope


def test_every_finding_named_is_one(tmp_path: Path) -> None:
    text = (DOCS / "datasets.md").read_text(encoding="utf-8")
    table = text.partition("| finding |")[2].partition("\n\n")[0]
    named = {kind for row in table.splitlines() for kind in re.findall(r"`([a-z-]+)`", row[:60])}
    source = Path(check_set.__code__.co_filename).read_text(encoding="utf-8")
    used = set(re.findall(r'_finding\(\s*f?"([a-z-]+)"', source))
    assert used - named == set()
    assert named - used == {"unreadable-pictures", "unreadable-masks"}
