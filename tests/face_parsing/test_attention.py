import numpy as np
import pytest

from tamperscope.errors import ConfigError, UnknownNameError
from tamperscope.face_parsing.attention import DEFAULT_WEIGHTS, attention_map, part_weights
from tamperscope.face_parsing.parts import PARTS


def test_the_default_is_the_head() -> None:
    table = part_weights(DEFAULT_WEIGHTS)
    outside = {"background", "ear_r", "neck_l", "cloth"}
    assert {PARTS[i] for i in np.flatnonzero(table == 0)} == outside
    assert set(table.tolist()) == {0.0, 1.0}


def test_every_pixel_gets_the_weight_of_its_part() -> None:
    labels = np.array([[0, 1], [2, 13]], np.uint8)
    found = attention_map(labels, {"skin": 0.5, "hair": 1.0, "background": 0.25})
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[0.25, 0.5], [0.0, 1.0]])


def test_of_overlapping_names_the_later_decides() -> None:
    eyes = PARTS.index("l_eye")
    assert part_weights({"face": 0.2, "eyes": 0.9})[eyes] == np.float32(0.9)
    assert part_weights({"eyes": 0.9, "face": 0.2})[eyes] == np.float32(0.2)
    assert part_weights({"eyes+hair": 0.3})[PARTS.index("hair")] == np.float32(0.3)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (1.5, r"the attention weight of 'skin' must be in \[0, 1\], not 1.5"),
        (-0.1, "must be in"),
        (float("nan"), "must be a number, not nan"),
        ("much", "must be a number, not 'much'"),
        (True, "must be a number, not True"),
    ],
)
def test_weights_that_cannot_be(weight: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        part_weights({"skin": weight})


def test_unknown_parts_are_named() -> None:
    with pytest.raises(UnknownNameError, match="unknown face region 'moth'; did you mean 'mouth'"):
        part_weights({"moth": 1.0})
