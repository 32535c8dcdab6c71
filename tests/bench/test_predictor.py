from typing import Any

import numpy as np
import pytest

from tamperscope.bench import Prediction
from tamperscope.bench.predictor import predict
from tamperscope.errors import ImageValueError, ResultError
from tamperscope.image import Image, read_image

PICTURE = read_image(np.zeros((2, 2, 3), np.uint8))


@pytest.mark.parametrize(
    ("score", "mask", "image_score", "message"),
    [
        (
            np.zeros((2, 2)),
            np.zeros((2, 2)),
            0.0,
            "mask .* of float64: return two .* the mask bool",
        ),
        (np.zeros((2, 3)), np.zeros((2, 2), bool), 0.0, r"a map \(2, 3\) and a mask \(2, 2\)"),
        (np.full((2, 2), np.nan), np.zeros((2, 2), bool), 0.0, "values that are not finite"),
        (np.zeros((2, 2)), np.zeros((2, 2), bool), np.inf, "values that are not finite"),
    ],
)
def test_a_broken_answer_is_an_error(
    score: Any, mask: Any, image_score: float, message: str
) -> None:
    def broken(image: Image) -> Prediction:
        return Prediction(score, mask, image_score)

    with pytest.raises(ResultError, match=f"^broken returned .*{message}"):
        predict(broken, PICTURE)


def test_a_refusal_is_an_outcome() -> None:
    def picky(image: Image) -> Prediction:
        raise ImageValueError("too dull: brighten it")

    found = predict(picky, PICTURE)
    assert found.prediction is None
    assert found.failure == "too dull: brighten it"
