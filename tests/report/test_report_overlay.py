import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image as PILImage
from scipy import ndimage

from tamperscope.errors import ResultError
from tamperscope.report import overlay as draw

GREY = 128


def plain(h: int, w: int, value: int = GREY) -> np.ndarray:
    return np.full((h, w, 3), value, np.uint8)


def test_heatmap_orders_scores_by_lightness() -> None:
    colors = draw.heatmap(np.linspace(0, 1, 256)[None]).astype(float)
    linear = np.where(
        colors / 255 <= 0.04045, colors / 255 / 12.92, ((colors / 255 + 0.055) / 1.055) ** 2.4
    )
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luminance[0]) > 0).mean() > 0.95
    assert luminance[0, 0] < 0.01
    assert luminance[0, -1] > 0.8


def test_heatmap_ends_and_middle_are_inferno() -> None:
    assert draw.heatmap(np.array([[0.0, 128 / 255, 1.0]])).tolist() == [
        [[0, 0, 4], [188, 55, 84], [252, 255, 164]]
    ]


@pytest.mark.parametrize("bad", [-0.1, 1.1, np.nan, np.inf])
def test_heatmap_refuses_values_outside_the_unit_interval(bad: float) -> None:
    with pytest.raises(ResultError, match=r"score map must lie in \[0, 1\], got values from"):
        draw.heatmap(np.array([[0.5, bad]]))


@pytest.mark.parametrize("shape", [(0, 3), (3,), (2, 2, 2)])
def test_heatmap_refuses_what_is_no_map(shape: tuple[int, ...]) -> None:
    with pytest.raises(ResultError, match=r"shape \(h, w\) with h, w >= 1"):
        draw.heatmap(np.zeros(shape))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (17, 4000), (40, 30)])
@pytest.mark.parametrize("fill", [False, True])
def test_every_size_works_full_and_empty(size: tuple[int, int], fill: bool) -> None:
    mask = np.full(size, fill)
    over = draw.overlay(plain(*size), np.full(size, 0.5, np.float32), mask)
    assert over.shape == (*size, 3)
    assert over.dtype == np.uint8
    edge = (over == draw.CONTOUR_INSIDE).all(axis=2)
    assert edge.any() == fill


def test_an_empty_mask_draws_no_contour() -> None:
    picture = plain(20, 30)
    assert np.array_equal(draw.draw_contour(picture, np.zeros((20, 30), bool)), picture)
    flat = draw.overlay(picture, np.zeros((20, 30), np.float32), np.zeros((20, 30), bool))
    assert len(np.unique(flat.reshape(-1, 3), axis=0)) == 1


def test_inputs_are_left_alone() -> None:
    picture, mask = plain(20, 20), np.zeros((20, 20), bool)
    mask[5:15, 5:15] = True
    picture.setflags(write=False)
    mask.setflags(write=False)
    draw.overlay(picture, np.zeros((20, 20), np.float32), mask)
    assert (picture == GREY).all()


@given(hnp.arrays(bool, st.tuples(st.integers(1, 25), st.integers(1, 25))), st.integers(1, 6))
def test_contour_is_the_two_bands_along_the_edge(mask: np.ndarray, width: int) -> None:
    drawn = draw.draw_contour(plain(*mask.shape), mask, width)
    square = np.ones((2 * width + 1, 2 * width + 1), bool)
    outside = ndimage.binary_dilation(mask, square) & ~mask
    inside = mask & ~ndimage.binary_erosion(mask, square, border_value=0)
    assert np.array_equal((drawn == draw.CONTOUR_OUTSIDE).all(axis=2), outside)
    assert np.array_equal((drawn == draw.CONTOUR_INSIDE).all(axis=2), inside)
    assert (drawn[~outside & ~inside] == GREY).all()


@pytest.mark.parametrize("value", [0, 64, 128, 192, 255])
def test_one_of_the_two_lines_stands_out_from_any_background(value: int) -> None:
    lightness = [sum(color) / 3 for color in (draw.CONTOUR_INSIDE, draw.CONTOUR_OUTSIDE)]
    assert max(abs(light - value) for light in lightness) >= 127


def test_contour_grows_with_the_picture() -> None:
    sizes = [(1, 1), (17, 4000), (427, 640), (3000, 4000), (9000, 11000)]
    assert [draw.contour_thickness(size) for size in sizes] == [1, 1, 2, 12, 33]


def test_contour_refuses_other_sizes_and_no_thickness() -> None:
    with pytest.raises(ResultError, match=r"mask \(3, 4\) does not fit the picture \(4, 3\)"):
        draw.draw_contour(plain(4, 3), np.ones((3, 4), bool))
    with pytest.raises(ResultError, match="contour thickness 0 is below 1 pixel"):
        draw.draw_contour(plain(4, 3), np.ones((4, 3), bool), 0)


def test_overlay_refuses_arrays_of_different_pictures() -> None:
    with pytest.raises(ResultError, match="differ in size; pass arrays of one picture"):
        draw.overlay(plain(4, 4), np.zeros((4, 5), np.float32), np.zeros((4, 5), bool))


def test_overlay_is_the_same_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (37, 23, 3), np.uint8)
    scores, mask = rng.random((37, 23), np.float32), rng.random((37, 23)) > 0.7
    whole = draw.overlay(picture, scores, mask)
    monkeypatch.setattr(draw, "_STRIP_PIXELS", 50)
    assert np.array_equal(draw.overlay(picture, scores, mask), whole)


def test_overlay_shows_heat_where_the_score_is_high() -> None:
    scores = np.zeros((1, 2), np.float32)
    scores[0, 1] = 1
    cold, hot = draw.overlay(plain(1, 2), scores, np.zeros((1, 2), bool))[0].astype(int)
    assert cold[0] == cold[1] == cold[2] < GREY
    assert hot[0] > hot[2] + 30


def test_shrink_keeps_the_mean_and_never_enlarges() -> None:
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 256, (64, 32, 3), np.uint8)
    small = draw.shrink(picture, 16)
    assert small.shape == (16, 8, 3)
    assert abs(small.mean() - picture.mean()) < 1
    assert draw.shrink(picture, 64) is picture
    assert draw.shrink(plain(17, 4000), 100).shape == (1, 100, 3)


def test_a_shrunk_mask_still_shows_a_single_pixel() -> None:
    mask = np.zeros((1000, 1000), bool)
    assert not draw.shrink_mask(mask, 100).any()
    mask[500, 500] = True
    assert draw.shrink_mask(mask, 100).sum() == 1


@pytest.mark.parametrize(
    "array",
    [np.array([[True, False]]), np.array([[0, 255]], np.uint8), plain(3, 2)],
    ids=["mask", "grey", "color"],
)
def test_png_is_lossless(array: np.ndarray) -> None:
    back = np.asarray(PILImage.open(io.BytesIO(draw.encode_png(array))))
    expected = array.astype(np.uint8) * 255 if array.dtype == bool else array
    assert np.array_equal(back, expected)


def test_jpeg_can_be_read() -> None:
    picture = PILImage.open(io.BytesIO(draw.encode_jpeg(plain(8, 8))))
    assert picture.size == (8, 8)
    assert picture.format == "JPEG"


def test_color_bar_runs_from_dark_to_light() -> None:
    bar = draw.color_bar(10, 3)
    assert bar.shape == (3, 10, 3)
    assert bar[0, 0].sum() < 10 < 600 < bar[0, -1].sum()


def test_places_that_are_alike_are_framed_and_joined(make_result: Callable[..., Any]) -> None:
    plain = make_result(np.zeros((100, 200), bool))
    pair: Any = {"confidence": 0.9, "boxes": [[10, 20, 50, 50], [120, 20, 160, 50]]}
    provenance = replace(plain.provenance, notes={"copied": [pair]})
    result = replace(plain, provenance=provenance)
    assert draw.pairs_of(result, (50, 100)) == [((5, 10, 25, 25), (60, 10, 80, 25))]
    assert draw.pairs_of(plain, (50, 100)) == []
    grey = np.full((100, 200, 3), 99, np.uint8)
    found = draw.draw_pairs(grey, draw.pairs_of(result, grey.shape))
    blue = (found == draw.PAIR).all(2)
    assert blue[20, 10:51].all()
    assert blue[50, 120:161].all()
    assert blue[20:51, 10].all()
    assert blue[35, 50:121].all()
    assert not blue[25:45, 15:45].any()
    assert not blue[60:].any()
    assert (grey == 99).all()
    assert draw.draw_pairs(grey, []) is grey


@pytest.mark.parametrize("named", [7, "x", [7], [{}], [{"boxes": [[1, 2]]}], [{"boxes": "abcd"}]])
def test_notes_that_name_no_boxes_frame_nothing(
    named: Any, make_result: Callable[..., Any]
) -> None:
    plain = make_result(np.zeros((10, 20), bool))
    provenance = replace(plain.provenance, notes={"copied": named})
    assert draw.pairs_of(replace(plain, provenance=provenance), (10, 20)) == []


@pytest.mark.parametrize("second", [(10, 20, 50, 50), (15, 25, 55, 55), (10, 60, 50, 90)])
def test_frames_that_touch_or_coincide(second: tuple[int, ...]) -> None:
    found = draw.draw_pairs(np.zeros((100, 100, 3), np.uint8), [((10, 20, 50, 50), second)])
    assert (found[20, 10] == draw.PAIR).all()
