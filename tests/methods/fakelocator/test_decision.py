from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamperscope.face_parsing.parts import PARTS
from tamperscope.methods.fakelocator.config import FakeLocatorConfig
from tamperscope.methods.fakelocator.decision import (
    FROM_CARD,
    Fakeness,
    decide,
    fakeness_of_parts,
    has_face,
    image_score,
)

CONFIG = FakeLocatorConfig(size=32, **FROM_CARD)  # type: ignore[arg-type]


def found(label: tuple[float, float] = (0.0, 3.0), **values: Any) -> Fakeness:
    scores = np.zeros((32, 32), np.float32)
    scores[8:16, 8:24] = 0.4
    fields: dict[str, Any] = {
        "scores": scores,
        "label": np.array(label),
        "embedding": np.zeros(4, np.float32),
        "labels": None,
    }
    return Fakeness(**(fields | values))


def test_a_fake_picture_is_masked_where_its_map_is_high() -> None:
    decision = decide(found(), (64, 64), CONFIG)
    assert decision.image_score == pytest.approx(1 / (1 + np.exp(-3)))
    assert decision.trace["picture"] == "fake"
    assert decision.scores.shape == (64, 64)
    np.testing.assert_array_equal(decision.mask, decision.scores > 0.1)
    assert decision.mask[20, 30]
    assert not decision.mask[0, 0]


def test_a_real_picture_has_a_map_but_no_mask() -> None:
    decision = decide(found((3.0, 0.0)), (64, 64), CONFIG)
    assert decision.trace["picture"] == "real"
    assert not decision.mask.any()
    assert decision.scores.max() > 0.3
    assert decide(found((3.0, 0.0)), (64, 64), replace(CONFIG, mask_real=True)).mask.any()


def test_equal_logits_are_real_and_any_more_is_fake() -> None:
    assert decide(found((1.0, 1.0)), (8, 8), CONFIG).trace["picture"] == "real"
    assert decide(found((1.0, 1.001)), (8, 8), CONFIG).trace["picture"] == "fake"


def test_the_map_can_decide() -> None:
    config = replace(CONFIG, decision="map")
    mean = 0.4 * 128 / 1024
    decision = decide(found((9.0, 0.0)), (64, 64), config)
    assert decision.image_score == pytest.approx(mean)
    assert decision.trace["picture"] == "fake"
    above = decide(found((0.0, 9.0)), (64, 64), replace(config, map_threshold=mean + 0.001))
    assert above.trace["picture"] == "real"


def test_a_calibration_moves_the_probability() -> None:
    assert image_score(found(), CONFIG, (2.0, -6.0)) == pytest.approx(0.5)
    assert image_score(found((0.0, -1e5)), CONFIG) == 0.0
    assert image_score(found((0.0, 1e5)), CONFIG) == 1.0


def test_small_regions_can_be_dropped() -> None:
    scores = found().scores.copy()
    scores[0, 0] = 0.9
    decision = decide(found(scores=scores), (32, 32), replace(CONFIG, largest_component=True))
    assert not decision.mask[0, 0]
    assert decision.mask[10, 10]
    assert decide(found(scores=scores), (32, 32), CONFIG).mask[0, 0]


# --- parts -------------------------------------------------------------------------------------


def labels() -> np.ndarray:
    face = np.zeros((32, 32), np.uint8)
    face[4:28, 4:28] = PARTS.index("skin")
    face[8:12, 8:24] = PARTS.index("u_lip")
    face[12:16, 8:24] = PARTS.index("mouth")
    face[0:4] = PARTS.index("hair")
    face[20, 20] = PARTS.index("nose")
    return face


def test_parts_are_named_by_their_mean_fakeness() -> None:
    decision = decide(found(labels=labels()), (64, 64), CONFIG)
    parts = decision.trace["parts"]
    assert list(parts) == ["mouth", "skin", "hair"] or list(parts) == ["mouth", "hair", "skin"]
    assert parts["mouth"] == pytest.approx(0.4)
    assert parts["hair"] == 0
    assert decision.trace["face"] is True


def test_without_a_face_no_part_is_named() -> None:
    decision = decide(found(), (64, 64), CONFIG)
    assert "parts" not in decision.trace
    assert decision.trace["face"] is False


def test_a_face_needs_its_inner_parts() -> None:
    assert has_face(labels(), 0.02)
    assert not has_face(np.zeros((32, 32), np.uint8), 0.0)
    assert not has_face(np.full((32, 32), PARTS.index("hair"), np.uint8), 0.02)
    speck = np.zeros((32, 32), np.uint8)
    speck[:4, :4] = PARTS.index("skin")
    assert not has_face(speck, 0.02)
    assert has_face(speck, 0.01)


@given(st.integers(0, 2**32 - 1))
def test_means_of_parts_lie_in_the_map_s_range(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.random((16, 16), np.float32)
    named = fakeness_of_parts(scores, rng.integers(0, 19, (16, 16), np.uint8))
    values = list(named.values())
    assert values == sorted(values, reverse=True)
    assert all(scores.min() <= value <= scores.max() for value in values)
