"""docs/scale.md: its code runs on what a run leaves, its table is that of the records."""

import re
from pathlib import Path
from typing import Any

import pytest

from batch.archive import LOADER, archive
from scripts import load_script
from tamperscope.batch import BatchConfig, parts, run_batch
from tamperscope.bench.tables import load_records

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")


def tables() -> Any:
    return load_script("docs/make_tables.py")


def test_the_table_is_that_of_the_records() -> None:
    assert tables().filled(PAGE, load_records(ROOT / "results")) == PAGE, (
        "run: python docs/make_tables.py"
    )


def test_the_table_of_a_record() -> None:
    rows = {
        "plain loop": {"pictures_per_second": 1.0, "rounds": 3},
        "local, 2 worker(s)": {"pictures_per_second": 2.0, "rounds": 3},
    }
    numbers = {
        "rows": rows,
        "workers": [1, 2],
        "scaling": 1.95,
        "one_worker_against_loop": None,
        "local_against_ray": 1.02,
        "pictures": 64,
    }
    record = {
        "kind": "batch",
        "method": {"name": "focal"},
        "dataset": {"name": "made pictures"},
        "numbers": numbers,
        "environment": {"machine": {"cpu": "a processor"}},
    }
    made = tables().filled("<!-- table: scale -->\n<!-- end of table -->", [record])
    assert "| plain loop | 1.00 | 277.8 | 17.4 h |" in made
    assert "| local, 2 worker(s) | 2.00 | 138.9 | 17.4 h |" in made
    assert "2 workers against 1: 1.95x; local engine against Ray: 1.02x." in made


def test_every_column_is_described() -> None:
    section = PAGE.partition("| column | |")[2].partition("\n\n")[0]
    described = re.findall(r"`(\w+)`", "\n".join(line.split("|")[1] for line in _lines(section)))
    assert sorted(described) == sorted(parts.schema().names)


def _lines(section: str) -> list[str]:
    return [line for line in section.splitlines() if line.startswith("| `")]


def test_code_that_reads_results_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    archive(tmp_path / "in", 3)
    run_batch(
        BatchConfig(source="in", output=Path("results"), method="bright", loader=LOADER, workers=1)
    )
    found = re.findall(r"^```\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    code = [block for block in found if block.startswith("import") and "duckdb" not in block]
    assert len(code) == 2
    for block in code:
        names: dict[str, Any] = {}
        exec(compile(block, "docs/scale.md", "exec"), names)
    assert names["mask"].size == (32, 24)
