"""The one interface every method implements, and the card that says what a method is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from tamperscope.image import ImageSource
from tamperscope.provenance import JSON
from tamperscope.result import Localization, MapKind


@dataclass(frozen=True, kw_only=True)
class MethodCard:
    """What a person should know before believing a method. Made without loading the method."""

    name: str
    """The name `tamperscope.load` takes."""
    title: str
    paper: str
    """Authors, title, venue, year, and an identifier that can be looked up."""
    map_kind: MapKind
    """What the numbers of its score maps are."""
    summary: str
    """What it is: one or two plain sentences."""
    limits: str
    """What it is not: where it fails, and what its output must not be taken for."""
    weights: tuple[str, ...]
    """Names of the weights it can use; the first one ships with the package, if any does."""
    presets: tuple[str, ...]
    """Names of its presets, the default one first."""
    faces: bool = False
    """It is for one face that fills the picture, and knows nothing of other pictures."""


@runtime_checkable
class Localizer(Protocol):
    """A method, ready to run: network, weights, device and settings are fixed.

    The same picture gives the same result alone, in any batch, and when asked again.
    """

    @property
    def card(self) -> MethodCard:
        """The method's card."""
        ...

    def localize(self, source: ImageSource, *, id: str | None = None) -> Localization:
        """Find the manipulated region of one picture.

        Args:
            source: anything `tamperscope.read_image` takes.
            id: the name for the picture in the result; by default the path or a content hash.

        Raises:
            ImageError: the picture cannot be read.
        """
        ...

    def localize_batch(self, sources: Sequence[ImageSource]) -> list[Localization]:
        """Results in the order of ``sources``; pictures of different sizes may be mixed.

        Raises:
            ImageError: one of the pictures cannot be read; the message names it.
        """
        ...

    def describe(self) -> dict[str, JSON]:
        """Resolved configuration and weights sha256: equal descriptions give equal results."""
        ...
