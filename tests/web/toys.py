"""Methods for worker processes that need neither networks nor weights, some of them ill-behaved."""

import ctypes
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from tamperscope.errors import ConfigError, WeightsNotFoundError
from tamperscope.image import Image, ImageSource, read_image
from tamperscope.localizer import MethodCard
from tamperscope.provenance import JSON, Provenance
from tamperscope.result import Localization, MapKind

KINDS = {
    "bright": MapKind.SALIENCY,
    "dark": MapKind.PROBABILITY,
    "faint": MapKind.FAKENESS,
}


def card(name: str) -> MethodCard:
    return MethodCard(
        name=name,
        title=f"Toy {name}",
        paper="none",
        map_kind=KINDS[name],
        summary=f"Marks what is {name}.",
        limits="It knows nothing of forgery.",
        weights=(),
        presets=("default",),
        faces=name != "bright",
    )


class Toy:
    """Marks what is bright, or dark, or bright on a tenth of the scale (faint).

    The color of the first pixel makes it misbehave.

    (250, n, 0): hang; (251, n, 0): die; (252, n, 0): ask for too much memory; (253, n, 0): raise;
    (254, n, 0): take n hundredths of a second; (249, n, 0): print, as libraries do.
    """

    def __init__(self, name: str, max_pixels: int) -> None:
        self.card = card(name)
        self._max_pixels = max_pixels

    def describe(self) -> dict[str, JSON]:
        return {"method": self.card.name, "device": "cpu"}

    def localize(self, source: ImageSource, *, id: str | None = None) -> Localization:
        image = read_image(source, max_pixels=self._max_pixels, id=id)
        _misbehave(*(int(value) for value in image.pixels[0, 0]))
        scores = image.pixels.mean(axis=2, dtype=np.float32) / np.float32(255)
        if self.card.name == "dark":
            scores = np.float32(1) - scores
        mask = scores > np.float32(0.7)
        scale = np.float32(0.1 if self.card.name == "faint" else 1.0)
        return Localization(
            score_map=scores * scale,
            map_kind=self.card.map_kind,
            mask=mask,
            threshold=0.7 * float(scale),
            image_score=float(scores.max()),
            provenance=self._provenance(image),
        )

    def localize_batch(self, sources: Sequence[ImageSource]) -> list[Localization]:
        results = [self.localize(source) for source in sources]
        for result in results:
            result.provenance.notes["batch"] = len(results)
        return results

    def _provenance(self, image: Image) -> Provenance:
        faces: dict[str, dict[str, Any]] = {
            "dark": {
                "parts": {"mouth": 0.75, "left_eye": 0.5},
                "copied": [{"confidence": 0.9, "boxes": [[2, 3, 6, 8], [20, 30, 24, 35]]}],
            },
            "faint": {"parts": {"mouth": 0.075, "left_eye": 0.005}, "face": False},
        }
        face = faces.get(self.card.name, {})
        return Provenance(
            version="0",
            commit=None,
            method=self.card.name,
            config={},
            weights={},
            device="cpu",
            precision="fp32",
            seed=0,
            seconds={"all": 0.0},
            input_id=image.id,
            input_sha256=image.sha256,
            input_size=image.size,
            notes={"pid": os.getpid(), "threads": os.environ["OMP_NUM_THREADS"], **face},
        )


def _misbehave(red: int, green: int, blue: int) -> None:
    if blue != 0:
        return
    if red == 250:
        time.sleep(1000)
    elif red == 251:
        ctypes.string_at(0)
    elif red == 252:
        np.ones(1 << 36, np.uint8)
    elif red == 253:
        raise RuntimeError("secret detail")
    elif red == 254:
        time.sleep(green / 100)
    elif red == 249:
        print("a library says hello", flush=True)
        sys.stdout.write("x" * 100)


def load(name: str, **options: Any) -> Toy:
    """Takes the arguments of `tamperscope.load`."""
    if options["weights"] is not None:
        raise WeightsNotFoundError(f"no weights {options['weights']!r}: leave them out")
    if name not in KINDS:
        raise ConfigError(f"no toy {name!r}: use {', '.join(KINDS)}")
    return Toy(name, options["max_pixels"])
