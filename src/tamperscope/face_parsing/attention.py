"""From a label map of face parts to an attention map."""

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from tamperscope.errors import ConfigError
from tamperscope.face_parsing.parts import PARTS, parse_region

DEFAULT_WEIGHTS: Mapping[str, float] = MappingProxyType(
    {"face": 1.0, "hair": 1.0, "ears": 1.0, "glasses": 1.0, "hat": 1.0, "neck": 1.0}
)
"""What generators manipulate: all of the head. Background and clothes count nothing."""


def part_weights(weights: Mapping[str, float]) -> NDArray[np.float32]:
    """The weight of every label: (19,) float32, in the order of `PARTS`.

    Args:
        weights: name -> weight in [0, 1]; a name is ``background``, one of `PARTS` or `REGIONS`, or
            several joined by ``+``. Of two names with a part in common the later one decides;
            parts without a name weigh nothing.

    Raises:
        UnknownNameError: no such part or region.
        ConfigError: a weight outside [0, 1].
    """
    table = np.zeros(len(PARTS), np.float32)
    for name, weight in weights.items():
        number = _weight(name, weight)
        if name == PARTS[0]:
            table[0] = number
        else:
            table[[PARTS.index(part) for part in parse_region(name).parts]] = number
    return table


def attention_map(labels: NDArray[np.uint8], weights: Mapping[str, float]) -> NDArray[np.float32]:
    """(h, w) float32 in [0, 1]: the weight of the part that every pixel of a label map shows.

    Args:
        labels: (h, w) uint8 numbered as `PARTS`.
        weights: see `part_weights`.
    """
    attention: NDArray[np.float32] = part_weights(weights)[labels]
    return attention


def _weight(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(f"the attention weight of {name!r} must be a number, not {value!r}")
    if not 0 <= value <= 1:
        raise ConfigError(f"the attention weight of {name!r} must be in [0, 1], not {value}")
    return float(value)
