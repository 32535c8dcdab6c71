"""docs/speed.md: its tables are those of the record, and its commands are ones the script knows."""

import re
from pathlib import Path
from typing import Any

from scripts import load_script
from tamperscope.bench.tables import load_records

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")


def tables() -> Any:
    return load_script("docs/make_tables.py")


def test_the_tables_are_those_of_the_record() -> None:
    made = tables()
    assert made.filled(PAGE, load_records(ROOT / "results")) == PAGE, (
        "run: python docs/make_tables.py"
    )
    markers = re.findall(r"<!-- table: (\w+)", PAGE)
    assert markers == ["methods_speed", "evaluation_speed", "hrnet_speed"]
    assert made.SPEED == ROOT / "docs" / "speed.md"


def test_options_on_the_page_are_those_of_the_script() -> None:
    script = (ROOT / "benchmarks" / "methods_speed.py").read_text(encoding="utf-8")
    shown = set(re.findall(r"(--[a-z][a-z-]+)", PAGE)) - {"--precision"}
    assert shown == {"--device", "--output", "--pictures", "--hrnet-weights"}
    assert all(f'add("{option}"' in script for option in shown)
