"""From a result to what the API answers. Runs inside a worker: it touches pixels."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tamperscope.image import Image
from tamperscope.report import overlay as draw
from tamperscope.report import wording
from tamperscope.report.html import report_page
from tamperscope.report.masks import run_lengths
from tamperscope.report.shown import shown_map, shown_top
from tamperscope.result import Localization

if TYPE_CHECKING:
    from tamperscope.localizer import MethodCard
    from tamperscope.provenance import JSON

MASKS = ("png", "rle", "none")
EXTRAS = ("map", "overlay", "picture", "report")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What an answer should hold beside the numbers."""

    mask: str = "png"
    """One of `MASKS`."""
    include: tuple[str, ...] = ()
    """Any of `EXTRAS`."""
    max_side: int | None = None
    """Longest side, in pixels, of the map, overlay and picture; None leaves their size."""


def answer(
    image: Image, result: Localization, card: "MethodCard", wanted: Wanted
) -> dict[str, "JSON"]:
    """The body of a successful ``POST /v1/localize``: plain JSON values.

    Raises:
        ResultError: picture and result differ in size.
    """
    return {
        "name": result.provenance.input_id,
        "method": result.provenance.method,
        "title": card.title,
        "map_kind": result.map_kind.value,
        "map_top": shown_top(result),
        "image_score": result.image_score,
        "threshold": result.threshold,
        "flagged": result.flagged,
        "forged_fraction": result.forged_fraction,
        "size": {"height": image.height, "width": image.width},
        "orientation": image.orientation,
        "verdict": wording.verdict(result),
        "explanation": {
            "score": wording.explain_score(result),
            "map": wording.explain_map(result.map_kind),
            "limits": card.limits,
            "share": wording.percent(result.forged_fraction),
            "caution": _caution(result),
        },
        "parts": face_parts(result.provenance.notes),
        "copied": [{"boxes": [[*b] for b in pair]} for pair in draw.pairs_of(result, image.size)],
        "mask": _mask(result.mask, wanted.mask),
        **{name: _extra(name, image, result, card, wanted) for name in EXTRAS},
        "record": result.to_record(),
    }


def face_parts(notes: Mapping[str, Any]) -> list["JSON"] | None:
    """What a method noted under ``parts``: the mean score in each part of a face, the highest
    first, as ``{"name", "value"}``. None for methods that know no parts.
    """
    parts = notes.get("parts")
    if not isinstance(parts, Mapping):
        return None
    values = [(str(name), float(value)) for name, value in parts.items()]
    ordered = sorted(values, key=lambda part: -part[1])
    return [{"name": name.replace("_", " "), "value": value} for name, value in ordered]


def _caution(result: Localization) -> str | None:
    """Why the whole answer may mean little."""
    if result.provenance.notes.get("face") is not False:
        return None
    return (
        "The method sees no face in this picture. It was made for faces: what it says about "
        "anything else means little."
    )


def _mask(mask: NDArray[np.bool_], form: str) -> "JSON":
    if form == "none":
        return None
    if form == "rle":
        counts: JSON = [*run_lengths(mask).tolist()]
        return {"format": "rle", "size": [*mask.shape], "counts": counts}
    return {"format": "png", "base64": _text(draw.encode_png(mask))}


def _extra(
    name: str, image: Image, result: Localization, card: "MethodCard", wanted: Wanted
) -> str | None:
    if name not in wanted.include:
        return None
    if name == "report":
        return report_page(image.pixels, result, card, name=image.id)
    side = wanted.max_side or max(image.size)
    levels = draw.shrink(np.rint(shown_map(result) * np.float32(255)).astype(np.uint8), side)
    if name == "map":
        return _text(draw.encode_png(levels))
    pixels = draw.shrink(image.pixels, side)
    if name == "overlay":
        scores = levels.astype(np.float32) / np.float32(255)
        pairs = draw.pairs_of(result, pixels.shape)
        pixels = draw.overlay(pixels, scores, draw.shrink_mask(result.mask, side), pairs)
    return _text(draw.encode_png(pixels))


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
