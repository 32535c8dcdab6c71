"""The page of a benchmark in a browser as wide as a laptop's."""

from pathlib import Path
from typing import Any

import pytest

from tamperscope.bench.html import benchmark_page
from tamperscope.bench.record import read_record
from web.browser import chromium

RESULTS = Path(__file__).parents[2] / "results"
RECORDS = ("benchmark-main", "benchmark-robustness", "benchmark-faces")
WIDER = "wides => [wides.length, wides.filter(w => w.scrollWidth > w.clientWidth).length]"
SEEN = "cells => cells.map(cell => cell.getBoundingClientRect().left)"


@pytest.fixture
def pages(tmp_path: Path) -> dict[str, str]:
    """Addresses of the pages of the shipped records."""
    found = {}
    for name in RECORDS:
        path = tmp_path / f"{name}.html"
        path.write_text(benchmark_page(read_record(RESULTS / f"{name}.json")), encoding="utf-8")
        found[name] = path.as_uri()
    return found


def test_tables_fit_a_laptop_and_name_their_rows_on_a_phone(pages: dict[str, str]) -> None:
    with chromium() as browser:
        page: Any = browser.new_page(viewport={"width": 1280, "height": 800})
        for name, address in pages.items():
            page.goto(address)
            tables, wider = page.eval_on_selector_all(".wide", WIDER)
            assert tables > 1
            assert wider == 0, name
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.eval_on_selector(".wide", "wide => { wide.scrollLeft = 300; }")
        first = page.eval_on_selector(".wide", "wide => wide.getBoundingClientRect().left")
        rows = page.eval_on_selector_all(".wide:first-of-type th[scope=row]", SEEN)
        assert set(rows) == {first}
