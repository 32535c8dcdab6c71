"""Paired comparisons inside a record, and the lines that keep single pictures."""

import math
from typing import Any

import numpy as np
import pytest

from bench.plans import Red, make_plan, make_set
from tamperscope.bench.benchmark import run_plan
from tamperscope.bench.cache import Shelf
from tamperscope.bench.cells import Place
from tamperscope.bench.markdown import difference, p_value
from tamperscope.bench.paired import (
    compare_scores,
    compare_values,
    pack,
    per_picture,
    unpack,
)
from tamperscope.bench.protocols import DOLOS, OURS, PROTOCOLS
from tamperscope.errors import DataError


def test_lines_come_back_rounded() -> None:
    values = np.array([0, 1, -1, 0.31249, -0.5, -0.0001, 12.5, 0.25, math.nan])
    text = pack(values)
    assert text == "0 1 -1 .312 -.5 0 12.5 .25 -"
    assert unpack(text) == pytest.approx(values, abs=5e-4, nan_ok=True)
    assert unpack(pack(np.array([0.123456]), digits=5)) == pytest.approx([0.12346])
    assert len(unpack("")) == 0
    with pytest.raises(DataError, match="a record's values are no numbers: measure again"):
        unpack("1 two")


def test_kept_numbers_are_means_over_pictures() -> None:
    assert [n.name for n in per_picture(OURS)] == ["f1", "auc", "flagged_pixels"]
    assert [n.name for n in per_picture(DOLOS)] == ["iou_lg"]
    assert all(per_picture(protocol) for protocol in PROTOCOLS.values())


def test_pictures_without_a_value_on_either_side_are_left_out() -> None:
    first, second = np.array([1, 0.5, math.nan, 1]), np.array([0, 0.5, 1, math.nan])
    found = compare_values(first, second)
    assert found is not None
    assert (found.difference, found.count, found.better, found.equal) == (0.5, 2, 1, 1)
    assert compare_values(first[2:3], second[2:3]) is None
    forged = np.array([True, True, False, False])
    assert compare_scores(first, second, forged) is None


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("paired")
    plan = make_plan(
        Red(), make_set(root / "set", 6, 4), perturb=("none", "blur:7"), protocols=("ours", "focal")
    )
    outcome = run_plan(plan, Shelf(root / "cache"))
    found: dict[str, Any] = outcome.record.to_dict()["numbers"]
    cell = outcome.cells[Place(method="red", dataset="tiny", condition="none")]
    found["exact"] = [row["f1"] for row in cell.rows(OURS)]
    return found


def test_a_record_keeps_the_pictures_of_methods_only(numbers: dict[str, Any]) -> None:
    lines = {(v["condition"], v["protocol"], v["number"]): v["values"] for v in numbers["values"]}
    assert {v["method"] for v in numbers["values"]} == {"red"}
    assert len(lines) == 2 * (1 + 3 + 1)
    assert unpack(lines["none", "ours", "f1"]) == pytest.approx(
        numbers["exact"], abs=5e-4, nan_ok=True
    )
    flagged = unpack(lines["none", "ours", "flagged_pixels"])
    assert np.isnan(flagged[:6]).all()
    assert not np.isnan(flagged[6:]).any()
    assert numbers["pictures"]["tiny"]["forged"] == 6
    assert numbers["pictures"]["tiny"]["count"] == 10


def test_methods_are_compared_with_the_best_reference(numbers: dict[str, Any]) -> None:
    cells = {(c["method"], c["condition"], c["protocol"]): c["numbers"] for c in numbers["cells"]}
    (f1,) = [d for d in numbers["differences"] if (d["protocol"], d["number"]) == ("ours", "f1")]
    assert (f1["method"], f1["other"], f1["condition"]) == ("red", "centre-box", "none")
    means = (cells[name, "none", "ours"]["f1"]["mean"] for name in ("red", "centre-box"))
    assert f1["difference"] == pytest.approx(next(means) - next(means))
    assert f1["low"] <= f1["difference"] <= f1["high"]
    assert f1["better"] + f1["worse"] + f1["equal"] == f1["count"] == 6
    kinds = [(d["protocol"], d["number"]) for d in numbers["differences"]]
    assert kinds == [("ours", "f1"), ("ours", "image_auc"), ("focal", "macro_f1")]


def test_perturbations_are_compared_with_the_plain_pictures(numbers: dict[str, Any]) -> None:
    (f1,) = [c for c in numbers["changes"] if (c["protocol"], c["number"]) == ("ours", "f1")]
    assert (f1["method"], f1["condition"]) == ("red", "blur:7")
    before, after = (
        c["numbers"]["f1"]["mean"]
        for name in ("none", "blur:7")
        for c in numbers["cells"]
        if (c["method"], c["condition"], c["protocol"]) == ("red", name, "ours")
    )
    assert f1["difference"] == pytest.approx(after - before)


def test_differences_are_written_with_their_sign() -> None:
    made = {"difference": -0.0001, "low": -0.25, "high": 1}
    assert difference(made) == "+.000 [-.250, +1.000]"
    assert difference(None) == "n/a"
    assert [p_value(p) for p in (0.0004, 0.0404, 1)] == ["< .001", ".040", "1.000"]
