"""What all protocols have in common, and the scores of predictors that know nothing."""

import json
import math
from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tamperscope.bench.protocols import OURS, PROTOCOLS, Prediction, Protocol, get
from tamperscope.bench.protocols.base import mask_at
from tamperscope.errors import ConfigError, DataError, UnknownNameError

Mask = NDArray[np.bool_]

TRUTH = np.zeros((640, 640), bool)
TRUTH[128:384, 192:352] = True
"""One tenth forged, borders on the cells of an 80 x 80 grid, and far wider than any border band."""


def predict(score_map: NDArray[Any], *, grid: tuple[int, int] | None = (80, 80)) -> Prediction:
    found = np.asarray(score_map, np.float32)
    return Prediction(found, found > 0.5, float(found.mean()), feature_grid=grid)


TRIVIAL = {
    "pristine": predict(np.zeros(TRUTH.shape)),
    "forged": predict(np.ones(TRUTH.shape)),
    "inverted": predict(~TRUTH),
    "right": predict(TRUTH),
    "random": predict(np.random.default_rng(0).random(TRUTH.shape), grid=(640, 640)),
}

# Predictor: F1, F1 or its inverse, macro-F1, IoU, and mean IoU with the classes swapped at will;
# counted without a border band, as published for pictures of which one tenth is forged.
REFERENCE = {
    "pristine": (0.0, 0.182, 0.474, 0.0, 0.450),
    "forged": (0.182, 0.182, 0.091, 0.100, 0.450),
    "inverted": (0.0, 1.0, 0.0, 0.0, 1.0),
    "random": (0.178, 0.178, 0.412, 0.098, 0.287),
}


@pytest.mark.parametrize("name", REFERENCE)
def test_trivial_predictors_score_as_published(name: str) -> None:
    scores = {p: get(p).score(TRIVIAL[name], TRUTH) for p in PROTOCOLS}
    f1, _, macro, iou, p_miou = REFERENCE[name]
    # A random map has other numbers in every draw.
    slack = 0.0006 if name != "random" else 0.015
    assert scores["ours"]["f1"] == pytest.approx(f1, abs=slack)
    assert scores["mvss"]["f1"] == pytest.approx(f1, abs=slack)
    assert scores["ours"]["iou"] == pytest.approx(iou, abs=slack)
    assert scores["dolos"]["iou_lg"] == pytest.approx(iou, abs=slack)
    assert scores["focal"]["iou"] == pytest.approx(iou, abs=slack)
    assert scores["focal"]["macro_f1"] == pytest.approx(macro, abs=slack)
    assert scores["catnet"]["p_miou"] == pytest.approx(p_miou, abs=slack)


@pytest.mark.parametrize("name", REFERENCE)
def test_the_better_of_mask_and_inverse_scores_as_published(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tamperscope.bench.protocols.trufor.counted_pixels", np.ones_like)
    scores = get("trufor").score(TRIVIAL[name], TRUTH)
    slack = 0.0006 if name != "random" else 0.015
    assert scores["f1_fixed"] == pytest.approx(REFERENCE[name][1], abs=slack)
    assert scores["f1_best"] == pytest.approx(max(REFERENCE[name][1], 0.182), abs=slack)


def test_the_right_answer_is_worth_one_everywhere() -> None:
    for protocol in PROTOCOLS.values():
        row = protocol.score(TRIVIAL["right"], TRUTH)
        for number in protocol.numbers:
            if number.name in row and number.over != "authentic":
                expected = pytest.approx(1, abs=0.02 if protocol.name == "imdlbenco" else 1e-6)
                assert row[number.name] == expected, (protocol.name, number.name)


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_every_choice_is_printed(protocol: Protocol) -> None:
    described = protocol.describe()
    assert json.loads(json.dumps(described)) == described
    choices = (
        *("mask_polarity", "geometry", "scoring_resolution", "threshold_rule", "averaging"),
        *("empty_mask_rule", "border_band", "permutation", "pictures_counted", "ties"),
        *("image_level", "departures", "failure_rule"),
    )
    assert all(isinstance(described[name], str) and described[name] for name in choices)
    numbers: Any = described["numbers"]
    assert [n["name"] for n in numbers] == [n.name for n in protocol.numbers]
    assert all(n["title"] and n["meaning"] and "reduce" not in n for n in numbers)
    assert all(("oracle" in n["title"]) == n["oracle"] for n in numbers)
    known = {"", *(n.name for n in OURS.numbers)}
    assert all(n["against"] in known for n in numbers)
    assert protocol is OURS or all(n["why"] for n in numbers)
    with pytest.raises(FrozenInstanceError):
        protocol.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_rows_and_summaries_name_the_same_numbers(protocol: Protocol) -> None:
    quick = replace(protocol, bootstrap_samples=50)
    rows = [
        quick.score(TRIVIAL["right"], TRUTH),
        quick.score(TRIVIAL["inverted"], TRUTH),
        quick.score(TRIVIAL["random"], None),
    ]
    assert [row["tampered"] for row in rows] == [1, 1, 0]
    assert all(type(value) is float for row in rows for value in row.values())
    summary = quick.summarize(rows)
    assert list(summary) == [n.name for n in protocol.numbers]
    for found in summary.values():
        assert found is not None
        assert list(found) == ["mean", "low", "high", "count"]
        assert found["low"] - 1e-12 <= found["mean"] <= found["high"] + 1e-12
    assert summary == quick.summarize(rows)


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_numbers_without_pictures_are_none(protocol: Protocol) -> None:
    assert set(protocol.summarize([]).values()) == {None}
    quick = replace(protocol, bootstrap_samples=50)
    tampered = quick.summarize([quick.score(TRIVIAL["right"], TRUTH)])
    authentic = quick.summarize([quick.score(TRIVIAL["right"], None)])
    for number in protocol.numbers:
        if number.over == "authentic":
            assert tampered[number.name] is None
        if number.over == "tampered":
            assert authentic[number.name] is None
        if number.name.startswith("image_"):
            assert tampered[number.name] is authentic[number.name] is None


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_a_prediction_of_another_size_is_scaled(protocol: Protocol) -> None:
    half = Prediction(
        np.asarray(TRUTH[::2, ::2], np.float32), TRUTH[::2, ::2], 1.0, feature_grid=(64, 64)
    )
    whole, small = protocol.score(TRIVIAL["right"], TRUTH), protocol.score(half, TRUTH)
    for number in protocol.numbers:
        if number.name in whole and not math.isnan(whole[number.name]):
            assert small[number.name] == pytest.approx(whole[number.name], abs=0.03)


def test_masks_are_scaled_by_the_nearest_pixel() -> None:
    assert (mask_at(TRUTH[::2, ::2], TRUTH.shape) == TRUTH).all()


def test_by_name() -> None:
    assert list(PROTOCOLS) == ["ours", "focal", "dolos", "trufor", "mvss", "catnet", "imdlbenco"]
    assert get("focal").name == "focal"
    with pytest.raises(UnknownNameError, match="unknown protocol 'trufr'; did you mean 'trufor'"):
        get("trufr")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("max_aspect_change", -1.0, "max_aspect_change is -1.0: give 0 or more"),
        ("recompression_quality", 0, "recompression_quality is 0: give 1 to 100"),
        ("bootstrap_samples", 0, "bootstrap_samples is 0: give 1 or more"),
        ("confidence", 1.0, "confidence is 1.0: give a share between 0 and 1"),
    ],
)
def test_settings_are_checked(field: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(OURS, **{field: value})


@pytest.mark.parametrize(
    ("change", "truth", "message"),
    [
        ({"mask": np.zeros((4, 4))}, None, r"the mask must be bool \(h, w\), got float64"),
        ({"score_map": np.zeros((4, 4), int)}, None, r"score map must be floats \(h, w\)"),
        ({"score_map": np.full((4, 4), np.nan)}, None, "holds NaN or infinity"),
        ({"image_score": float("inf")}, None, "holds NaN or infinity"),
        ({}, np.zeros((4, 4)), r"ground truth must be bool \(h, w\), True = forged, got float64"),
        ({}, np.zeros((4, 8), bool), "the picture is 4 x 4 and its mask 4 x 8"),
    ],
)
def test_arrays_are_checked(change: dict[str, Any], truth: Any, message: str) -> None:
    good = Prediction(np.zeros((4, 4), np.float32), np.zeros((4, 4), bool), 0.0)
    with pytest.raises(DataError, match=message):
        OURS.score(replace(good, **change), truth)
