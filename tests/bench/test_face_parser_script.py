"""benchmarks/face_parser.py: the numbers of label maps, and a run on faces of a toy set."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tamperscope.face_parsing.parts import PARTS


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "face_parser.py"
    spec = importlib.util.spec_from_file_location("face_parser", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_iou_by_part(script: ModuleType) -> None:
    truth = np.array([[0, 0, 1, 1], [1, 1, 2, 2]], np.uint8)
    found = np.array([[0, 0, 1, 1], [1, 2, 2, 3]], np.uint8)
    iou = script.part_iou(script.confusion([(truth, found)]))
    expected = {"background": 1.0, PARTS[1]: 3 / 4, PARTS[2]: 1 / 3, PARTS[3]: 0.0}
    for part, value in expected.items():
        assert iou[part] == pytest.approx(value)
    assert iou[PARTS[4]] is None
    assert iou["mean"] == pytest.approx((1 + 3 / 4 + 1 / 3) / 3)


def test_pictures_are_counted_together(script: ModuleType) -> None:
    ones, twos = np.ones((2, 2), np.uint8), np.full((4, 4), 2, np.uint8)
    total = script.confusion([(ones, ones), (twos, np.ones((4, 4), np.uint8))])
    assert total.sum() == 20
    assert (total[1, 1], total[2, 1]) == (4, 16)


def test_a_folder_without_faces(
    script: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["face_parser.py", str(tmp_path)])
    assert script.main() == 1
    assert str(tmp_path) in capsys.readouterr().out


def test_the_record_of_the_shipped_parser() -> None:
    record = json.loads((Path(__file__).parents[2] / "results/face-parser.json").read_text())
    iou = record["numbers"]["iou"]
    assert set(iou) == {*PARTS, "mean"}
    assert min(iou["skin"], iou["hair"]) > 0.8
