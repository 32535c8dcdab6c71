import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tamperscope.errors import UnknownNameError, WeightsError, WeightsNotFoundError
from tamperscope.weights import WeightsCard, card_for, cards, find, list_weights, resolve
from tamperscope.weights.cards import format_card, parse_cards, sidecar

CARD = WeightsCard(
    name="mine",
    summary='with "quotes", a \\ and ünïcode',
    method="focal",
    kind="native",
    backbone="compact",
    options={"channels": 32, "widths": [8, 16], "flag": True},
    preprocessing="native",
    data="none",
    terms="CC0",
    bytes=7,
    numbers={"casia-v1/f1": 0.25},
)


def test_listed_cards_are_complete() -> None:
    listed = {card.name: card for card in list_weights()}
    assert {"focal-hrnet-released", "focal-vit-released"} <= listed.keys()
    for card in listed.values():
        assert card.summary
        assert card.data
        assert card.terms
        assert card.preprocessing in ("focal", "native", "lanczos", "bilinear")
        if card.shipped:
            assert resolve(card.name).stat().st_size == card.bytes
            assert len(card.sha256) == 64
        else:
            assert card.published_file or card.recipe
            assert card.source


def test_listing_needs_no_torch() -> None:
    code = (
        "import sys, tamperscope.weights as w; w.list_weights(); "
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_unknown_attribute_of_the_room() -> None:
    import tamperscope.weights as room

    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        room.nothing  # noqa: B018


def test_card_text_reads_back() -> None:
    for card in [CARD, *list_weights()]:
        assert parse_cards(format_card(card), where="here") == {card.name: card}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[x", "here is not valid TOML"),
        ("x = 1", "here: 'x' is outside a card"),
        ("[x]\nsummary = 'a'", "card 'x' is incomplete: .*'method'"),
        (format_card(CARD) + "colour = 'red'", "card 'mine' has unknown keys colour"),
        (format_card(CARD) + "recipe = 3", "card 'mine' needs recipe as str"),
    ],
)
def test_bad_cards(text: str, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        parse_cards(text, where="here")


def test_card_beside_a_file(tmp_path: Path) -> None:
    weights = tmp_path / "mine.safetensors"
    weights.write_bytes(b"x")
    assert card_for(weights) is None
    (tmp_path / "mine.toml").write_text(format_card(CARD), encoding="utf-8")
    assert card_for(weights) == CARD
    assert card_for("focal-vit-released") in list_weights()
    two = format_card(CARD) + format_card(replace(CARD, name="other"))
    (tmp_path / "mine.toml").write_text(two, encoding="utf-8")
    with pytest.raises(WeightsError, match=r"mine\.toml must hold exactly one card, not 2"):
        card_for(weights)
    (tmp_path / "mine.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(WeightsError, match=r"mine\.toml cannot be read.*convert them again"):
        card_for(weights)


def test_resolve_a_path(tmp_path: Path) -> None:
    weights = tmp_path / "any.pth"
    weights.write_bytes(b"x")
    assert resolve(weights) == weights
    assert resolve(str(weights)) == weights
    with pytest.raises(WeightsNotFoundError, match=r"is a folder: name the weights file in it"):
        resolve(tmp_path)
    with pytest.raises(WeightsNotFoundError, match=r"no weights file .*absent\.pth: give an exist"):
        resolve(tmp_path / "absent.pth")
    with pytest.raises(WeightsNotFoundError, match=r"no weights file absent\.pth"):
        resolve("absent.pth")


def test_resolve_an_unknown_name() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'focal-hrnet-released'"):
        resolve("focal-hrnet-release")


def test_weights_to_be_trained_say_how(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    card = replace(CARD, recipe="my-recipe")
    monkeypatch.setattr(cards, "_shipped_cards", lambda: {"mine": card})
    monkeypatch.delenv("TAMPERSCOPE_WEIGHTS", raising=False)
    with pytest.raises(WeightsNotFoundError) as caught:
        resolve("mine")
    message = str(caught.value)
    assert "'tamperscope train my-recipe --data SET --output RUN'" in message
    assert "'tamperscope weights export RUN mine.safetensors'" in message
    assert "\n" not in message
    trained = tmp_path / "mine.safetensors"
    trained.write_bytes(b"x")
    monkeypatch.setenv("TAMPERSCOPE_WEIGHTS", str(tmp_path))
    assert resolve("mine") == trained


def test_published_weights_say_what_to_download(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TAMPERSCOPE_WEIGHTS", raising=False)
    with pytest.raises(WeightsNotFoundError) as caught:
        resolve("focal-hrnet-released")
    message = str(caught.value)
    assert "download FOCAL_HRNet_weights.pth" in message
    assert "github.com/HighwayWu/FOCAL" in message
    assert "tamperscope weights convert FOCAL_HRNet_weights.pth" in message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["focal-vit-released.safetensors", "FOCAL_ViT_weights.pth"])
def test_published_weights_in_the_named_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAMPERSCOPE_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsNotFoundError, match="do not come with tamperscope"):
        resolve("focal-vit-released")
    (tmp_path / name).write_bytes(b"x")
    assert resolve("focal-vit-released") == tmp_path / name


@pytest.mark.parametrize("name", ["dolos-patches-released", "dolos-patches-weak-released"])
def test_published_weights_that_look_alike_say_which_kind_they_are(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TAMPERSCOPE_WEIGHTS", raising=False)
    kind = name.removesuffix("-released")
    with pytest.raises(
        WeightsNotFoundError, match=rf"convert best_model_\*\.pt {name}\.\w+ --kind {kind}'"
    ):
        resolve(name)
    with pytest.raises(WeightsNotFoundError) as caught:
        resolve("focal-vit-released")
    assert "--kind" not in str(caught.value)


def test_a_pattern_is_no_file_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAMPERSCOPE_WEIGHTS", str(tmp_path))
    (tmp_path / "best_model_*.pt").write_bytes(b"x")
    with pytest.raises(WeightsNotFoundError, match="do not come with tamperscope"):
        resolve("dolos-patches-released")
    (tmp_path / "dolos-patches-released.safetensors").write_bytes(b"x")
    assert resolve("dolos-patches-released").suffix == ".safetensors"


@pytest.mark.parametrize("known", ["recipe", "published_file"])
def test_a_found_file_has_the_card_beside_it(
    known: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = replace(CARD, **{known: "mine.pth"})  # type: ignore[arg-type]
    monkeypatch.setattr(cards, "_shipped_cards", lambda: {"mine": listed})
    monkeypatch.setenv("TAMPERSCOPE_WEIGHTS", str(tmp_path))
    weights = tmp_path / "mine.safetensors"
    weights.write_bytes(b"x")
    assert find("mine") == (weights, listed)
    beside = replace(CARD, decision={"threshold": 0.25}, sha256="a" * 64, side=128)
    sidecar(weights).write_text(format_card(beside), encoding="utf-8")
    assert find("mine") == find(weights) == (weights, beside)


def test_what_ships_keeps_the_card_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = replace(CARD, file="mine.safetensors")
    monkeypatch.setattr(cards, "_shipped_cards", lambda: {"mine": listed})
    monkeypatch.setattr(cards.resources, "files", lambda package: tmp_path)
    weights = tmp_path / "mine.safetensors"
    weights.write_bytes(b"x")
    other = replace(CARD, decision={"threshold": 0.25})
    sidecar(weights).write_text(format_card(other), encoding="utf-8")
    assert find("mine") == (weights, listed)
    assert find(weights) == (weights, other)


def test_a_file_without_a_card_has_none(tmp_path: Path) -> None:
    weights = tmp_path / "any.pth"
    weights.write_bytes(b"x")
    assert find(weights) == (weights, None)
    with pytest.raises(UnknownNameError, match="did you mean 'focal-hrnet-released'"):
        find("focal-hrnet-release")
