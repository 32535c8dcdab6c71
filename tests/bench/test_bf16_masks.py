"""The script that decides whether bfloat16 may stand in for float32."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hostile import encode, photo
from tamperscope.bench import load_records
from tamperscope.catalog import load
from tamperscope.result import Localization

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = ROOT / "benchmarks" / "bf16_masks.py"
    spec = importlib.util.spec_from_file_location("bf16_masks", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def base() -> Localization:
    return load("focal", device="cpu").localize(photo(40, 50))


def altered(base: Localization, mask: NDArray[np.bool_], shift: float = 0.0) -> Localization:
    scores = np.full((40, 50), 0.5 + shift, np.float32)
    return Localization(
        score_map=scores,
        map_kind=base.map_kind,
        mask=mask,
        threshold=0.5,
        image_score=0.5 - shift,
        provenance=base.provenance,
    )


def box(width: int) -> NDArray[np.bool_]:
    mask = np.zeros((40, 50), bool)
    mask[:10, :width] = True
    return mask


def test_compare(script: ModuleType, base: Localization) -> None:
    row = script.compare(altered(base, box(40)), altered(base, box(30), shift=0.125))
    assert row["iou"] == 0.75
    assert row["score_difference"] == row["image_score_difference"] == 0.125
    assert (row["forged_fp32"], row["forged_bf16"]) == (0.2, 0.15)
    assert script.compare(altered(base, box(0)), altered(base, box(0)))["iou"] is None
    assert script.compare(altered(base, box(0)), altered(base, box(5)))["iou"] == 0


@pytest.mark.parametrize(
    ("overlaps", "held"),
    [([0.98, 1.0], True), ([0.979, 1.0], False), ([None, 0.99], True), ([None], False)],
)
def test_rule(script: ModuleType, overlaps: list[float | None], held: bool) -> None:
    assert script.masks_hold([{"iou": iou} for iou in overlaps]) is held


def run(script: ModuleType, patch: pytest.MonkeyPatch, *words: object) -> int:
    patch.setattr(sys, "argv", ["bf16_masks.py", *(str(word) for word in words)])
    code: Any = script.main()
    assert isinstance(code, int)
    return code


def test_record(
    script: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(encode(photo(64, 80), "PNG"))
    out = tmp_path / "out" / "record.json"
    assert run(script, monkeypatch, picture, "--repeats", 1, "-o", out) == 0
    printed = capsys.readouterr().out
    assert "| a.png | " in printed
    assert "in bfloat16" in printed
    (record,) = load_records(out.parent)
    assert record["kind"] == "precision"
    assert [row["id"] for row in record["rows"]] == ["a.png"]
    assert record["numbers"]["speedup"] > 0
    assert record["method"]["settings"]["precision"] == "fp32"
    assert list(record["weights"]) == ["focal-compact"]


def test_a_bad_picture_is_one_line(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(script, monkeypatch, "none.jpg") == 2
    assert capsys.readouterr().out.strip() == "none.jpg: no such file; check the path"
