"""Self-contained HTML: one page per picture, and an index for a run over many.

A page is one file with everything inside: it asks the network for nothing (a content security
policy forbids it), works without scripts, prints, and follows the reader's light or dark setting.
All text goes through the template engine's escaping, since file names can hold markup.
"""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from tamperscope.localizer import MethodCard
from tamperscope.provenance import JSON, Provenance
from tamperscope.report import overlay as draw
from tamperscope.report import wording
from tamperscope.report.shown import grey_levels, shown_map, shown_top
from tamperscope.result import Localization, MapKind

__all__ = ["IndexEntry", "data_uri", "index_page", "render_page", "report_page", "thumbnail"]

MAX_SIDE = 1600
"""Pictures inside a page are scaled down so that no side exceeds this many pixels."""
THUMBNAIL_SIDE = 320

RGB = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class IndexEntry:
    """One picture of a run, as the index shows it."""

    name: str
    """What the reader knows the picture by."""
    verdict: str
    image_score: float
    thumbnail: bytes
    """JPEG bytes, see `thumbnail`."""
    page: str
    """File name of its page, beside the index."""
    flagged: bool = False
    """Whether a region was found."""


def report_page(
    pixels: RGB, result: Localization, card: MethodCard, *, name: str | None = None
) -> str:
    """The page of one picture.

    Args:
        pixels: RGB uint8 (h, w, 3), the picture the result belongs to.
        result: what the method found.
        card: the method's card.
        name: what the reader knows the picture by; by default its id.

    Returns:
        HTML text; write it as UTF-8.

    Raises:
        ResultError: picture and result differ in size.
    """
    shown = wording.printable(name if name is not None else result.provenance.input_id)
    return render_page(
        "report.html",
        name=shown,
        result=result,
        card=card,
        layers=_layers(pixels, result, shown),
        color_bar=data_uri(draw.encode_png(draw.color_bar()), "png"),
        shrunk=max(result.size) > MAX_SIDE,
        max_side=MAX_SIDE,
        verdict=wording.verdict(result),
        score_text=wording.explain_score(result),
        score=wording.score(result.image_score),
        map_text=wording.explain_map(result.map_kind),
        edge=wording.edge(result),
        top=f"{shown_top(result):.2g}",
        parts=wording.parts(result),
        share=wording.percent(result.forged_fraction),
        rows=_provenance_rows(result.provenance),
    )


def index_page(entries: Sequence[IndexEntry], failures: Iterable[tuple[str, str]] = ()) -> str:
    """The page of a run: thumbnails with links, marked pictures before others and the highest score
    first among either, then what failed.

    Args:
        entries: the pictures that were examined.
        failures: (name, message) of those that could not be.

    Returns:
        HTML text; write it as UTF-8 into the folder of the pages.
    """
    # Something found comes first: a clean picture may score above the mask of another one.
    ranked = sorted(entries, key=lambda entry: (not entry.flagged, -entry.image_score, entry.name))
    cards = [
        {
            "name": wording.printable(entry.name),
            "verdict": entry.verdict,
            "score": wording.score(entry.image_score),
            "thumbnail": data_uri(entry.thumbnail, "jpeg"),
            # "./" keeps a name such as "javascript:x" a relative link.
            "href": "./" + quote(entry.page),
        }
        for entry in ranked
    ]
    failed = [(wording.printable(name), wording.printable(text)) for name, text in failures]
    return render_page("index.html", cards=cards, failures=failed)


def thumbnail(pixels: RGB, result: Localization) -> bytes:
    """A small JPEG of the overlay, for `IndexEntry`."""
    return draw.encode_jpeg(_small_overlay(pixels, result, THUMBNAIL_SIDE), quality=80)


@dataclass(frozen=True)
class _Layer:
    key: str
    label: str
    uri: str
    caption: str
    alt: str


def _overlay_caption(result: Localization) -> str:
    caption = "The picture, greyed, with the heat map over it. There is no mask to outline."
    if result.flagged:
        caption = (
            "The picture, greyed where nothing was found, with the heat map over it. The double "
            "line (black inside, white outside) is the edge of the mask."
        )
    if wording.stands_twice(result):
        caption += " Light blue frames, joined by a line: two places that are alike."
    return caption


def _layers(pixels: RGB, result: Localization, name: str) -> list[_Layer]:
    heat = draw.heatmap(_small_map(result, MAX_SIDE))
    mask = draw.shrink_mask(result.mask, MAX_SIDE)
    return [
        _Layer(
            "overlay",
            "Overlay",
            data_uri(draw.encode_jpeg(_small_overlay(pixels, result, MAX_SIDE)), "jpeg"),
            _overlay_caption(result),
            f"Overlay of {name}",
        ),
        _Layer(
            "heat",
            "Heat map",
            data_uri(draw.encode_png(heat), "png"),
            f"The score of every pixel, from 0 (dark) to {shown_top(result):.2g} (light).",
            f"Heat map of {name}",
        ),
        *_grey_layer(result, name),
        _Layer(
            "mask",
            "Mask",
            data_uri(draw.encode_png(mask), "png"),
            "White: what the method marks as foreign."
            if result.flagged
            else "All black: the method marks nothing.",
            f"Mask of {name}",
        ),
        _Layer(
            "picture",
            "Picture",
            data_uri(draw.encode_jpeg(draw.shrink(pixels, MAX_SIDE)), "jpeg"),
            "The picture as it was given, turned as it is meant to be seen.",
            f"Picture {name}",
        ),
    ]


def _grey_layer(result: Localization, name: str) -> list[_Layer]:
    """The fakeness map as the method's authors draw it: its values are grey levels."""
    if result.map_kind is not MapKind.FAKENESS:
        return []
    return [
        _Layer(
            "grey",
            "Fakeness map",
            data_uri(draw.encode_png(grey_levels(result, MAX_SIDE)), "png"),
            "The fakeness of every pixel as a grey level, black for 0 and white for 1. Its highest "
            f"value is {wording.score(float(result.score_map.max()))}.",
            f"Fakeness map of {name}",
        )
    ]


def _small_map(result: Localization, max_side: int) -> NDArray[np.float32]:
    levels = np.rint(shown_map(result) * np.float32(255)).astype(np.uint8)
    small = draw.shrink(levels, max_side)
    return small.astype(np.float32) / np.float32(255)


def _small_overlay(pixels: RGB, result: Localization, max_side: int) -> RGB:
    small = draw.shrink(pixels, max_side)
    return draw.overlay(
        small,
        _small_map(result, max_side),
        draw.shrink_mask(result.mask, max_side),
        draw.pairs_of(result, small.shape),
    )


def _provenance_rows(source: Provenance) -> list[tuple[str, list[str]]]:
    height, width = source.input_size
    seconds = [f"{stage}: {value:.3f}" for stage, value in source.seconds.items()]
    rows = {
        "Input": [source.input_id],
        "Input sha256": [source.input_sha256],
        "Input size": [f"{width} x {height} pixels (width x height)"],
        "tamperscope": [f"version {source.version}"],
        "Source revision": [source.commit or "not known"],
        "Method": [source.method],
        "Weights sha256": [f"{name}: {digest}" for name, digest in source.weights.items()],
        "Configuration": _flat(source.config),
        "Device": [f"{source.device}, {source.precision}"],
        "Seed": [str(source.seed)],
        "Seconds": [*seconds, f"total: {sum(source.seconds.values()):.3f}"],
        "Notes": _flat(source.notes),
    }
    return [(key, list(map(wording.printable, values)) or ["none"]) for key, values in rows.items()]


def _flat(value: JSON, prefix: str = "") -> list[str]:
    if isinstance(value, dict):
        return [
            line
            for key, inner in value.items()
            for line in _flat(inner, f"{prefix}.{key}" if prefix else key)
        ]
    return [f"{prefix} = {value}"]


def data_uri(data: bytes, kind: str) -> str:
    """A picture of type image/``kind`` inside a page."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


@cache
def _source(name: str) -> str:
    return files("tamperscope.report").joinpath("templates", name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    return Environment(
        loader=FunctionLoader(_source),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render_page(template: str, *, sheets: Sequence[str] = ("style.css",), **values: Any) -> str:
    """A page from a template beside this module, with its style sheets inside and nothing outside.

    Values are escaped; a template that extends ``page.html`` gets the content security policy.
    """
    style, script = "".join(map(_source, sheets)), _source("report.js")
    policy = (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src {_hash(style)}; script-src {_hash(script)}"
    )
    page = _environment().get_template(template)
    # Ours, not the reader's: the hashes in the policy only match the exact text.
    return page.render(style=Markup(style), script=Markup(script), policy=policy, **values)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
