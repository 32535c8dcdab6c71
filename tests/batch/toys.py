"""Methods that need neither networks nor weights, for runs in which things go wrong.

The misbehaving ones are those of the service's tests: the color of the first pixel says how.
"""

import dataclasses
import sys
from collections.abc import Sequence
from typing import Any

from tamperscope.errors import WeightsHashError
from tamperscope.image import ImageSource
from tamperscope.localizer import MethodCard
from tamperscope.provenance import JSON
from tamperscope.result import Localization
from web.toys import Toy, card


class Tiled:
    """Has no room for tiles above `fits`, as a small graphics card has not."""

    def __init__(self, tile: int, overlap: int, fits: int) -> None:
        self.tile, self.overlap, self.fits = tile, overlap, fits
        self._toy = Toy("bright", 10**8)
        self.card: MethodCard = card("bright")

    def describe(self) -> dict[str, JSON]:
        return {"method": "bright", "config": {"tile": self.tile, "overlap": self.overlap}}

    def localize(self, source: ImageSource, *, id: str | None = None) -> Localization:
        if self.tile > self.fits:
            torch = sys.modules["torch"]
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.")
        found = self._toy.localize(source, id=id)
        config: dict[str, JSON] = {"tile": self.tile, "overlap": self.overlap}
        return dataclasses.replace(
            found, provenance=dataclasses.replace(found.provenance, config=config)
        )

    def localize_batch(self, sources: Sequence[ImageSource]) -> list[Localization]:
        return [self.localize(source) for source in sources]


def load_tiled(name: str, **options: Any) -> Tiled:
    """Settings: tile, overlap, fits."""
    # While loading, as methods do: later there is little memory to map it into.
    import torch  # noqa: F401

    return Tiled(options.get("tile", 1024), options.get("overlap", 128), options["fits"])


def load_damaged(name: str, **options: Any) -> Toy:
    """Weights that are not what their card promises, once the file in `weights` says so."""
    with open(options["weights"], encoding="utf-8") as file:
        if file.read() == "damaged":
            raise WeightsHashError("the weights 'toy' are damaged: fetch them again")
    return Toy("bright", options["max_pixels"])
