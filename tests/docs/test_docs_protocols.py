"""docs/protocols.md: its tables are made by the protocols, and its claims hold in them."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tamperscope.bench.protocols import PROTOCOLS

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "protocols.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "make_protocols", ROOT / "docs" / "make_protocols.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def scores(maker: ModuleType) -> Any:
    return maker.scores()


def test_the_page_is_current(
    maker: ModuleType, scores: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maker, "scores", lambda: scores)
    assert maker.filled(TEXT) == TEXT, "run: python docs/make_protocols.py"


def test_every_protocol_has_its_section_with_all_rules(maker: ModuleType) -> None:
    assert re.findall(r"^## (\w+)$", TEXT, re.MULTILINE) == list(PROTOCOLS)
    assert re.findall(r"<!-- rules: (\w+) -->", TEXT) == list(PROTOCOLS)
    described = set(PROTOCOLS["ours"].describe())
    settings = {"bootstrap_samples", "confidence", "seed", "max_aspect_change"}
    settings |= {"recompression_quality", "name", "title", "numbers"}
    assert described - settings == set(maker.RULES)


def test_what_the_page_reads_from_its_table(scores: Any) -> None:
    ours, trufor, catnet = scores["ours"], scores["trufor"], scores["catnet"]
    empty, inverse, right = "nothing forged", "the answer inverted", "the answer"
    assert ours["f1"][empty] == 0
    assert scores["focal"]["macro_f1"][empty] == pytest.approx(0.474, abs=0.002)
    assert catnet["miou"][empty] == pytest.approx(0.45, abs=0.001)
    assert scores["dolos"]["pbca_lg"][empty] == pytest.approx(0.9, abs=0.001)
    assert trufor["f1_fixed"][inverse] == catnet["p_miou"][inverse] == 1
    assert ours["f1"][inverse] == ours["iou"][inverse] == 0
    assert ours["oracle_f1"][empty] == pytest.approx(0.18, abs=0.005)
    assert scores["imdlbenco"]["f1"][right] < 0.7 < 0.95 < scores["imdlbenco"]["f1_tampered"][right]
    assert ours["auc"]["all forged"] == 0.5
    assert abs(scores["imdlbenco"]["auc"]["all forged"] * 36 / 24 - 0.5) > 0.01
    assert scores["mvss"]["image_sensitivity"]["noise"] == 1
    assert scores["mvss"]["image_harmonic"]["all forged"] == 0
    assert ours["image_f1"]["all forged"] == pytest.approx(0.8)
    everywhere = [
        scores[protocol][number][right]
        for protocol, number in (("ours", "f1"), ("focal", "macro_f1"), ("dolos", "iou_lg"))
    ]
    assert everywhere == pytest.approx([1, 1, 1], abs=1e-6)
