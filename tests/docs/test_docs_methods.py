"""docs/methods.md: its table is that of the record."""

from pathlib import Path

from scripts import load_script
from tamperscope.bench.tables import load_records

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")


def test_the_table_is_that_of_the_record() -> None:
    made = load_script("docs/make_tables.py")
    assert made.filled(PAGE, load_records(ROOT / "results")) == PAGE, (
        "run: python docs/make_tables.py"
    )
    assert "<!-- table: copied copied-regions -->\n| Copy-moves found" in PAGE
    assert made.METHODS == ROOT / "docs" / "methods.md"
