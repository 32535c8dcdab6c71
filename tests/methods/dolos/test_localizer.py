"""From pictures to results, and that a file with its card is all it takes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hostile import photo
from methods.dolos.toys import FAST, random_network, save_network, save_random
from tamperscope import catalog
from tamperscope.engines.precision import computing
from tamperscope.errors import ConfigError, WeightsError
from tamperscope.image import read_image
from tamperscope.methods.dolos import maps
from tamperscope.methods.dolos.localizer import DolosLocalizer
from tamperscope.methods.dolos.network import METHODS
from tamperscope.result import Localization, MapKind
from tamperscope.weights import cards
from tamperscope.weights.cards import parse_cards, sidecar


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random weights for each method."""
    folder = tmp_path_factory.mktemp("dolos")
    return {name: save_random(folder / f"{name}.safetensors", name) for name in METHODS}


def load(path: Path, method: str = "dolos-patches", **options: Any) -> DolosLocalizer:
    found = catalog.load(method, weights=path, device="cpu", **{"size": FAST, **options})
    assert isinstance(found, DolosLocalizer)
    return found


@pytest.mark.parametrize("method", METHODS)
def test_result_is_that_of_the_network(method: str, files: dict[str, Path]) -> None:
    picture = photo(120, 90)
    localizer = load(files[method], method)
    found = localizer.localize(picture)
    raw, score = localizer.raw(read_image(picture))
    grid = {"dolos-patches": 12, "dolos-patches-weak": 12, "dolos-gradcam-weak": FAST}
    assert raw.shape == (grid.get(method, 6),) * 2
    labelled = method in ("dolos-attention-weak", "dolos-gradcam-weak")
    expected = 1 / (1 + np.exp(-score)) if labelled else raw.mean(dtype=np.float64)
    assert found.image_score == pytest.approx(expected, abs=1e-12)
    assert found.threshold == 0.5
    np.testing.assert_array_equal(found.mask, found.score_map > 0.5)
    assert raw.std() > 1e-4
    saliency = method == "dolos-gradcam-weak"
    assert (found.map_kind is MapKind.SALIENCY) == saliency
    assert (found.map_kind is MapKind.PROBABILITY) != saliency


def test_localizing_twice_leaves_no_hook(files: dict[str, Path]) -> None:
    localizer = load(files["dolos-gradcam-weak"], "dolos-gradcam-weak")
    localizer.localize(photo())
    assert not any(module._forward_hooks for module in localizer._network.modules())
    with torch.inference_mode():
        same = localizer.localize(photo())
    np.testing.assert_array_equal(same.score_map, localizer.localize(photo()).score_map)


def test_the_network_is_only_read(files: dict[str, Path]) -> None:
    network = load(files["dolos-attention-weak"], "dolos-attention-weak")._network
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())


@pytest.mark.parametrize(
    ("method", "published"),
    [
        ("dolos-patches", "bilinear"),
        ("dolos-patches-weak", "lanczos"),
        ("dolos-attention", "bilinear"),
        ("dolos-attention-weak", "bilinear"),
        ("dolos-gradcam", "bilinear"),
        ("dolos-gradcam-weak", "lanczos"),
    ],
)
def test_resampling(method: str, published: str, tmp_path: Path) -> None:
    """The card's, if it names one; the published one otherwise; the caller's above both."""
    network = random_network(method)
    for preprocessing, expected in (("native", published), ("lanczos", "lanczos")):
        path = save_network(
            tmp_path / "a.safetensors", network, method, preprocessing=preprocessing
        )
        assert load(path, method)._config.resample == expected
        assert load(path, method, resample="bilinear")._config.resample == "bilinear"


def test_both_filters_are_really_used(files: dict[str, Path]) -> None:
    maps = [
        load(files["dolos-patches"], resample=name).localize(photo(200, 200)).score_map
        for name in ("bilinear", "lanczos")
    ]
    assert np.abs(maps[0] - maps[1]).max() > 1e-4


def test_the_side_of_the_card(tmp_path: Path) -> None:
    """Where the caller names none; the published one without either."""
    network, image = random_network("dolos-patches"), read_image(photo(150, 120))
    told, silent = (
        save_network(tmp_path / f"{side}.safetensors", network, "dolos-patches", side=side)
        for side in (128, 0)
    )
    expected = {side: load(silent, size=side).raw(image)[0] for side in (128, 160, 299)}
    for path, size, side in ((told, 0, 128), (silent, 0, 299), (told, 160, 160)):
        localizer = load(path, size=size)
        assert localizer.describe()["config"]["size"] == side  # type: ignore[call-overload, index]
        np.testing.assert_array_equal(localizer.raw(image)[0], expected[side])


@pytest.mark.parametrize("method", METHODS)
def test_every_network_runs_at_the_smallest_side(method: str, files: dict[str, Path]) -> None:
    found = load(files[method], method, size=32).localize(photo())
    assert found.score_map.shape == photo().shape[:2]
    assert np.isfinite(found.score_map).all()


@pytest.mark.parametrize("method", ["dolos-patches", "dolos-gradcam-weak"])
def test_networks_run_in_the_precision_that_was_asked_for(
    method: str, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.dtype] = []

    def spy(device: torch.device, dtype: torch.dtype) -> Any:
        assert device == torch.device("cpu")
        seen.append(dtype)
        return computing(device, dtype)

    monkeypatch.setattr(maps, "computing", spy)
    load(files[method], method, precision="bf16").localize(photo())
    back = [torch.float32] if method == "dolos-gradcam-weak" else []
    assert seen == [*back, torch.bfloat16]


def test_thresholds_of_the_card(tmp_path: Path) -> None:
    network = random_network("dolos-patches")
    path = save_network(
        tmp_path / "a.safetensors", network, "dolos-patches",
        decision={"threshold": 0.25, "image_threshold": 0.99},
    )  # fmt: skip
    found = load(path).localize(photo())
    assert found.threshold == 0.25
    assert not found.flagged
    assert found.score_map.max() > 0.25
    free = load(path, image_threshold=0.0, threshold=0.0).localize(photo())
    assert free.threshold == 0
    assert free.flagged


def test_calibration_of_the_card(tmp_path: Path) -> None:
    decision = {"image_scale": 20.0, "image_bias": -9.0}
    path = save_random(tmp_path / "a.safetensors", "dolos-patches", decision=decision)
    localizer, plain = load(path), load(path, image_score="mean")
    _, raw = localizer.raw(read_image(photo()))
    found = localizer.localize(photo())
    assert found.image_score == pytest.approx(1 / (1 + np.exp(9 - 20 * raw)))
    assert found.provenance.config["calibration"] == [20.0, -9.0]
    assert found.provenance.notes["raw_score"] == raw
    assert plain.localize(photo()).image_score == raw
    assert plain.describe() != localizer.describe()


def test_smoothing_and_smallest_region_of_the_card(tmp_path: Path) -> None:
    network = random_network("dolos-patches")
    chosen = {"smoothing": 2.0, "min_region": 0.5}
    path = save_network(tmp_path / "a.safetensors", network, "dolos-patches", decision=chosen)
    found, same = load(path).localize(photo()), load(path, **chosen).localize(photo())
    plain = load(path, smoothing=0.0, min_region=0.0).localize(photo())
    published = load(path, preset="as-published").localize(photo())
    assert (found.score_map == same.score_map).all()
    assert found.score_map.std() < plain.score_map.std()
    assert not found.flagged
    assert plain.flagged
    assert (published.score_map == plain.score_map).all()


def test_a_card_that_ranks_by_the_highest_cells(tmp_path: Path) -> None:
    decision = {"image_scale": 20.0, "image_bias": -9.0, "image_top": 0.01, "threshold": 0.25}
    path = save_random(tmp_path / "a.safetensors", "dolos-patches", decision=decision)
    localizer, published = load(path), load(path, preset="as-published")
    scores, raw = localizer.raw(read_image(photo()))
    highest = np.sort(scores, axis=None)[-round(0.01 * scores.size) :]
    assert raw == pytest.approx(highest.mean())
    found = localizer.localize(photo())
    assert found.image_score == pytest.approx(1 / (1 + np.exp(9 - 20 * raw)))
    assert found.provenance.config["image_score"] == "top"
    assert published.raw(read_image(photo()))[1] == pytest.approx(scores.mean())
    found = published.localize(photo())
    assert found.image_score == pytest.approx(scores.mean())
    assert (found.threshold, found.provenance.config["calibration"]) == (0.5, None)


def test_a_card_that_decides_otherwise(tmp_path: Path) -> None:
    path = save_random(tmp_path / "b.safetensors", "dolos-patches", decision={"margin": 1.0})
    with pytest.raises(WeightsError, match="the card of 'b' decides by margin, which dolos does n"):
        load(path)


def test_card_and_file_are_all_that_shipping_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if weights of the method's own name had been added to the package's list."""
    method = "dolos-attention"
    path = tmp_path / "dolos-attention.safetensors"
    save_network(path, random_network(method, map_only=True), method)
    (card,) = parse_cards(sidecar(path).read_text(encoding="utf-8"), where="here").values()
    shipped = {**cards._shipped_cards(), method: replace(card, file=path.name)}
    monkeypatch.setattr(cards, "_shipped_cards", lambda: shipped)
    monkeypatch.setattr(cards.resources, "files", lambda package: tmp_path)
    found = catalog.load(method, device="cpu").localize(photo(64, 80))
    assert found.provenance.weights == {method: card.sha256}
    assert found.size == (64, 80)


def test_clustered_preset(files: dict[str, Path]) -> None:
    localizer = load(files["dolos-patches"], preset="clustered")
    notes = localizer.localize(photo(96, 96)).provenance.notes
    assert notes["decision"] == "hdbscan"
    assert localizer.describe()["config"]["preset"] == "clustered"  # type: ignore[call-overload, index]


def test_a_picture_of_one_colour_is_clean(files: dict[str, Path], tmp_path: Path) -> None:
    found = load(files["dolos-patches"], threshold=0.0).localize(
        np.full((40, 50, 3), 200, np.uint8)
    )
    assert not found.flagged
    assert found.image_score == 0
    assert found.provenance.notes == {"decision": "clean: one colour"}
    almost = np.full((40, 50, 3), 200, np.uint8)
    almost[-1, -1] = 0
    assert load(files["dolos-patches"], threshold=0.0).localize(almost).flagged
    npz, _ = found.save(tmp_path, "flat")
    assert Localization.load(npz).image_score == 0


@pytest.mark.parametrize("method", ["dolos-patches", "dolos-gradcam-weak"])
def test_bfloat16_is_near(method: str, files: dict[str, Path]) -> None:
    full = load(files[method], method).localize(photo(96, 96))
    half = load(files[method], method, precision="bf16").localize(photo(96, 96))
    assert half.provenance.precision == "bf16"
    assert np.corrcoef(full.score_map.ravel(), half.score_map.ravel())[0, 1] > 0.8


def test_settings_that_cannot_be(files: dict[str, Path]) -> None:
    path = files["dolos-patches"]
    with pytest.raises(ConfigError, match="dolos-patches learns no label"):
        load(path, image_score="logit")
    with pytest.raises(ConfigError, match="runs one network: give one weights file"):
        catalog.load("dolos-patches", weights=[path, path], device="cpu")
    assert catalog.load("dolos-patches", weights=[path], device="cpu").card.name == "dolos-patches"
    with pytest.raises(ConfigError, match="unknown precision 'fp64': use auto, fp32 or bf16"):
        load(path, precision="fp64")
