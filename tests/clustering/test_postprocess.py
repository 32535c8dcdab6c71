"""Cleaning, resizing and scoring."""

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from tamperscope.clustering import postprocess
from tamperscope.clustering.postprocess import (
    PostprocessConfig,
    clean_mask,
    margin_map,
    resize_map,
    resize_mask,
)
from tamperscope.errors import ClusteringError, ConfigError

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12))


def disc(radius: float) -> np.ndarray:
    reach = int(radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return y**2 + x**2 <= radius**2


class TestMorphology:
    @given(mask=MASKS, radius=st.sampled_from([1.0, 1.5, 2.0, 3.0]))
    def test_is_that_of_a_disc(self, mask: np.ndarray, radius: float) -> None:
        element = disc(radius)
        np.testing.assert_array_equal(
            postprocess.dilation(mask, radius), ndimage.binary_dilation(mask, element)
        )
        np.testing.assert_array_equal(
            postprocess.erosion(mask, radius),
            ndimage.binary_erosion(mask, element, border_value=1),
        )
        padded = ndimage.binary_closing(np.pad(mask, 9), element)[9:-9, 9:-9]
        np.testing.assert_array_equal(postprocess.closing(mask, radius), padded)

    @given(mask=MASKS, radius=st.sampled_from([1.0, 2.0]))
    def test_opening_shrinks_and_closing_grows(self, mask: np.ndarray, radius: float) -> None:
        opened, closed = postprocess.opening(mask, radius), postprocess.closing(mask, radius)
        assert not (opened & ~mask).any()
        assert not (mask & ~closed).any()
        np.testing.assert_array_equal(postprocess.opening(opened, radius), opened)
        np.testing.assert_array_equal(postprocess.closing(closed, radius), closed)

    def test_a_region_at_the_edge_survives_opening(self) -> None:
        mask = np.zeros((20, 20), bool)
        mask[:3] = True
        np.testing.assert_array_equal(postprocess.opening(mask, 2), mask)
        assert not postprocess.opening(np.roll(mask, 5, axis=0), 2).any()

    @pytest.mark.parametrize("value", [False, True])
    def test_uniform_masks_stay(self, value: bool) -> None:
        mask = np.full((5, 7), value)
        every = PostprocessConfig(
            opening=2, closing=2, fill_holes=True, dilation=1, erosion=1, largest_component=True
        )
        np.testing.assert_array_equal(clean_mask(mask, every), mask)


class TestRegions:
    MASK = np.zeros((10, 10), bool)
    MASK[0, 0] = MASK[1, 1] = True  # two pixels that touch at a corner
    MASK[4:7, 4:7] = True
    MASK[5, 5] = False  # a hole
    MASK[9, 9] = True

    @pytest.mark.parametrize(
        ("options", "pixels"),
        [
            ({}, 11),
            ({"min_region_px": 1}, 11),
            ({"min_region_px": 2}, 10),
            ({"min_region_px": 3}, 8),
            ({"min_region_fraction": 0.02}, 10),
            ({"min_region_fraction": 0.021}, 8),
            ({"min_region_px": 9}, 0),
            ({"min_region_px": 9, "fill_holes": True}, 9),
            ({"largest_component": True}, 8),
        ],
    )
    def test_sizes(self, options: dict[str, Any], pixels: int) -> None:
        assert clean_mask(self.MASK, PostprocessConfig(**options)).sum() == pixels

    def test_of_equal_regions_the_first_stays(self) -> None:
        mask = np.array([[1, 0, 1], [0, 0, 0], [1, 0, 1]], bool)
        kept = postprocess.largest_component(mask)
        assert np.argwhere(kept).tolist() == [[0, 0]]

    @given(mask=MASKS)
    def test_defaults_copy(self, mask: np.ndarray) -> None:
        cleaned = clean_mask(mask, PostprocessConfig())
        np.testing.assert_array_equal(cleaned, mask)
        assert not np.shares_memory(cleaned, mask)


class TestResize:
    def test_bilinear_cuts_corners_where_nearest_does_not(self) -> None:
        mask = np.zeros((4, 4), bool)
        mask[1:3, 1:3] = True
        nearest = resize_mask(mask, (16, 16), method="nearest")
        np.testing.assert_array_equal(nearest, np.kron(mask, np.ones((4, 4))) > 0)
        bilinear = resize_mask(mask, (16, 16))
        assert not bilinear[4, 4]
        assert bilinear[4, 7]
        assert not (bilinear & ~nearest).any()

    @given(
        mask=MASKS,
        size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    )
    def test_bilinear_is_the_official_one(self, mask: np.ndarray, size: tuple[int, int]) -> None:
        picture = cv2.resize(mask.astype(np.uint8) * 255, size[::-1])
        np.testing.assert_array_equal(resize_mask(mask, size), picture > 127)

    @pytest.mark.parametrize("method", ["nearest", "bilinear"])
    def test_nothing_moves(self, method: Any) -> None:
        """A map that is symmetric stays so: no half-pixel shift."""
        rows = np.abs(np.linspace(-1, 1, 7, dtype=np.float32))
        resized = resize_map(np.outer(rows, rows), (25, 40), method=method)
        np.testing.assert_allclose(resized, resized[::-1, ::-1], atol=1e-6)

    @given(
        values=arrays(
            np.float32,
            array_shapes(min_dims=2, max_dims=2, max_side=8),
            elements=st.floats(0, 1, width=32),
        ),
        size=st.tuples(st.integers(1, 30), st.integers(1, 30)),
        method=st.sampled_from(["nearest", "bilinear"]),
    )
    def test_maps_stay_in_range(
        self, values: np.ndarray, size: tuple[int, int], method: Any
    ) -> None:
        resized = resize_map(values, size, method=method)
        assert resized.shape == size
        assert resized.dtype == np.float32
        assert values.min() <= resized.min()
        assert resized.max() <= values.max()

    def test_same_size_is_the_same(self) -> None:
        values = np.random.default_rng(0).random((5, 9))
        np.testing.assert_allclose(resize_map(values, (5, 9)), values, atol=1e-6)


class TestMarginMap:
    FORGED = np.array([[1.0, 0.0]])
    PRISTINE = np.array([[0.0, 2.0], [-1.0, 0.0]])

    def test_known_points(self) -> None:
        features = np.array([[3.0, 0], [0, 1], [1, 1], [-1, 0], [0, 0]])
        scores = margin_map(features, self.FORGED, self.PRISTINE)
        np.testing.assert_allclose(scores, [0.75, 0.25, 0.5, 0.0, 0.5], atol=1e-6)

    def test_opposite_centres_use_the_whole_range(self) -> None:
        features = np.array([[[1.0, 0], [-1, 0]]], np.float32)
        scores = margin_map(features, self.FORGED, -self.FORGED)
        np.testing.assert_allclose(scores, [[1, 0]], atol=1e-6)
        assert scores.dtype == np.float32

    def test_nothing_forged_is_below_half_and_grows_with_distance(self) -> None:
        angles = np.linspace(0, np.pi, 9)
        features = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        scores = margin_map(features, np.zeros((0, 2)), self.FORGED)
        assert scores.max() < 0.5
        assert scores[0] == pytest.approx(0, abs=1e-6)
        assert (np.diff(scores) > 0).all()

    def test_nothing_pristine_is_above_half(self) -> None:
        angles = np.linspace(0, np.pi, 9)
        features = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        scores = margin_map(features, self.FORGED, np.zeros((0, 2)))
        assert scores.min() > 0.5
        assert (np.diff(scores) < 0).all()

    @given(
        features=arrays(np.float64, (7, 3), elements=st.floats(-5, 5)),
        centres=arrays(np.float64, (3, 3), elements=st.floats(-5, 5)),
    )
    def test_above_half_is_nearer_to_the_forged(
        self, features: np.ndarray, centres: np.ndarray
    ) -> None:
        scores = margin_map(features, centres[:1], centres[1:])
        swapped = margin_map(features, centres[1:], centres[:1])
        assert ((scores >= 0) & (scores <= 1)).all()
        np.testing.assert_allclose(scores + swapped, 1, atol=1e-6)


def test_errors() -> None:
    mask = np.zeros((4, 4), bool)
    with pytest.raises(ConfigError, match="opening must be a number of pixels, 0 or more, got -1"):
        PostprocessConfig(opening=-1)
    with pytest.raises(ConfigError, match=r"min_region_fraction must lie in \[0, 1\], got 2"):
        PostprocessConfig(min_region_fraction=2)
    with pytest.raises(ClusteringError, match=r"non-empty bool array \(h, w\), got uint8 \(4, 4\)"):
        clean_mask(mask.astype(np.uint8), PostprocessConfig())  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"size must be \(height, width\), each at least 1"):
        resize_mask(mask, (0, 4))
    with pytest.raises(ConfigError, match="unknown method 'cubic'; use 'nearest' or 'bilinear'"):
        resize_mask(mask, (4, 4), method="cubic")  # type: ignore[arg-type]
    with pytest.raises(ClusteringError, match=r"a map must be a float array \(h, w\), got bool"):
        resize_map(mask, (4, 4))  # type: ignore[arg-type]
    with pytest.raises(ClusteringError, match=r"forged centres must be \(k, 2\), got \(1, 3\)"):
        margin_map(np.ones((4, 2)), np.ones((1, 3)), np.ones((1, 2)))
    with pytest.raises(ClusteringError, match="a margin needs at least one centre"):
        margin_map(np.ones((4, 2)), np.ones((0, 2)), np.ones((0, 2)))
    with pytest.raises(ClusteringError, match="features and centres must be finite"):
        margin_map(np.full((4, 2), np.nan), np.ones((1, 2)), np.ones((1, 2)))
