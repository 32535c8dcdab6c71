"""From pixels to feature and evidence maps: tiles, grids, fusion, precision."""

import itertools
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hostile import photo
from methods.focal.toys import (
    CPU,
    TINY,
    Blurred,
    bare,
    mean_colour,
    red_detector,
    red_square,
    tiny_network,
)
from reference import recipe
from tamperscope.backbones import create_backbone
from tamperscope.methods.focal import features
from tamperscope.methods.focal.config import FocalConfig
from tamperscope.methods.focal.copies import Copy
from tamperscope.methods.focal.features import FeatureMaps, extract, spans
from tamperscope.methods.focal.network import FocalNetwork

NATIVE = FocalConfig(tile=128, overlap=64, copies=False)


def look(
    networks: FocalNetwork | list[FocalNetwork],
    pixels: NDArray[np.uint8],
    config: FocalConfig = NATIVE,
    dtype: torch.dtype = torch.float32,
) -> FeatureMaps:
    several = networks if isinstance(networks, list) else [networks]
    return extract(several, pixels, config, device=CPU, dtype=dtype)


class TestSpans:
    @given(
        length=st.integers(1, 5000),
        tile=st.integers(2, 32).map(lambda n: 32 * n),
        share=st.integers(0, 16),
    )
    def test_cover_everything_on_the_grid(self, length: int, tile: int, share: int) -> None:
        overlap = min(32 * share, tile // 2 // 32 * 32)
        found = spans(length, tile, overlap)
        assert found[0][0] == 0
        assert found[-1][1] == length
        assert all(start % 32 == 0 for start, _ in found)
        assert all(0 < stop - start <= tile for start, stop in found)
        for (a, b), (c, d) in itertools.pairwise(found):
            assert a < c <= b - overlap
            assert b < d

    @pytest.mark.parametrize("length", [1, 31, 1023, 1024])
    def test_a_side_within_a_tile_is_one(self, length: int) -> None:
        assert spans(length, 1024, 128) == [(0, length)]

    def test_tiles_share_the_work(self) -> None:
        assert spans(1025, 1024, 128) == [(0, 608), (480, 1025)]
        assert spans(2000, 1024, 128) == [(0, 768), (640, 1408), (1280, 2000)]


def near_seams(size: tuple[int, int], config: FocalConfig, reach: int) -> NDArray[np.bool_]:
    """Cells of stride 4 within ``reach`` pixels of the side of a tile inside the picture."""
    near = []
    for length in size:
        centre = np.arange(-(-length // 4)) * 4 + 2
        inside = {p for span in spans(length, config.tile, config.overlap) for p in span}
        inside -= {0, length}
        near.append(np.any([np.abs(centre - p) <= reach + 2 for p in inside], axis=0))
    rows, columns = near
    return np.asarray(rows[:, None] | columns[None])


class TestTiles:
    def test_equal_the_whole_picture_away_from_seams(self) -> None:
        pixels = photo(500, 430)
        network = bare(Blurred())
        whole = look(network, pixels, replace(NATIVE, tile=512)).features.numpy()
        tiled = look(network, pixels).features.numpy()
        assert whole.shape == tiled.shape == (125, 108, 6)
        error = np.abs(tiled - whole).max(-1)
        near = near_seams((500, 430), NATIVE, Blurred.REACH)
        assert 0.2 < near.mean() < 0.9
        assert error[~near].max() < 1e-6
        assert 1e-4 < error[near].max() < 0.5

    def test_evidence_is_blended_alike(self) -> None:
        pixels, mask = red_square((300, 280), (slice(40, 200), slice(60, 240)))
        found = look(red_detector(), pixels)
        whole = look(red_detector(), pixels, replace(NATIVE, tile=512))
        assert found.evidence is not None
        assert whole.evidence is not None
        torch.testing.assert_close(found.evidence, whole.evidence, atol=1e-4, rtol=1e-5)
        np.testing.assert_array_equal(found.evidence > 0, mask[::4, ::4])

    def test_a_tile_weighs_the_same_whatever_the_length_of_its_vectors(self) -> None:
        """The bright half has vectors ten times as long; the seam must not show its direction."""
        pixels = np.full((64, 160, 3), (20, 10, 10), np.uint8)
        pixels[:, 64:] = (100, 200, 100)
        config = FocalConfig(tile=64, overlap=32, copies=False)
        found = look(bare(mean_colour()), pixels, config).features.numpy()
        expected = np.repeat(np.repeat([[[2, 1, 1]], [[1, 2, 1]]], [16, 24], 0), 16, 1) / 6**0.5
        np.testing.assert_allclose(found.transpose(1, 0, 2), expected, atol=1e-6)

    def test_no_more_than_a_tile_is_computed_at_once(self) -> None:
        backbone = Blurred()
        look(bare(backbone), photo(1000, 150))
        assert len(backbone.seen) == len(spans(1000, 128, 64)) * len(spans(150, 128, 64))
        assert max(max(shape[2:]) for shape in backbone.seen) == 128
        assert {shape[:2] for shape in backbone.seen} == {(1, 3)}

    def test_a_small_picture_is_computed_once_and_as_it_is(self) -> None:
        backbone = Blurred()
        look(bare(backbone), photo(128, 100))
        assert backbone.seen == [(1, 3, 128, 100)]

    @pytest.mark.parametrize(
        "size", [(1, 1), (1, 2), (1, 97), (1, 700), (700, 1), (31, 33), (17, 4000), (129, 257)]
    )
    @torch.inference_mode()
    def test_any_size(self, size: tuple[int, int]) -> None:
        found = look(tiny_network(), photo(*size))
        grid = (-(-size[0] // 4), -(-size[1] // 4))
        assert found.features.shape == (*grid, TINY["dim"])
        assert found.evidence is not None
        assert found.evidence.shape == grid
        assert torch.isfinite(found.evidence).all()
        torch.testing.assert_close(found.features.norm(dim=-1), torch.ones(grid))


class TestSquare:
    def test_sees_the_squeezed_picture(self) -> None:
        pixels = photo(90, 200)
        backbone = mean_colour()
        config = FocalConfig(geometry="square", square_size=64, copies=False)
        found = look(bare(backbone), pixels, config)
        assert backbone.seen == [(1, 3, 64, 64)]
        squeezed = cv2.resize(pixels, (64, 64), interpolation=cv2.INTER_LINEAR).astype(float)
        means = squeezed.reshape(16, 4, 16, 4, 3).mean((1, 3))
        means /= np.linalg.norm(means, axis=-1, keepdims=True)
        np.testing.assert_allclose(found.features, means, atol=1e-5)


class TestFusion:
    def test_each_network_has_unit_length(self) -> None:
        found = look([tiny_network(0), tiny_network(1), bare(Blurred())], photo(60, 80))
        assert found.features.shape == (15, 20, 8 + 8 + 6)
        for part in found.features.split([8, 8, 6], dim=-1):
            torch.testing.assert_close(part.norm(dim=-1), torch.ones(15, 20))

    def test_evidence_is_the_mean_over_those_that_have_it(self) -> None:
        a, b = tiny_network(0), tiny_network(1)
        alone = [look(n, photo(60, 80)).evidence for n in (a, b)]
        together = look([a, bare(Blurred()), b], photo(60, 80)).evidence
        assert together is not None
        torch.testing.assert_close(together, (alone[0] + alone[1]) / 2)  # type: ignore[operator]
        assert look([bare(Blurred()), bare(mean_colour())], photo(60, 80)).evidence is None

    @pytest.mark.parametrize("size", [(64, 96), (70, 101), (17, 250), (1, 1)])
    def test_a_finer_network_is_read_where_the_coarse_cell_begins(
        self, size: tuple[int, int]
    ) -> None:
        """As the released code does on sides that divide, and as exactly on those that do not."""
        pixels = photo(*size)
        found = look([bare(mean_colour(16)), bare(mean_colour(4))], pixels).features
        fine = look(bare(mean_colour(4)), pixels).features
        assert found.shape[:2] == (-(-size[0] // 16), -(-size[1] // 16))
        torch.testing.assert_close(found[..., 3:], fine[::4, ::4])

    @pytest.mark.parametrize("size", [(64, 96), (70, 101), (17, 250), (1, 1)])
    def test_a_coarser_network_is_repeated(self, size: tuple[int, int]) -> None:
        pixels = photo(*size)
        found = look([bare(mean_colour(4)), bare(mean_colour(16))], pixels).features
        coarse = look(bare(mean_colour(16)), pixels).features
        rows, columns = found.shape[:2]
        repeated = coarse.repeat_interleave(4, 0).repeat_interleave(4, 1)[:rows, :columns]
        torch.testing.assert_close(found[..., 3:], repeated)

    @pytest.mark.parametrize("strides", [(4, 16), (16, 4)])
    def test_evidence_stays_in_place(self, strides: tuple[int, int]) -> None:
        pixels, mask = red_square((90, 140), (slice(32, 64), slice(64, 128)))
        networks = [red_detector(stride) for stride in strides]
        found = look(networks, pixels)
        assert found.evidence is not None
        assert found.evidence.shape == found.features.shape[:2]
        marked = found.evidence.numpy() > 0
        first = strides[0]
        expected = mask[::first, ::first]
        assert marked[expected].mean() > 0.9
        assert marked[~expected].mean() < 0.1

    def test_hrnet_and_vit(self) -> None:
        """The two published kinds of network, small and filled by the recipe."""
        vit = create_backbone(
            "focal-vit-l", img_size=128, embed_dim=32, depth=2, num_heads=2, window_size=4,
            global_blocks=(1,), channels=8,
        )  # fmt: skip
        recipe.fill(vit, lambda key: key.removeprefix("net."))
        config = FocalConfig(geometry="square", square_size=128, copies=False)
        found = look([bare(vit), bare(Blurred())], photo(100, 150), config)
        assert found.features.shape == (8, 8, 8 + 6)
        torch.testing.assert_close(found.features.norm(dim=-1), torch.full((8, 8), 2**0.5))


@pytest.mark.parametrize("size", [(96, 96), (200, 180)])
def test_bfloat16_is_near_and_comes_back_as_float32(size: tuple[int, int]) -> None:
    network, pixels = tiny_network(), photo(*size)
    exact, near = look(network, pixels), look(network, pixels, dtype=torch.bfloat16)
    assert near.features.dtype == torch.float32
    assert near.evidence is not None
    assert near.evidence.dtype == torch.float32
    error = (near.features - exact.features).abs()
    assert 0 < error.max() < 0.2
    assert error.mean() < 0.02


def test_the_same_picture_gives_the_same_maps() -> None:
    network = tiny_network()
    first, second = (look(network, photo(150, 300)) for _ in range(2))
    assert torch.equal(first.features, second.features)
    assert torch.equal(first.evidence, second.evidence)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(96, 128), (90, 117), (200, 300)])
def test_two_views_are_the_mean_of_both_ways(size: tuple[int, int]) -> None:
    """The maps of a mirror image are the mirror images of the maps."""
    both, pixels = replace(NATIVE, views=2), photo(*size, seed=3)
    network = tiny_network()
    found, turned = look(network, pixels, both), look(network, pixels[:, ::-1].copy(), both)
    assert found.evidence is not None
    assert turned.evidence is not None
    assert found.evidence.shape == (-(-size[0] // 4), -(-size[1] // 4))
    plain = look(network, pixels)
    assert plain.evidence is not None
    assert float((found.evidence - plain.evidence).abs().max()) > 1e-3
    if size[1] % 32 == 0:
        assert torch.allclose(found.evidence, turned.evidence.flip(1), atol=1e-4)
        assert torch.allclose(found.features, turned.features.flip(1), atol=1e-4)
    lengths = found.features.norm(dim=2)
    assert torch.allclose(lengths, torch.ones_like(lengths), atol=1e-5)


@pytest.mark.parametrize("size", [(96, 128), (90, 117), (200, 300)])
def test_three_views_are_the_mean_of_two_and_of_rows_and_columns_exchanged(
    size: tuple[int, int],
) -> None:
    network, pixels = tiny_network(), photo(*size, seed=4)
    one, two, three = (look(network, pixels, replace(NATIVE, views=n)) for n in (1, 2, 3))
    turned = look(network, pixels.transpose(1, 0, 2).copy(), NATIVE)
    grid = (-(-size[0] // 4), -(-size[1] // 4))
    assert two.evidence is not None
    assert three.evidence is not None
    assert turned.evidence is not None
    assert three.evidence.shape == three.features.shape[:2] == grid
    assert float((three.evidence - two.evidence).abs().max()) > 1e-3
    if not any(side % 32 for side in size):
        # Without a rim to extend, the views are those of the whole picture.
        expected = (2 * two.evidence + turned.evidence.T) / 3
        assert torch.allclose(three.evidence, expected, atol=1e-4)
        alone = (three.features - one.features).abs()
        assert float(alone.max()) > 1e-3
    lengths = three.features.norm(dim=2)
    assert torch.allclose(lengths, torch.ones_like(lengths), atol=1e-5)


def test_blocks_of_every_view_begin_in_the_corner() -> None:
    """In every view the network sees sides that divide by four blocks, whatever the picture's."""
    network = mean_colour()
    look(bare(network), photo(90, 117, seed=1), replace(NATIVE, views=3))
    assert network.seen == [(1, 3, 96, 128), (1, 3, 96, 128), (1, 3, 128, 96)]


def test_networks_keep_no_gradients() -> None:
    found = look(tiny_network(), photo(32, 32))
    assert not found.features.requires_grad


@pytest.mark.parametrize("copies", [False, True])
def test_copies_are_looked_for_only_when_asked(copies: bool) -> None:
    config: Any = replace(NATIVE, copies=copies)
    found = look(tiny_network(), photo(70, 90), config)
    assert (found.copies is not None) == copies
    if found.copies is not None:
        assert found.copies.shape[1:] == (2, *found.features.shape[:2])


def test_copies_come_as_shares_of_cells_times_confidence(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = np.zeros((64, 96), bool), np.zeros((64, 96), bool)
    first[:32, :32], second[16:48, 64:96] = True, True
    monkeypatch.setattr(features, "find_copies", lambda pixels, grow: [Copy(first, second, 0.5)])
    found = look(tiny_network(), photo(64, 96), replace(NATIVE, copies=True))
    assert found.copies is not None
    rows, columns = found.features.shape[:2]
    assert found.copies.shape == (1, 2, rows, columns)
    assert found.copies.max() == 0.5
    assert float(found.copies[0, 0].mean()) == pytest.approx(0.5 * first.mean(), rel=1e-5)
    assert float(found.copies[0, 1].mean()) == pytest.approx(0.5 * second.mean(), rel=1e-5)
