"""Weights: what they are (cards), and how they get into a network.

Cards need no torch; the functions that read tensors import it on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tamperscope.weights.cards import WeightsCard, card_for, find, list_weights, resolve

if TYPE_CHECKING:
    from tamperscope.weights.conversion import ConvertReport, convert
    from tamperscope.weights.keys import detect_kind, native_state, published_options
    from tamperscope.weights.load import (
        LoadedWeights,
        VerifyReport,
        check_state,
        load_state,
        load_strict,
        load_weights,
        sha256_of,
        verify,
    )

__all__ = [
    "ConvertReport",
    "LoadedWeights",
    "VerifyReport",
    "WeightsCard",
    "card_for",
    "check_state",
    "convert",
    "detect_kind",
    "find",
    "list_weights",
    "load_state",
    "load_strict",
    "load_weights",
    "native_state",
    "published_options",
    "resolve",
    "sha256_of",
    "verify",
]

_LAZY = {
    "ConvertReport": "conversion",
    "convert": "conversion",
    "detect_kind": "keys",
    "native_state": "keys",
    "published_options": "keys",
    **dict.fromkeys(
        (
            "LoadedWeights",
            "VerifyReport",
            "check_state",
            "load_state",
            "load_strict",
            "load_weights",
            "sha256_of",
            "verify",
        ),
        "load",
    ),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    globals()[name] = value
    return value
