"""Methods that need neither networks nor weights, for runs in which things go wrong.

The misbehaving ones are those of the service's tests: the color of the first pixel says how.
"""

import dataclasses
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
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


class Starving(Toy):
    """Has no memory for any picture until the file in `weights` says that it has."""

    def __init__(self, file: Path, max_pixels: int) -> None:
        super().__init__("bright", max_pixels)
        self._file = file

    def localize(self, source: ImageSource, *, id: str | None = None) -> Localization:
        found = super().localize(source, id=id)
        if self._file.read_text() == "hungry":
            raise MemoryError
        return found


def load_starving(name: str, **options: Any) -> Starving:
    return Starving(Path(options["weights"]), options["max_pixels"])


class Weighted(Toy):
    """Says what its weights are, as methods do."""

    def __init__(self, file: Path, max_pixels: int) -> None:
        super().__init__("bright", max_pixels)
        self._weights: dict[str, JSON] = {file.name: hashlib.sha256(file.read_bytes()).hexdigest()}

    def describe(self) -> dict[str, JSON]:
        return {**super().describe(), "weights": self._weights}


def load_weighted(name: str, **options: Any) -> Weighted:
    return Weighted(Path(options["weights"]), options["max_pixels"])


class Exported(Toy):
    """Calls a network through ONNX Runtime, and says with how many threads."""

    def __init__(self, files: list[str], max_pixels: int) -> None:
        import torch

        from engines import toys
        from tamperscope.engines.onnx_runtime import OnnxEngine

        super().__init__("bright", max_pixels)
        self._torch = torch
        engine = OnnxEngine(files)
        folder = Path(files[0]).parent
        self._runner = engine.runner(toys.graph(), toys.weights(folder))
        self._engine = engine.record
        (session,) = engine._given.values()
        options = session._session.get_session_options()
        self._threads = (options.intra_op_num_threads, options.inter_op_num_threads)

    def describe(self) -> dict[str, JSON]:
        return {**super().describe(), "config": {"engine": self._engine}}

    def localize(self, source: ImageSource, *, id: str | None = None) -> Localization:
        found = super().localize(source, id=id)
        assert self._threads == (1, 1)
        (mean,) = self._runner(self._torch.full((1, 3, 4, 4), 0.5))["mean"]
        return dataclasses.replace(found, image_score=float(mean.abs().clamp(0, 1)[0]))


def load_exported(name: str, **options: Any) -> Toy:
    """Takes the arguments of `tamperscope.load`."""
    if options.get("engine", "torch") == "torch":
        return Toy("bright", options["max_pixels"])
    return Exported(options["onnx"], options["max_pixels"])
