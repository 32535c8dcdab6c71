"""FOCAL from a picture to a result, loaded as a user loads it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import tamperscope
from hostile import photo
from methods.focal import toys
from methods.focal.toys import (
    TINY,
    bare,
    iou,
    mean_colour,
    red_detector,
    red_square,
    save_tiny,
    save_weights,
)
from reference import recipe
from tamperscope import catalog
from tamperscope.backbones import create_backbone
from tamperscope.backbones.base import Backbone
from tamperscope.clustering.postprocess import resize_mask
from tamperscope.errors import (
    ConfigError,
    ImageError,
    TruncatedImageError,
    UnknownNameError,
    WeightsError,
    WeightsMismatchError,
    WeightsNotFoundError,
)
from tamperscope.methods.focal import features
from tamperscope.methods.focal.config import PRESETS, FocalConfig, resolve
from tamperscope.methods.focal.copies import Copy
from tamperscope.methods.focal.decision import Calibration
from tamperscope.methods.focal.localizer import FocalLocalizer
from tamperscope.methods.focal.network import FocalNetwork
from tamperscope.metrics.pixel import focal_f1, focal_iou
from tamperscope.provenance import config_digest
from tamperscope.result import Localization, MapKind
from tamperscope.weights import LoadedWeights

ARRAYS = np.load(recipe.FOLDER / "focal_misc.npz")
NUMBERS = json.loads((recipe.FOLDER / "focal_misc.json").read_text())
CARD = catalog.card("focal")

Load = Callable[..., FocalLocalizer]


def load(**options: Any) -> FocalLocalizer:
    """`tamperscope.load`, on the processor."""
    localizer = tamperscope.load("focal", **({"device": "cpu"} | options))
    assert isinstance(localizer, FocalLocalizer)
    return localizer


def assembled(
    *networks: FocalNetwork, calibration: Calibration | None = None, **config: Any
) -> FocalLocalizer:
    """A localizer of networks that have no file."""
    weights = [LoadedWeights(path=Path(f"{i}.pth"), sha256="0" * 64, card=None) for i in (0, 1)]
    preset = config.pop("preset", "default")
    return FocalLocalizer(
        CARD,
        networks,
        weights[: len(networks)],
        resolve(preset, config),
        preset=preset,
        calibration=calibration,
    )


def same(a: Localization, b: Localization) -> None:
    np.testing.assert_array_equal(a.score_map, b.score_map)
    np.testing.assert_array_equal(a.mask, b.mask)
    assert a.image_score == b.image_score


# --- the released pipeline -----------------------------------------------------------------------


def test_from_a_picture_to_the_official_scores() -> None:
    """The official run ended in one of the many local optima of a random network's features, drawn
    by its own random state: one of our starts has to end in exactly the same place."""
    weight, bias = (torch.from_numpy(ARRAYS[f"tiny_{part}"]) for part in "wb")
    network = bare(toys.Patches(weight, bias))
    pixels = np.ascontiguousarray(ARRAYS["pre_image_bgr"][..., ::-1])
    truth = ARRAYS["pre_mask_gray"] > 127
    expected = (pytest.approx(NUMBERS["e2e_f1"]), pytest.approx(NUMBERS["e2e_iou"]))
    options: dict[str, Any] = {"preset": "as-released", "square_size": 64, "kmeans_restarts": 1}
    for seed in range(200):
        mask = assembled(network, seed=seed, **options).localize(pixels).mask
        scores = focal_f1(mask, truth, grid=(16, 16)), focal_iou(mask, truth, grid=(16, 16))
        if scores == expected:
            return
    pytest.fail(f"no start leads to the official {NUMBERS['e2e_f1']}, {NUMBERS['e2e_iou']}")


@pytest.fixture(scope="module")
def tiny_vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SAM encoder, small, filled by the recipe, with its card."""
    options: dict[str, Any] = {
        "img_size": 128, "embed_dim": 32, "depth": 2, "num_heads": 2, "window_size": 4,
        "global_blocks": [1], "channels": 8,
    }  # fmt: skip
    vit = create_backbone("focal-vit-l", **options)
    state = recipe.fill(vit, lambda key: key.removeprefix("net."))
    path = tmp_path_factory.mktemp("vit") / "vit.safetensors"
    return save_weights(path, state, backbone="focal-vit-l", options=options)


def test_as_released_with_vit_and_hrnet(tiny_vit: Path, published_hrnet: Path) -> None:
    weights = [tiny_vit, published_hrnet]
    localizer = load(preset="as-released", weights=weights, square_size=128)
    found = localizer.localize(photo(90, 170))
    assert found.size == (90, 170)
    assert found.map_kind is MapKind.CLUSTER_SIMILARITY
    assert 0 < found.forged_fraction <= 0.55
    assert list(found.provenance.weights) == ["vit", "FOCAL_HRNet_weights.pth"]
    assert found.provenance.config["preset"] == "as-released"
    notes = found.provenance.notes
    assert notes["clustering"] == "kmeans"
    assert sum(notes["foreground"]["pixels"].values()) == 8 * 8  # the grid of the first
    same(found, localizer.localize(photo(90, 170)))


def test_as_published_with_hrnet(published_hrnet: Path) -> None:
    settings: dict[str, Any] = {"square_size": 128, "min_cluster_size": 50}
    found = load(preset="as-published", weights=published_hrnet, **settings).localize(photo(60, 80))
    assert found.size == (60, 80)
    notes = found.provenance.notes
    assert notes["clustering"] == "hdbscan"
    assert notes["foreground"]["rules"] == {
        "pristine": "largest",
        "noise": "forged-cluster",
        "more_than_half": "keep",
    }
    cells = sum(notes["foreground"]["pixels"].values()) + notes["foreground"]["noise_pixels"]
    assert cells == 32 * 32


@pytest.mark.parametrize("preset", ["as-released", "as-published"])
def test_presets_need_only_features(preset: str, tiny_vit: Path) -> None:
    found = load(preset=preset, weights=tiny_vit, square_size=128, min_cluster_size=5)
    assert found.localize(photo(60, 80)).size == (60, 80)


# --- fusion through load -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two compact networks with cards; only the second is calibrated."""
    folder = tmp_path_factory.mktemp("two")
    decision = {"evidence": 0.7, "bias": -0.3, "threshold": 0.4}
    first = save_tiny(folder / "a.safetensors", seed=0)
    return first, save_tiny(folder / "b.safetensors", seed=1, decision=decision)


def test_fusion_of_two(two: tuple[Path, Path]) -> None:
    a, b = two
    both = load(weights=[a, b]).localize(photo(60, 80))
    assert list(both.provenance.weights) == ["a", "b"]
    assert both.threshold == 0.4
    alone = [load(weights=w).localize(photo(60, 80)).score_map for w in two]
    assert not any(np.array_equal(both.score_map, one) for one in alone)


def test_weights_may_be_one_text(two: tuple[Path, Path]) -> None:
    a, b = two
    text = load(weights=f"{a}, {b}")
    assert text.describe() == load(weights=[a, b]).describe()
    same(text.localize(photo()), load(weights=(str(a), b)).localize(photo()))


def test_a_comma_in_a_file_name(two: tuple[Path, Path], tmp_path: Path) -> None:
    path = save_tiny(tmp_path / "a,b.safetensors")
    assert load(weights=str(path)).localize(photo()).provenance.weights.keys() == {"a,b"}


def test_order_and_repeats_are_part_of_the_description(two: tuple[Path, Path]) -> None:
    a, b = two
    ahead, turned, twice = (load(weights=w).describe() for w in ([a, b], [b, a], [a, a]))
    assert len({config_digest(d) for d in (ahead, turned, twice)}) == 3
    assert list(load(weights=[a, a]).localize(photo()).provenance.weights) == ["a", "a (2)"]


# --- geometry ------------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [4, 16])
@pytest.mark.parametrize("size", [(96, 160), (98, 163), (113, 161), (95, 151)])
def test_masks_lie_where_the_picture_is(stride: int, size: tuple[int, int]) -> None:
    """Also where the sides do not divide by the stride: cells start in the corner."""
    pixels, mask = red_square(size, (slice(32, 80), slice(64, 144)))
    found = assembled(red_detector(stride), upsampling="nearest").localize(pixels)
    np.testing.assert_array_equal(found.mask, mask)


def test_last_cell_is_cut_not_stretched() -> None:
    pixels, mask = red_square((26, 33), (slice(16, 26), slice(0, 33)))
    found = assembled(red_detector(16), upsampling="nearest").localize(pixels)
    np.testing.assert_array_equal(found.mask, mask)


def test_tiles_do_not_show() -> None:
    pixels, mask = red_square((300, 420), (slice(100, 200), slice(120, 320)))
    small = assembled(red_detector(), tile=128, overlap=32).localize(pixels)
    whole = assembled(red_detector(), tile=512).localize(pixels)
    np.testing.assert_array_equal(small.mask, whole.mask)
    np.testing.assert_allclose(small.score_map, whole.score_map, atol=1e-5)
    assert iou(small.mask, mask) > 0.97


@pytest.mark.parametrize("size", [(300, 420), (301, 207)])
def test_a_shrunk_picture_gets_its_mask_at_its_own_size(size: tuple[int, int]) -> None:
    pixels, mask = red_square(size, (slice(100, 200), slice(60, 180)))
    found = assembled(red_detector(), network_pixels=16_384).localize(pixels)
    assert found.size == size
    assert iou(found.mask, mask) > 0.9
    rows, columns = found.provenance.notes["shrunk_to"]
    assert 0.95 * 16_384 < rows * columns <= 16_384
    small = assembled(red_detector(), network_pixels=size[0] * size[1]).localize(pixels)
    same(small, assembled(red_detector()).localize(pixels))
    assert "shrunk_to" not in small.provenance.notes


def test_fast_uses_the_weights_that_ship() -> None:
    fast = load(preset="fast")
    large = fast.localize(photo(700, 900))
    assert large.size == (700, 900)
    assert large.provenance.notes["shrunk_to"] == [451, 580]
    small = photo(120, 160)
    same(fast.localize(small), load().localize(small))


@pytest.mark.parametrize("size", [64, 100])
def test_square_masks_come_back_to_the_picture(size: int) -> None:
    """100 does not divide by 16: the last cells see mirrored pixels, which must not show."""
    pixels, mask = red_square((200, 400), (slice(40, 120), slice(80, 240)))
    localizer = assembled(
        red_detector(4), red_detector(16), geometry="square", square_size=size, clustering="kmeans"
    )
    found = localizer.localize(pixels)
    assert iou(found.mask, mask) > 0.8
    assert found.size == (200, 400)


@pytest.mark.parametrize("method", ["nearest", "bilinear"])
def test_upsampling(method: Any) -> None:
    pixels, _ = red_square((64, 64), (slice(20, 44), slice(12, 52)))
    found = assembled(red_detector(), upsampling=method).localize(pixels)
    cells = red_square((64, 64), (slice(20, 44), slice(12, 52)))[1][::4, ::4]
    np.testing.assert_array_equal(found.mask, resize_mask(cells, (64, 64), method=method))


@pytest.mark.parametrize("clustering", ["seeded", "kmeans", "hdbscan"])
@pytest.mark.parametrize("size", [(1, 1), (1, 90), (90, 1), (17, 400), (33, 31)], ids=str)
def test_any_size(clustering: str, size: tuple[int, int], two: tuple[Path, Path]) -> None:
    found = load(weights=two[1], clustering=clustering, min_cluster_size=20).localize(photo(*size))
    assert found.size == size


# --- decision ------------------------------------------------------------------------------------

SPLICED, SQUARE = red_square((96, 128), (slice(32, 64), slice(48, 96)))


@pytest.mark.parametrize("clustering", ["seeded", "kmeans", "hdbscan"])
def test_every_clustering_finds_the_square(clustering: str) -> None:
    found = assembled(
        red_detector(), clustering=clustering, min_cluster_size=30, upsampling="nearest"
    ).localize(SPLICED)
    np.testing.assert_array_equal(found.mask, SQUARE)
    assert found.provenance.notes["clustering"] == clustering


@pytest.mark.parametrize(
    ("clustering", "kind"),
    [
        ("seeded", MapKind.PROBABILITY),
        ("kmeans", MapKind.CLUSTER_SIMILARITY),
        ("hdbscan", MapKind.CLUSTER_SIMILARITY),
    ],
)
def test_the_card_names_the_kind_of_map(clustering: str, kind: MapKind) -> None:
    localizer = assembled(red_detector(), clustering=clustering)
    assert localizer.card.map_kind is kind
    assert localizer.localize(SPLICED).map_kind is kind


def test_image_threshold_gates_the_mask() -> None:
    calibration = Calibration(image_top=0.1, image_threshold=0.9)
    gated = assembled(red_detector(), calibration=calibration).localize(SPLICED)
    assert gated.image_score < 0.9
    assert not gated.flagged
    assert gated.score_map.max() > 0.9
    assert gated.provenance.notes["below_image_threshold"] is True
    free = assembled(red_detector(), calibration=calibration, image_threshold=0)
    assert free.localize(SPLICED).flagged


def test_pooling_is_in_the_notes() -> None:
    notes = {
        limit: assembled(red_detector(), clustering="kmeans", max_points=limit)
        .localize(SPLICED)
        .provenance.notes["pooled_from"]
        for limit in (0, 24 * 32, 300)
    }
    assert notes == {0: None, 24 * 32: None, 300: [24, 32]}


def test_everything_that_was_decided_is_in_the_provenance(two: tuple[Path, Path]) -> None:
    told = load(weights=two[1], opening=1, seed=5).localize(photo()).provenance
    assert told.config["opening"] == 1
    assert told.config["calibration"]["threshold"] == 0.4
    assert set(told.config) >= {"preset", "networks", *PRESETS["default"].__dataclass_fields__}
    assert set(told.seconds) == {"decode", "features", "clustering", "upsampling"}
    assert (told.seed, told.device, told.precision) == (5, "cpu", "fp32")


# --- same picture, same result -------------------------------------------------------------------


@pytest.mark.parametrize("clustering", ["seeded", "kmeans", "hdbscan"])
def test_alone_and_in_a_batch(clustering: str, two: tuple[Path, Path]) -> None:
    localizer = load(weights=two[1], clustering=clustering, min_cluster_size=20)
    sources = [photo(64, 80), photo(33, 47), photo(1, 1), photo(64, 80, seed=3), photo(64, 80)]
    batch = localizer.localize_batch(sources)
    for found, source in zip(batch, sources, strict=True):
        same(found, localizer.localize(source))
    same(batch[0], batch[4])
    same(batch[3], load(weights=two[1], clustering=clustering, min_cluster_size=20).localize(
        sources[3]
    ))  # fmt: skip


def test_a_bad_picture_in_a_batch_is_named() -> None:
    with pytest.raises(TruncatedImageError, match="picture 2 of 2: "):
        assembled(red_detector()).localize_batch([SPLICED, b"\xff\xd8\xff\xe0"])
    with pytest.raises(ImageError, match=r"more than the limit of 100"):
        load(max_pixels=100).localize(SPLICED)


# --- precision and device ------------------------------------------------------------------------


def test_bf16_is_used_when_asked_for(two: tuple[Path, Path]) -> None:
    near = load(weights=two[1], precision="bf16").localize(photo(64, 80))
    exact = load(weights=two[1], precision="fp32").localize(photo(64, 80))
    assert (near.provenance.precision, exact.provenance.precision) == ("bf16", "fp32")
    assert 0 < np.abs(near.score_map - exact.score_map).max() < 0.2


def test_auto_on_a_processor_is_what_the_record_allows(two: tuple[Path, Path]) -> None:
    auto = load(weights=two[1]).localize(photo(64, 80))
    assert auto.provenance.precision == "fp32"
    same(auto, load(weights=two[1], precision="fp32").localize(photo(64, 80)))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"precision": "fp16"}, ConfigError, "unknown precision 'fp16': use auto, fp32 or bf16"),
        ({"device": "warp"}, ConfigError, "unknown device 'warp': use auto, cpu, cuda, cuda:1 or"),
        ({"device": "meta"}, ConfigError, "unknown device 'meta': use auto, cpu, cuda, cuda:1 or"),
        ({"device": "cuda:99"}, ConfigError, "no such CUDA device here; use --device cpu"),
        ({"weights": ""}, ConfigError, "no weights named: give a name or a file, or leave"),
        ({"weights": []}, ConfigError, "no weights named: give a name or a file, or leave"),
        ({"weights": "focal-compct"}, UnknownNameError, "did you mean 'focal-compact'"),
        ({"weights": Path("no.pth")}, WeightsNotFoundError, "no weights file no.pth: give an"),
        ({"preset": "as-released"}, WeightsNotFoundError, "download FOCAL_ViT_weights.pth and"),
        ({"clustering": "kmean"}, ConfigError, "focal has no clustering 'kmean'; known: seeded"),
        ({"opening": "big"}, ConfigError, "focal: opening must be a whole number, not 'big'"),
    ],
    ids=str,
)
def test_what_cannot_be_loaded(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as raised:
        load(**options)
    assert "\n" not in str(raised.value)


def test_wrong_weights_are_one_line(tmp_path: Path) -> None:
    page = tmp_path / "page.pth"
    page.write_text("<html>confirm</html>")
    other = save_weights(
        tmp_path / "other.safetensors",
        toys.tiny_network().state_dict(),
        backbone="compact",
        options={**TINY, "evidence": False},
    )
    odd = save_tiny(tmp_path / "odd.safetensors", decision={"tau": 0.5})
    cases: list[tuple[Path, type[Exception], str]] = [
        (page, WeightsError, "is a web page, not weights"),
        (other, WeightsMismatchError, r"8 unexpected: .*evidence\.\d"),
        (odd, WeightsError, "the card of odd has unknown decision keys"),
    ]
    for path, error, message in cases:
        with pytest.raises(error, match=message) as raised:
            load(weights=path)
        assert "\n" not in str(raised.value)


def test_weights_without_evidence_need_another_clustering(tmp_path: Path) -> None:
    """Said when loading, not once for every picture."""
    network = toys.tiny_network(evidence=False)
    path = save_weights(
        tmp_path / "bare.safetensors", network.state_dict(), backbone="compact",
        options={**TINY, "evidence": False},
    )  # fmt: skip
    with pytest.raises(ConfigError, match="these weights have no evidence head: use clustering="):
        load(weights=path)
    with pytest.raises(ConfigError, match="and another rule for pristine than evidence"):
        load(weights=path, clustering="kmeans", pristine="evidence")
    assert load(weights=path, clustering="kmeans").localize(photo()).size == (48, 64)


def test_one_network_with_evidence_is_enough(tmp_path: Path) -> None:
    silent: Backbone = mean_colour()
    found = assembled(bare(silent), red_detector()).localize(SPLICED)
    assert iou(found.mask, SQUARE) > 0.95


def test_default_weights_are_the_shipped_ones(tmp_path: Path) -> None:
    localizer = load()
    found = localizer.localize(photo(80, 120))
    assert list(found.provenance.weights) == ["focal-compact"]
    assert localizer.describe()["config"] == found.provenance.config
    assert FocalConfig(**{
        k: v for k, v in found.provenance.config.items() if k in FocalConfig.__dataclass_fields__
    }) == FocalConfig()  # fmt: skip
    back = Localization.load(found.save(tmp_path, "a")[0])
    same(back, found)


def picture_of(noise: int) -> NDArray[np.uint8]:
    """One colour, with a little noise."""
    rng = np.random.default_rng(noise)
    return np.clip(rng.normal(120, noise, (64, 64, 3)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("noise", [0, 2])
def test_an_even_picture_is_clean_under_hdbscan(noise: int) -> None:
    network = bare(mean_colour())
    found = assembled(network, clustering="hdbscan", min_cluster_size=30).localize(
        picture_of(noise)
    )
    assert not found.flagged
    assert found.image_score == 0


@pytest.mark.parametrize("config", [{}, {"network_pixels": 16_384}, {"stride": 16}])
def test_both_places_of_a_copy_are_named(
    config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels, _ = red_square((208, 305), (slice(100, 200), slice(60, 180)))

    def two(shown: NDArray[np.uint8], *, grow: bool) -> list[Copy]:
        h, w = shown.shape[:2]
        first, second = np.zeros((h, w), bool), np.zeros((h, w), bool)
        first[: h // 2, : w // 4], second[h // 2 :, w // 2 :] = True, True
        return [Copy(first, second, 0.93), Copy(first, second, 0.4)]

    monkeypatch.setattr(features, "find_copies", two)
    stride = config.pop("stride", 4)
    notes: Any = assembled(red_detector(stride), **config).localize(pixels).provenance.notes
    assert notes["surest_copy"] == pytest.approx(0.93, abs=1e-4)
    (pair,) = notes["copied"]
    assert pair["confidence"] == 0.93
    np.testing.assert_allclose(
        pair["boxes"], [[0, 0, 76, 104], [152, 104, 305, 208]], atol=stride * 2
    )
    assert pair["boxes"][1][2:] == [305, 208]


def test_pictures_without_copies_name_none() -> None:
    notes = load().localize(photo(80, 120)).provenance.notes
    assert "copied" not in notes
    assert notes["surest_copy"] == 0.0
