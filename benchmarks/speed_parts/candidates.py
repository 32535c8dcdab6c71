"""What is timed: every method whose weights ship, by every engine and precision it can run with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tamperscope import catalog
from tamperscope.errors import ConfigError, MissingExtraError
from tamperscope.localizer import Localizer
from tamperscope.methods.focal.config import SHIPPED_PRESETS
from tamperscope.weights import card_for

ENGINES = {
    "torch": ("torch", "fp32"),
    "onnx": ("onnx", "auto"),
    "torch, bf16": ("torch", "bf16"),
}
"""Name -> engine and precision, as `tamperscope.load` takes them. The first is what the others'
masks are compared with."""


@dataclass(frozen=True)
class Candidate:
    """entrant: a method, with ``:PRESET`` where another than the default is meant."""

    entrant: str
    engine: str

    def settings(self, device: str) -> dict[str, Any]:
        """Fields of `BatchConfig`."""
        method, _, preset = self.entrant.partition(":")
        runtime, precision = ENGINES[self.engine]
        return {
            "method": method,
            "preset": preset or None,
            "device": device,
            "runtime": runtime,
            "precision": precision,
        }

    def load(self, device: str) -> Localizer:
        """As `tamperscope batch` loads it."""
        settings = self.settings(device)
        return catalog.load(settings.pop("method"), engine=settings.pop("runtime"), **settings)


def shipped() -> list[str]:
    """Methods whose weights ship; FOCAL with each of its presets that uses them."""
    names = []
    for method in catalog.list_methods():
        card = card_for(method.weights[0])
        if card is not None and card.shipped:
            presets = SHIPPED_PRESETS if method.name == "focal" else ("",)
            names += [f"{method.name}:{preset}".rstrip(":") for preset in presets]
    return names


def load_all(
    entrants: Sequence[str], engines: Sequence[str], device: str
) -> tuple[dict[Candidate, Localizer], dict[str, str]]:
    """Every candidate that can run here, and why the others cannot.

    Raises:
        UnknownNameError: a method or preset that does not exist.
        ConfigError: a method that cannot run here with any engine.
    """
    loaded: dict[Candidate, Localizer] = {}
    reasons: dict[str, str] = {}
    for entrant in entrants:
        for engine in engines:
            candidate = Candidate(entrant, engine)
            try:
                loaded[candidate] = candidate.load(device)
            except (MissingExtraError, ConfigError) as error:
                if engine == next(iter(ENGINES)):
                    raise
                reasons[f"{entrant}, {engine}"] = str(error)
    return loaded, reasons
