"""benchmarks/metrics_speed.py: the same values, and far sooner."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tamperscope.bench import load_records

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script() -> ModuleType:
    path = ROOT / "benchmarks" / "metrics_speed.py"
    spec = importlib.util.spec_from_file_location("metrics_speed", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_record_is_written(
    script: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["--megapixels", "0.01", "--repeats", "2", "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["metrics_speed.py", *options])
    assert script.main() == 0
    (record,) = load_records(tmp_path, kind="metrics-speed")
    found: Any = record["numbers"]["seconds"]["0.01"]
    assert list(found) == ["all different", "smooth", "256 values", "mask"]
    for kind in found.values():
        assert kind["largest_difference"] < 1e-9
        assert kind["times"] > 1
        assert kind["repeats"] == 2
    assert capsys.readouterr().out.count("| 0.01 |") == 4


def test_other_values_are_not_timed(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = script.pictures(0.001)["mask"]
    monkeypatch.setattr(script, "theirs", lambda _: dict.fromkeys(script.NAMES, 0.5))
    with pytest.raises(SystemExit, match="values differ by"):
        script.measure(picture, 1)


def test_the_record_shows_twenty_times_at_a_megapixel() -> None:
    records = load_records(ROOT / "results", kind="metrics-speed")
    assert len(records) == 1
    at_one = records[0]["numbers"]["seconds"]["1"]
    assert all(kind["times"] >= 20 for kind in at_one.values())
