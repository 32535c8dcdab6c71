import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

from bench.plans import H, Red, W, make_plan, make_set, swap
from tamperscope.bench.benchmark import run_plan
from tamperscope.bench.cache import Shelf
from tamperscope.bench.compare import compare, compare_files, markdown_comparison
from tamperscope.errors import ConfigError, DataError

RESULTS = Path(__file__).resolve().parents[2] / "results"


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("compare")
    plan = make_plan(Red(), make_set(root / "set"), perturb=("none", "jpeg:70"))
    return run_plan(plan, Shelf(root / "cache")).record.to_dict()


def moved(record: dict[str, Any], name: str, mean: float) -> dict[str, Any]:
    """A record that keeps no pictures, with another mean in its first cell."""
    found = copy.deepcopy(record)
    found["numbers"]["values"] = []
    found["numbers"]["cells"][0]["numbers"][name]["mean"] = mean
    return found


def measured(root: Path, method: Red) -> dict[str, Any]:
    plan = make_plan(method, make_set(root / "set", 30, 20), perturb=("none", "jpeg:70"))
    return run_plan(plan, Shelf(root / "cache")).record.to_dict()


def test_a_record_is_as_good_as_itself(before: dict[str, Any]) -> None:
    found = compare(before, before)
    assert found.regressions == ()
    assert found.remarks == ()
    assert {change.verdict for change in found.changes} == {"same"}
    assert markdown_comparison(found).startswith("0 worse, 0 better, ")


def test_only_what_leaves_its_interval_counts(before: dict[str, Any]) -> None:
    f1 = before["numbers"]["cells"][0]["numbers"]["f1"]
    inside = compare(before, moved(before, "f1", f1["low"]))
    assert inside.regressions == ()
    worse = compare(before, moved(before, "f1", f1["low"] - 0.01))
    assert [c.key for c in worse.regressions] == [("red", "tiny", "none", "ours", "f1")]
    better = compare(before, moved(before, "f1", f1["high"] + 0.01))
    assert better.regressions == ()
    assert sum(c.verdict == "better" for c in better.changes) == 1
    text = markdown_comparison(worse)
    assert "| red | tiny | none | ours | f1 |" in text
    assert "1 worse, 0 better" in text


def test_pictures_are_compared_one_by_one_where_they_are_kept(tmp_path: Path) -> None:
    careful, eager = measured(tmp_path, Red(level=93)), measured(tmp_path, Red(level=90))
    found = compare(eager, careful)
    (f1,) = [c for c in found.changes if c.key == ("red", "tiny", "none", "ours", "f1")]
    assert f1.paired is not None
    assert f1.paired.difference == pytest.approx(f1.after["mean"] - f1.before["mean"], abs=1e-3)
    # Each picture loses a little, far less than pictures differ among themselves.
    assert f1.after["mean"] > f1.before["low"]
    assert f1.paired.high < 0
    assert f1.verdict == "worse"
    assert f1.key in [c.key for c in found.regressions]
    assert compare(careful, eager).regressions == ()
    assert compare(eager, careful, tolerance=0.5).regressions == ()
    assert "| red | tiny | none | ours | f1 |" in markdown_comparison(found)
    scores = [c for c in found.changes if c.key[-1] == "image_auc" and c.key[0] == "red"]
    assert all(c.paired is not None and c.verdict == "same" for c in scores)
    others = [c for c in found.changes if c.key[0] == "centre-box"]
    assert all(c.paired is None and c.verdict == "same" for c in others)
    json.dumps(found.to_dict())


def test_other_ground_truths_of_the_same_files_are_a_remark_and_no_verdict(tmp_path: Path) -> None:
    sets = [replace(make_set(tmp_path / name), name=name) for name in ("same", "other")]
    masks = tmp_path / "other" / "masks"
    PILImage.fromarray(np.eye(H, W, dtype=np.uint8) * 255).save(masks / "f0.png")
    plan = make_plan(Red(), *sets)
    first = run_plan(plan, Shelf(tmp_path / "cache")).record.to_dict()
    swap(masks / "f0.png", masks / "f1.png")
    second = run_plan(plan, Shelf(tmp_path / "cache")).record.to_dict()
    assert first["dataset"]["other"]["sha256"] == second["dataset"]["other"]["sha256"]
    found = compare(first, second)
    assert {change.key[1] for change in found.changes} == {"same"}
    assert found.regressions == ()
    assert "other ground truths in the second record: red, other, none, ours, f1" in found.remarks
    assert all(remark.startswith("other ground truths in the") for remark in found.remarks)


def test_records_with_other_ground_truths_alone_hold_nothing_to_compare(
    before: dict[str, Any],
) -> None:
    other = copy.deepcopy(before)
    other["numbers"]["pictures"]["tiny"]["order"] = "another"
    with pytest.raises(DataError, match="hold no number of the same method, pictures and"):
        compare(before, other)
    del other["numbers"]["pictures"]
    other["numbers"]["values"] = []
    assert compare(before, other).remarks == ()


def test_a_precision_of_redraws_that_moved_is_a_remark_and_no_verdict(tmp_path: Path) -> None:
    plan = make_plan(Red(), make_set(tmp_path / "set"), protocols=("ours", "dolos"))
    first = run_plan(plan, Shelf(tmp_path / "cache")).record.to_dict()
    keys = {change.key[-2:] for change in compare(first, first).changes}
    assert {("dolos", "ap"), ("ours", "ap")} <= keys
    second = moved(first, "f1", first["numbers"]["cells"][0]["numbers"]["f1"]["mean"])
    for cell in second["numbers"]["cells"]:
        if cell["method"] == "red":
            cell["numbers"]["ap"].update(mean=0.25, low=0.25, high=0.25)
    found = compare(first, second)
    assert [c.key for c in found.regressions] == [("red", "tiny", "none", "ours", "ap")]
    (cell,) = [
        c for c in first["numbers"]["cells"] if (c["method"], c["protocol"]) == ("red", "dolos")
    ]
    value = cell["numbers"]["ap"]["mean"]
    assert found.remarks == (
        f"{value:.3f} to 0.250, without an interval over pictures to judge by: "
        "red, tiny, none, dolos, ap",
    )


def test_a_negative_tolerance_is_refused(before: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="tolerance is -1: give 0 or more"):
        compare(before, before, tolerance=-1)


def test_false_alarms_are_worse_when_there_are_more(before: dict[str, Any]) -> None:
    flagged = before["numbers"]["cells"][0]["numbers"]["flagged_pixels"]
    more = compare(before, moved(before, "flagged_pixels", flagged["high"] + 0.01))
    assert [c.key[-1] for c in more.regressions] == ["flagged_pixels"]
    fewer = compare(before, moved(before, "flagged_pixels", flagged["low"] - 0.01))
    assert fewer.regressions == ()


def test_what_cannot_be_compared_is_said(before: dict[str, Any]) -> None:
    fewer = copy.deepcopy(before)
    fewer["numbers"]["cells"] = fewer["numbers"]["cells"][:1]
    found = compare(before, fewer)
    assert "only in the first record: red, tiny, jpeg:70, ours, f1" in found.remarks
    assert (
        "only in the second record: red, tiny, jpeg:70, ours, f1" in compare(fewer, before).remarks
    )


def test_another_set_or_protocol_is_a_remark_and_no_verdict(before: dict[str, Any]) -> None:
    other = copy.deepcopy(before)
    other["dataset"]["tiny"]["sha256"] = "another"
    with pytest.raises(DataError, match="hold no number of the same method, pictures and"):
        compare(before, other)
    other = copy.deepcopy(before)
    other["dataset"]["more"] = {**before["dataset"]["tiny"], "sha256": "another"}
    for cell in other["numbers"]["cells"]:
        if cell["condition"] == "jpeg:70":
            cell["dataset"] = "more"
    first = copy.deepcopy(other)
    first["dataset"]["more"]["sha256"] = "one"
    remarks = compare(first, other).remarks
    assert "another pictures in the second record: red, more, jpeg:70, ours, f1" not in remarks
    assert "other pictures in the second record: red, more, jpeg:70, ours, f1" in remarks
    changed = copy.deepcopy(before)
    changed["protocol"]["ours"]["threshold_rule"] = "another"
    with pytest.raises(DataError, match="hold no number of the same method, pictures and"):
        compare(before, changed)


def test_other_kinds_are_refused() -> None:
    speed = RESULTS / "speed-focal-default.json"
    with pytest.raises(DataError, match="a record of kind 'speed': give one of kind 'benchmark'"):
        compare_files(speed, speed)
    with pytest.raises(DataError, match="no such file: .*none.json: give a record"):
        compare_files(RESULTS / "none.json", speed)
