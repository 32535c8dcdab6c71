"""From pictures to results, and what happens to pictures that are no aligned face."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PILImage

from hostile import photo
from methods.fakelocator.toys import random_network, save_network, save_parser, save_random
from tamperscope import catalog
from tamperscope.engines.precision import computing
from tamperscope.errors import ConfigError, DataError, WeightsError, WeightsNotFoundError
from tamperscope.face_parsing import networks
from tamperscope.face_parsing.parts import PARTS
from tamperscope.face_parsing.registry import load_parser
from tamperscope.image import read_image
from tamperscope.methods.fakelocator import localizer as localizer_module
from tamperscope.methods.fakelocator.localizer import FakeLocatorLocalizer
from tamperscope.methods.fakelocator.network import network_for
from tamperscope.methods.fakelocator.preprocess import prepare, prepare_attention
from tamperscope.result import MapKind
from tamperscope.weights import cards, list_weights, sha256_of

SIZE = 64


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_random(tmp_path_factory.mktemp("fakelocator") / "net.safetensors")


class Drawn:
    """A parser that sees what it is told to: a part and its box, as shares of height and width."""

    weights = {"drawn": "d" * 64}  # noqa: RUF012 - part of the interface

    def __init__(self, *parts: tuple[str, float, float, float, float]) -> None:
        self.parts = parts

    def __call__(self, pixels: np.ndarray, /) -> np.ndarray:
        h, w = pixels.shape[:2]
        labels = np.zeros((h, w), np.uint8)
        for name, top, left, bottom, right in self.parts:
            rows, columns = (
                slice(int(top * h), int(bottom * h)),
                slice(int(left * w), int(right * w)),
            )
            labels[rows, columns] = PARTS.index(name)
        return labels


FACE = (("hair", 0.0, 0.1, 0.4, 0.9), ("skin", 0.2, 0.2, 0.9, 0.8), ("mouth", 0.6, 0.4, 0.8, 0.6))


def with_parser(weights: Path, parser: Any, **options: Any) -> FakeLocatorLocalizer:
    from tamperscope.methods.fakelocator.config import resolve

    network, loaded = network_for(weights)
    config = resolve("default", {"size": SIZE, **options})
    return FakeLocatorLocalizer(catalog.card("fakelocator"), network, loaded, config, parser=parser)


def load(weights: Path, **options: Any) -> FakeLocatorLocalizer:
    options = {"parser": "none", "size": SIZE, **options}
    localizer = catalog.load("fakelocator", weights=weights, device="cpu", **options)
    assert isinstance(localizer, FakeLocatorLocalizer)
    return localizer


def test_the_result_is_that_of_the_network(weights: Path) -> None:
    localizer = with_parser(weights, Drawn(*FACE))
    picture = photo(100, 80)
    found = localizer.localize(picture)
    network, _ = network_for(weights)
    labels = Drawn(*FACE)(picture)
    small = PILImage.fromarray(labels).resize((SIZE, SIZE), PILImage.Resampling.NEAREST)
    attention = prepare_attention(np.asarray(small), network.attention_weights)
    outputs = network.eval()(prepare(picture, size=SIZE)[None], attention[None])
    answer = localizer.answer(read_image(picture))
    expected = outputs["map_logits"].sigmoid()[0, 0].detach().numpy()
    np.testing.assert_allclose(answer.scores, expected, atol=1e-4)
    np.testing.assert_allclose(answer.label, outputs["label_logits"][0].detach(), atol=1e-4)
    np.testing.assert_allclose(answer.embedding, outputs["embedding"][0].detach(), atol=1e-4)
    raw, score = localizer.raw(read_image(picture))
    np.testing.assert_array_equal(raw, answer.scores)
    assert score == found.image_score
    assert found.map_kind is MapKind.FAKENESS
    assert found.score_map.std() > 1e-3
    notes = found.provenance.notes
    assert notes["face"] is True
    assert notes["feature_grid"] == [SIZE, SIZE]
    assert set(notes["parts"]) == {"hair", "skin", "mouth"}  # type: ignore[arg-type]
    assert found.provenance.weights == {"net": sha256_of(weights), "drawn": "d" * 64}


def test_the_attention_is_that_of_the_parts(weights: Path) -> None:
    pictures = photo(64, 64), photo(64, 64, seed=5)
    blind = with_parser(weights, Drawn(("skin", 0.4, 0.4, 0.6, 0.6)))
    a, b = (blind.answer(read_image(p)) for p in pictures)
    seen_a, seen_b = (with_parser(weights, None).answer(read_image(p)) for p in pictures)
    attended = np.abs(a.embedding - b.embedding).sum()
    assert attended < np.abs(seen_a.embedding - seen_b.embedding).sum()


# --- pictures that are no aligned face ---------------------------------------------------------


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (("skin", 0.5, 0.5, 0.55, 0.6),),
        (("hair", 0.0, 0.0, 1.0, 1.0),),
    ],
    ids=["nothing", "a speck", "hair alone"],
)
def test_without_a_face_attention_is_everywhere(weights: Path, parts: Any) -> None:
    found = with_parser(weights, Drawn(*parts)).localize(photo(100, 80))
    plain = with_parser(weights, None).localize(photo(100, 80))
    np.testing.assert_array_equal(found.score_map, plain.score_map)
    assert found.provenance.notes["face"] is False
    assert "parts" not in found.provenance.notes


def test_how_much_face_is_a_face_can_be_chosen(weights: Path) -> None:
    speck = Drawn(("skin", 0.5, 0.5, 0.6, 0.6))
    assert with_parser(weights, speck).localize(photo()).provenance.notes["face"] is False
    chosen = with_parser(weights, speck, face_share=0.005)
    assert chosen.localize(photo()).provenance.notes["face"] is True


def test_several_faces_are_one_set_of_parts(weights: Path) -> None:
    two = Drawn(("skin", 0.1, 0.0, 0.9, 0.4), ("skin", 0.1, 0.6, 0.9, 1.0))
    localizer = with_parser(weights, two)
    found = localizer.localize(photo(100, 160))
    labels = localizer.answer(read_image(photo(100, 160))).labels
    assert labels is not None
    scores = localizer.raw(read_image(photo(100, 160)))[0]
    expected = scores[labels == PARTS.index("skin")].mean()
    assert found.provenance.notes["parts"]["skin"] == pytest.approx(expected, rel=1e-5)  # type: ignore[call-overload,index]


def test_a_cropped_face_has_the_parts_that_are_left(weights: Path) -> None:
    cropped = Drawn(("skin", 0.0, 0.0, 1.0, 1.0), ("nose", 0.8, 0.3, 1.0, 0.7))
    parts = with_parser(weights, cropped).localize(photo()).provenance.notes["parts"]
    assert set(parts) == {"skin", "nose"}  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (33, 47), (300, 40)])
def test_the_small_parser_copes_with_any_picture(
    weights: Path, tmp_path: Path, size: tuple[int, int]
) -> None:
    parser = save_parser(tmp_path / "parser.safetensors")
    found = load(weights, parser=str(parser)).localize(photo(*size))
    assert found.size == size
    assert isinstance(found.provenance.notes["face"], bool)


def test_one_colour_asks_no_network(weights: Path) -> None:
    found = load(weights).localize(np.full((20, 30, 3), 200, np.uint8))
    assert not found.flagged
    assert found.image_score == 0
    assert found.provenance.notes["decision"] == "clean: one colour"


def test_a_parser_that_gives_no_label_map_is_refused(weights: Path) -> None:
    class Wrong(Drawn):
        def __call__(self, pixels: np.ndarray, /) -> np.ndarray:
            return np.full(pixels.shape[:2], 40, np.uint8)

    with pytest.raises(DataError, match="label 40 is none of the 19 parts"):
        with_parser(weights, Wrong()).localize(photo())


# --- weights and options -----------------------------------------------------------------------


def test_the_card_decides(tmp_path: Path) -> None:
    decision = {"threshold": 0.33, "image_threshold": 0.0, "image_scale": 2.0, "image_bias": 0.5}
    path = save_network(tmp_path / "net.safetensors", random_network(), decision=decision)
    localizer = load(path)
    found = localizer.localize(photo())
    label = localizer.answer(read_image(photo())).label
    assert found.threshold == 0.33
    expected = 1 / (1 + np.exp(-(2.0 * (label[1] - label[0]) + 0.5)))
    assert found.image_score == pytest.approx(expected)
    np.testing.assert_array_equal(found.mask, found.score_map > 0.33)
    assert load(path, threshold=0.2).localize(photo()).threshold == 0.2
    settings: Any = localizer.describe()["config"]
    assert settings["calibration"] == {"image_scale": 2.0, "image_bias": 0.5}
    assert settings["threshold"] == 0.33


def test_the_side_of_the_card(tmp_path: Path) -> None:
    """Where the caller names none; the published one without either."""
    network, image = random_network(), read_image(photo(100, 80))
    told, silent = (
        save_network(tmp_path / f"{side}.safetensors", network, side=side) for side in (96, 0)
    )
    for path, size, side in ((told, 0, 96), (silent, 0, 256), (told, 128, 128)):
        localizer = load(path, size=size)
        assert localizer.describe()["config"]["size"] == side  # type: ignore[call-overload, index]
        assert localizer.raw(image)[0].shape == (side, side)


def test_a_card_that_decides_otherwise_is_refused(tmp_path: Path) -> None:
    path = save_network(tmp_path / "net.safetensors", random_network(), decision={"margin": 1.0})
    with pytest.raises(WeightsError, match="decides by margin, which fakelocator does not know"):
        load(path)


def test_several_weights_are_refused(weights: Path) -> None:
    with pytest.raises(ConfigError, match="fakelocator runs one network: give one weights file"):
        catalog.load("fakelocator", weights=[weights, weights])


def test_the_parser_is_named_in_the_settings(weights: Path, tmp_path: Path) -> None:
    path = save_parser(tmp_path / "parser.safetensors")
    described: Any = load(weights, parser=str(path)).describe()
    assert described["config"]["parser"] == str(path)
    assert described["weights"]["parser"] == sha256_of(path)
    without: Any = load(weights).describe()
    assert list(without["weights"]) == ["net"]


def test_a_parser_that_is_not_there_is_said_so(weights: Path) -> None:
    with pytest.raises(WeightsNotFoundError, match=r"no weights file none\.pth"):
        load(weights, parser="none.pth")


@pytest.mark.parametrize("name", ["fakelocator", "face-parser"])
def test_weights_that_do_not_ship_say_how_to_train_them(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = next(card for card in list_weights() if card.name == name)
    monkeypatch.setitem(cards._shipped_cards(), name, replace(card, file=None))
    monkeypatch.delenv("TAMPERSCOPE_WEIGHTS", raising=False)
    ask = {"fakelocator": network_for, "face-parser": load_parser}[name]
    with pytest.raises(WeightsNotFoundError, match=f"tamperscope train {name}"):
        ask(name)


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_networks_run_in_the_precision_that_was_asked_for(
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
    dtype: torch.dtype,
) -> None:
    seen: list[tuple[str, torch.dtype]] = []

    def spy(room: str) -> Any:
        def spied(device: torch.device, dtype: torch.dtype) -> Any:
            assert device == torch.device("cpu")
            seen.append((room, dtype))
            return computing(device, dtype)

        return spied

    monkeypatch.setattr(localizer_module, "computing", spy("fakelocator"))
    monkeypatch.setattr(networks, "computing", spy("parser"))
    parser = save_parser(tmp_path / "parser.safetensors")
    load(weights, parser=str(parser), precision=precision).localize(photo())
    # Labels are always those of full precision.
    assert seen == [("parser", torch.float32), ("fakelocator", dtype)]


def test_half_precision_is_near(weights: Path) -> None:
    localizer = catalog.load(
        "fakelocator", weights=weights, device="cpu", precision="bf16", parser="none", size=SIZE
    )
    full = load(weights).localize(photo())
    assert np.abs(localizer.localize(photo()).score_map - full.score_map).max() < 0.05
