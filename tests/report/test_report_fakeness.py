"""Fakeness maps are dark: how they are shown, and the parts of the face by name."""

import base64
import io
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

from tamperscope.localizer import MethodCard
from tamperscope.report import wording
from tamperscope.report.html import report_page
from tamperscope.report.shown import grey_levels, shown_map, shown_top
from tamperscope.result import Localization, MapKind

Make = Callable[..., Localization]


@pytest.fixture
def fakeness(make_result: Make) -> Callable[..., Localization]:
    """A result whose map is 0.3 inside the mask and 0.05 outside, thresholded at 0.1."""

    def make(*, masked: bool = True, scale: float = 1.0, **notes: Any) -> Localization:
        mask = np.zeros((30, 50), bool)
        mask[10:20, 10:28] = masked
        scores = np.where(mask, np.float32(0.3), np.float32(0.05)) * np.float32(scale)
        result = make_result(mask, kind=MapKind.FAKENESS)
        return replace(
            result,
            score_map=scores,
            threshold=0.1,
            provenance=replace(result.provenance, notes=notes),
        )

    return make


def page(result: Localization, card: MethodCard) -> str:
    return report_page(np.full((*result.size, 3), 90, np.uint8), result, card)


def test_fakeness_is_shown_brighter_and_says_so(fakeness: Make, method_card: MethodCard) -> None:
    result = fakeness()
    assert shown_top(result) == pytest.approx(0.3)
    assert shown_map(result).max() == pytest.approx(1.0)
    text = page(result, method_card)
    assert "from 0 (dark) to 0.3 (light)" in text
    assert 'light for 0.3"> 0.3</p>' in text


def test_noise_does_not_look_like_a_finding(fakeness: Make) -> None:
    faint = fakeness(masked=False, scale=0.2)
    assert shown_top(faint) == pytest.approx(0.2)
    assert shown_map(faint).max() == pytest.approx(0.05)


def test_other_maps_are_shown_as_they_are(make_result: Make, method_card: MethodCard) -> None:
    result = make_result(np.ones((4, 4), bool))
    assert shown_top(result) == 1.0
    assert shown_map(result) is result.score_map
    assert 'light for 1"> 1</p>' in page(result, method_card)
    assert "Fakeness map" not in page(result, method_card)


def test_the_map_itself_is_shown_in_grey_levels(fakeness: Make, method_card: MethodCard) -> None:
    result = fakeness()
    text = page(result, method_card)
    assert "Its highest value is 0.30." in text
    source = re.search(r'<figure class="grey">\s*<img src="data:image/png;base64,([^"]+)"', text)
    assert source is not None
    shown = np.asarray(PILImage.open(io.BytesIO(base64.b64decode(source[1]))))
    np.testing.assert_array_equal(shown, grey_levels(result))
    assert set(np.unique(shown)) == {13, 76}


def test_parts_by_name_the_highest_first(fakeness: Make, method_card: MethodCard) -> None:
    parts = {"hair": 0.02, "mouth": 0.708, "eyes": 1.0, "skin": 0.998, "ears": 0.004, "<b>": 0.0}
    result = fakeness(parts=parts, picture="fake")
    assert wording.parts(result) == [
        ("eyes", "1.00"), ("skin", "> .99"), ("mouth", ".71"), ("hair", ".02"), ("ears", "< .01"),
        ("<b>", ".00"),
    ]  # fmt: skip
    assert wording.verdict(result).endswith("score 0.87 (eyes 1.00, skin > .99, mouth .71)")
    text = page(result, method_card)
    assert '<th scope="row">mouth</th><td><div>.71</div></td>' in text
    assert "&lt;b&gt;" in text


@pytest.mark.parametrize("notes", [{}, {"parts": None}, {"parts": {"mouth": "high"}}])
def test_without_parts_nothing_is_named(
    fakeness: Make, method_card: MethodCard, notes: dict[str, Any]
) -> None:
    result = fakeness(**notes)
    assert wording.parts(result) == []
    assert "(" not in wording.verdict(result)
    assert "The parts of the face" not in page(result, method_card)


def test_a_fake_picture_without_a_region_is_not_called_clean(fakeness: Make) -> None:
    whole = fakeness(masked=False, picture="fake")
    assert wording.verdict(whole) == (
        "the picture as a whole looks generated, score 0.87, but no region stands out"
    )
    assert "nothing found" in wording.verdict(fakeness(masked=False, picture="real"))
