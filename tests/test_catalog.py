import dataclasses
from pathlib import Path
from typing import Any

import pytest

import tamperscope
from tamperscope import catalog
from tamperscope.catalog import LoadOptions
from tamperscope.errors import ConfigError, UnknownNameError
from tamperscope.image import DEFAULT_MAX_PIXELS
from tamperscope.localizer import MethodCard
from tamperscope.weights import list_weights


class Recorder:
    """Stands in for a method: remembers how it was loaded and what it was shown."""

    def __init__(self, card: MethodCard, options: LoadOptions) -> None:
        self.card, self.options = card, options

    def localize(self, source: Any, *, id: str | None = None) -> Any:
        return ("localized", source, self.options)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    card = dataclasses.replace(catalog.card("focal"), name="recorder", presets=("first", "second"))
    entry = catalog._Entry(card, Recorder)  # type: ignore[arg-type]
    monkeypatch.setitem(catalog._BY_NAME, "recorder", entry)


def test_methods_are_listed() -> None:
    dolos = [
        "dolos-patches",
        "dolos-patches-weak",
        "dolos-attention",
        "dolos-attention-weak",
        "dolos-gradcam",
        "dolos-gradcam-weak",
    ]
    assert [card.name for card in catalog.list_methods()] == ["focal", *dolos, "fakelocator"]
    assert all(
        catalog.card(name).presets == ("default", "as-published", "clustered") for name in dolos
    )
    presets = ("default", "locate", "fast", "as-released", "as-published")
    assert catalog.card("focal").presets == presets


@pytest.mark.parametrize("card", catalog.list_methods(), ids=lambda card: card.name)
def test_cards_are_filled_in(card: MethodCard) -> None:
    for field in dataclasses.fields(card):
        value = getattr(card, field.name)
        assert value or isinstance(value, bool), field.name
    assert len(set(card.presets)) == len(card.presets)
    assert len(card.summary) > 40
    assert len(card.limits) > 40


@pytest.mark.parametrize("card", catalog.list_methods(), ids=lambda card: card.name)
def test_weights_on_method_cards_have_cards_of_their_own(card: MethodCard) -> None:
    assert set(card.weights) <= {weights.name for weights in list_weights()}


def test_unknown_method_names_the_nearest() -> None:
    for ask in (catalog.card, catalog.load, lambda name: catalog.localize("x.jpg", method=name)):
        with pytest.raises(UnknownNameError, match="unknown method 'fcal'; did you mean 'focal'"):
            ask("fcal")


@pytest.mark.usefixtures("recorded")
def test_load_fills_in_the_defaults() -> None:
    loaded: Any = catalog.load("recorder")
    assert loaded.card.name == "recorder"
    assert loaded.options == LoadOptions(
        preset="first",
        weights=None,
        device="auto",
        precision="auto",
        max_pixels=DEFAULT_MAX_PIXELS,
        config={},
    )


@pytest.mark.usefixtures("recorded")
def test_load_hands_everything_on() -> None:
    loaded: Any = catalog.load(
        "recorder",
        preset="second",
        weights=Path("w.pth"),
        device="cpu",
        precision="fp32",
        max_pixels=5,
        opening=3,
    )
    assert loaded.options == LoadOptions(
        preset="second",
        weights=Path("w.pth"),
        device="cpu",
        precision="fp32",
        max_pixels=5,
        config={"opening": 3},
    )


@pytest.mark.usefixtures("recorded")
def test_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(
        UnknownNameError, match="unknown preset of recorder 'secnd'; did you mean 'second'"
    ):
        catalog.load("recorder", preset="secnd")


@pytest.mark.usefixtures("recorded")
def test_localize_loads_and_runs() -> None:
    told: Any = tamperscope.localize("a.jpg", method="recorder", preset="second", opening=1)
    assert told[:2] == ("localized", "a.jpg")
    assert (told[2].preset, told[2].config) == ("second", {"opening": 1})


@pytest.mark.parametrize(
    "options",
    [
        {"max_pixels": 0},
        {"max_pixels": "x"},
        {"max_pixels": True},
        {"device": None},
        {"precision": 16},
    ],
)
def test_options_of_the_wrong_kind_are_named(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        catalog.load("focal", **options)
