"""The settings of a built set of faces, whatever its layout."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from tamperscope.errors import ConfigError, unknown
from tamperscope.face_parsing.parts import DEFAULT_REGIONS, NUMBERINGS, parse_region


@dataclass(frozen=True, kw_only=True)
class BuildConfig:
    """What a set is made with; the same for all its generators.

    Attributes:
        seed: decides regions, dilations and the generators' random numbers.
        size: side of every picture in pixels.
        regions: names of `REGIONS`, parts of `PARTS`, or unions such as ``eyes+brows``; one that
            the face has is drawn, all as likely.
        small: a region that covers less than this share of the picture is dilated.
        dilation: range of the random radius in pixels, both ends included.
        least: regions of fewer pixels count as absent.
        vary_masks: draw other regions for each generator. By default the masks of a face are the
            same for all, so that a comparison of generators compares nothing else.
        collection: name of the folder above ``real`` and ``fake``.
        numbering: of the label maps, a name of `NUMBERINGS`.

    Raises:
        ConfigError: a value out of range.
        UnknownNameError: an unknown region or numbering.
    """

    seed: int = 0
    size: int = 256
    regions: tuple[str, ...] = DEFAULT_REGIONS
    small: float = 0.05
    dilation: tuple[int, int] = (1, 15)
    least: int = 32
    vary_masks: bool = False
    collection: str = "celebahq"
    numbering: str = "celebamask"

    def __post_init__(self) -> None:
        for name in ("seed", "size", "least"):
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            need(whole, f"{name} must be a whole number, got {value!r}")
        need(len(self.dilation) == 2, f"dilation must be two numbers, got {self.dilation}")
        need(self.seed >= 0, f"seed must not be negative, got {self.seed}")
        need(16 <= self.size <= 4096, f"size must be in 16..4096 pixels, got {self.size}")
        need(0 <= self.small <= 1, f"small must be in [0, 1], got {self.small}")
        low, high = self.dilation
        need(0 <= low <= high < self.size, f"dilation needs 0 <= low <= high, got {low}, {high}")
        need(self.least >= 1, f"least must be at least 1 pixel, got {self.least}")
        need(bool(self.regions), "no face region to choose from: give at least one")
        fits = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.collection)
        need(fits is not None, f"{self.collection!r} cannot name a folder: use letters and digits")
        if self.numbering not in NUMBERINGS:
            raise unknown("label numbering", self.numbering, NUMBERINGS)
        for region in self.regions:
            parse_region(region)


def config_from_dict(options: Mapping[str, Any]) -> BuildConfig:
    """A `BuildConfig` from plain values, such as lists in place of tuples.

    Raises:
        ConfigError: unknown names or values that cannot be.
    """
    known = {field.name for field in fields(BuildConfig)}
    for name in options:
        if name not in known:
            raise ConfigError(str(unknown("setting of a built set", name, known)))
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    try:
        return BuildConfig(**values)
    except (TypeError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"a setting of the built set has the wrong type: {error}") from error


def need(fine: bool, message: str) -> None:
    """Raise `ConfigError` with ``message`` unless ``fine``."""
    if not fine:
        raise ConfigError(message)
