"""What a method misses and what draws it where nothing was forged.

Beside a mean F1 this asks: which share of the forgeries is missed altogether, or answered with a
mask somewhere else; how much the decision loses of what the map knows; whether size, rim or
compression matter; and, on authentic pictures, which plain content the score map follows.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from tamperscope.bench.markdown import short, table
from tamperscope.bench.pictures import (
    Excluded,
    Loaded,
    Ref,
    Surveyed,
    describe_set,
    load_or_reason,
    survey,
    truth_at,
)
from tamperscope.bench.predictor import (
    Method,
    PredictionLike,
    describe_method,
    predict,
    weights_of,
)
from tamperscope.bench.progress import Progress, Ticker
from tamperscope.bench.record import Record
from tamperscope.bench.references import centre_distance, colour_saliency, noise_level, texture
from tamperscope.data import Dataset
from tamperscope.errors import DataError
from tamperscope.image import Image, read_image
from tamperscope.metrics import auc, f1, oracle_f1
from tamperscope.perturb import IDENTITY
from tamperscope.provenance import JSON

KIND = "diagnosis"
CELL = 8
RIM = 6
SHIFT = 4
SIZES = MappingProxyType(
    {"below 2 %": (0.0, 0.02), "2 to 10 %": (0.02, 0.1), "above 10 %": (0.1, 1.01)}
)
OUTCOMES = ("found", "partly", "elsewhere", "missed")
FOUND, PARTLY = 0.5, 0.1

Mask = NDArray[np.bool_]


def edges(image: Image) -> NDArray[np.float32]:
    """Magnitude of the luma gradient (Sobel, 3 x 3), (h, w)."""
    luma = cv2.cvtColor(image.pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    x, y = cv2.Sobel(luma, cv2.CV_32F, 1, 0), cv2.Sobel(luma, cv2.CV_32F, 0, 1)
    return np.asarray(np.hypot(x, y), np.float32)


def brightness(image: Image) -> NDArray[np.float32]:
    """Luma, (h, w)."""
    return np.asarray(cv2.cvtColor(image.pixels, cv2.COLOR_RGB2GRAY), np.float32)


def clipped(image: Image) -> NDArray[np.float32]:
    """1 where any channel is at 0 or 255, (h, w): flat places that hold no traces."""
    return np.asarray(((image.pixels == 0) | (image.pixels == 255)).any(2), np.float32)


CONTENT: MappingProxyType[str, Callable[[Image], NDArray[np.float32]]] = MappingProxyType(
    {
        "edges": edges,
        "texture": lambda image: texture(image).score_map,
        "colour saliency": lambda image: colour_saliency(image).score_map,
        "noise unlike the rest": lambda image: noise_level(image).score_map,
        "closeness to the centre": lambda image: centre_distance(image).score_map,
        "brightness": brightness,
        "clipped values": clipped,
    }
)
"""What may draw a map, each (h, w) and rising."""


@dataclass(frozen=True, kw_only=True)
class ForgedFinding:
    """One forged picture. ``moved`` is the F1 after `SHIFT` rows and columns were cut off, which
    moves the grid of JPEG blocks and hardly anything else; None where that was not asked for.
    """

    kind: str
    share: float
    outcome: str
    f1: float
    oracle: float
    auc: float
    rim: float | None
    interior: float | None
    moved: float | None


def outcome_of(mask: Mask, truth: Mask) -> str:
    """``found`` (F1 of .5 or more), ``partly`` (.1 or more), ``elsewhere``, or ``missed`` (an empty
    mask).
    """
    if not mask.any():
        return "missed"
    score = f1(mask, truth)
    return "found" if score >= FOUND else "partly" if score >= PARTLY else "elsewhere"


def rim_and_interior(mask: Mask, truth: Mask) -> tuple[float | None, float | None]:
    """Recall of forged pixels up to `RIM` pixels from the boundary, and of those deeper inside;
    None where there is no such pixel.
    """
    depth = cv2.distanceTransform(truth.astype(np.uint8), cv2.DIST_L2, 3)
    parts = (truth & (depth <= RIM), depth > RIM)
    rim, inside = (float(mask[p].mean()) if p.any() else None for p in parts)
    return rim, inside


def examine_forged(
    answer: PredictionLike, truth: Mask, kind: str, moved: float | None = None
) -> ForgedFinding:
    """All there is to say of one forged picture; ``truth`` has the size of the answer."""
    rim, interior = rim_and_interior(answer.mask, truth)
    return ForgedFinding(
        kind=kind,
        share=float(truth.mean()),
        outcome=outcome_of(answer.mask, truth),
        f1=f1(answer.mask, truth),
        oracle=oracle_f1(answer.score_map, truth)[0],
        auc=auc(answer.score_map, truth) if not truth.all() else float("nan"),
        rim=rim,
        interior=interior,
        moved=moved,
    )


def attraction(image: Image, score_map: NDArray[np.float32]) -> dict[str, float]:
    """Spearman correlation of a score map with each of `CONTENT`, over cells of 8 x 8 pixels.

    In [-1, 1]; 0 where either does not vary.
    """
    h, w = image.size
    grid = (max(1, w // CELL), max(1, h // CELL))
    scores = cv2.resize(score_map, grid, interpolation=cv2.INTER_AREA).ravel()
    found = {}
    for name, function in CONTENT.items():
        values = cv2.resize(function(image), grid, interpolation=cv2.INTER_AREA).ravel()
        flat = np.ptp(values) == 0 or np.ptp(scores) == 0
        found[name] = 0.0 if flat else float(spearmanr(scores, values).statistic)
    return found


def summary(findings: Sequence[ForgedFinding]) -> dict[str, JSON]:
    """Means over forged pictures, by all, kind and size."""
    groups: dict[str, list[ForgedFinding]] = {"all": list(findings)}
    for finding in findings:
        groups.setdefault(f"kind: {finding.kind}", []).append(finding)
    for name, (low, high) in SIZES.items():
        chosen = [f for f in findings if low <= f.share < high]
        if chosen:
            groups[f"size: {name}"] = chosen
    return {name: _means(group) for name, group in groups.items()}


def _means(group: Sequence[ForgedFinding]) -> JSON:
    row: dict[str, Any] = {"count": len(group)}
    row |= {o: sum(f.outcome == o for f in group) / len(group) for o in OUTCOMES}
    for name in ("f1", "oracle", "auc", "rim", "interior", "moved"):
        values = [getattr(f, name) for f in group]
        known = [v for v in values if v is not None and np.isfinite(v)]
        row[name] = float(np.mean(known)) if known else None
    return row


def diagnose(
    method: Method,
    sets: Mapping[str, Dataset],
    *,
    shifted: bool = False,
    progress: Progress | None = None,
) -> Record:
    """The record of one method on sets.

    Args:
        method: of the catalogue, or a reference.
        sets: each of forged pictures with masks, authentic ones, or both, by name.
        shifted: also answer each forged picture with its first 4 rows and columns cut off.

    Returns:
        For each set "refused" (pictures without answer), "excluded" (id and reason of pictures that
        cannot be read, and of forged ones whose region is not known), "forged" and "authentic".

    Raises:
        DataError: nothing to examine in a set. ResultError: an answer that is no map.
    """
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        found = [survey(name, data, pool) for name, data in sets.items()]
    numbers: dict[str, JSON] = {
        one.name: _examine(method, one, shifted=shifted, progress=progress) for one in found
    }
    return Record(
        kind=KIND,
        method=describe_method(method),
        weights=weights_of(method),
        protocol={
            "resolution": "of the picture",
            "decision": "as shipped",
            "rim": f"{RIM} pixels",
            "attraction": f"Spearman, cells of {CELL} x {CELL} pixels, mean over pictures",
            "moved": f"first {SHIFT} rows and columns cut off",
        },
        dataset={one.name: describe_set(one.data, one.sha256) for one in found},
        numbers=numbers,
    )


def _examine(
    method: Method, data: Surveyed, *, shifted: bool, progress: Progress | None
) -> dict[str, JSON]:
    forged: list[ForgedFinding] = []
    drawn: dict[str, list[float]] = {name: [] for name in CONTENT}
    flagged: list[float] = []
    excluded, refused = list(data.excluded), 0
    tick = Ticker(progress, len(data.refs))
    for ref in data.refs:
        tick(ref.sample.id)
        loaded = _load(ref)
        if isinstance(loaded, str):
            excluded.append(Excluded(id=ref.sample.id, why=loaded))
            continue
        image, truth = loaded.image, loaded.truth
        answer = predict(method, image).prediction
        if answer is None:
            refused += 1
        elif truth is None:
            flagged.append(float(answer.mask.mean()))
            for name, value in attraction(image, answer.score_map).items():
                drawn[name].append(value)
        elif not loaded.whole:
            moved = _moved(method, image, truth) if shifted else None
            forged.append(examine_forged(answer, truth, ref.sample.kind or "unknown", moved))
    if not forged and not flagged:
        why = f" ({excluded[0].id}: {excluded[0].why})" if excluded else ""
        raise DataError(f"{data.name}: no picture could be examined{why}; check the set")
    numbers: dict[str, JSON] = {"refused": refused, "excluded": [vars(one) for one in excluded]}
    if forged:
        numbers["forged"] = summary(forged)
    if flagged:
        numbers["authentic"] = _authentic(flagged, drawn)
    return numbers


def _load(ref: Ref) -> Loaded | str:
    """The picture with its ground truth at its own size, or why it has to be left out."""
    if ref.sample.unmasked == "unknown":
        return "forged, but its region is not known: give a mask"
    loaded = load_or_reason(ref, IDENTITY, 0)
    if isinstance(loaded, str) or loaded.truth is None:
        return loaded
    try:
        truth = truth_at(loaded.truth, loaded.image.size)
    except DataError as error:
        return str(error)
    if not truth.any():
        return "its mask marks nothing at the picture's size"
    return replace(loaded, truth=truth)


def _authentic(flagged: Sequence[float], drawn: Mapping[str, Sequence[float]]) -> JSON:
    shares = np.array(flagged)
    return {
        "count": len(flagged),
        "pictures_flagged": float((shares > 0).mean()),
        "pixels_flagged": float(shares.mean()),
        "attraction": {name: float(np.mean(values)) for name, values in drawn.items()},
    }


def _moved(method: Method, image: Image, truth: Mask) -> float | None:
    if min(image.size) <= 8 * SHIFT or not truth[SHIFT:, SHIFT:].any():
        return None
    cut = read_image(np.ascontiguousarray(image.pixels[SHIFT:, SHIFT:]), id=image.id)
    answer = predict(method, cut).prediction
    return None if answer is None else f1(answer.mask, truth[SHIFT:, SHIFT:])


def diagnosis_tables(record: Mapping[str, Any]) -> str:
    """Markdown: what became of forged pictures, and what draws the map on authentic ones."""
    heads = ["Set", "Pictures", "n", *OUTCOMES, "F1", "F1, best cut (oracle)", "AUC"]
    heads += ["rim found", "inside found", "F1 after a shift"]
    lines, drawn = [], []
    for name, numbers in record["numbers"].items():
        for group, row in numbers.get("forged", {}).items():
            shares = [f"{100 * row[o]:.0f} %" for o in OUTCOMES]
            means = [short(row[k]) for k in ("f1", "oracle", "auc", "rim", "interior", "moved")]
            lines.append([name, group, str(row["count"]), *shares, *means])
        if authentic := numbers.get("authentic"):
            shares = [f"{100 * authentic[k]:.1f} %" for k in ("pictures_flagged", "pixels_flagged")]
            pulls = [short(authentic["attraction"][k]) for k in CONTENT]
            drawn.append([name, str(authentic["count"]), *shares, *pulls])
    second = ["Set", "n", "pictures flagged", "pixels flagged", *CONTENT]
    parts = ["Forged pictures:\n", table(heads, lines, left=2)] if lines else []
    if drawn:
        parts += ["Authentic pictures, and what their score map follows (Spearman):\n"]
        parts += [table(second, drawn, left=1)]
    return "\n".join(parts)
