"""Run a method over a set and write down what came out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tamperscope import catalog
from tamperscope.bench.content import content_overlap
from tamperscope.bench.intervals import auc_interval, mean_interval
from tamperscope.bench.measure import Progress, Row, check_masks, measure
from tamperscope.bench.predictor import Method, name_of, settings_of
from tamperscope.bench.protocol import OURS, Protocol
from tamperscope.bench.record import Record, write_record
from tamperscope.bench.references import REFERENCES
from tamperscope.data import Dataset, fingerprint, read_dataset
from tamperscope.errors import DataError
from tamperscope.localizer import Localizer
from tamperscope.provenance import JSON


def run_benchmark(
    method: Method,
    dataset: Dataset,
    *,
    limit: int | None = None,
    progress: Progress | None = None,
    protocol: Protocol = OURS,
    rows: bool = False,
) -> Record:
    """Measure `method`, a Localizer or a function of an Image, on `dataset` by `protocol`.

    limit: at most this many forged and this many authentic pictures, evenly spaced in id order.
    rows: keep every picture's numbers in the record.

    Raises DataError for masks that mark nothing or do not belong to their picture, ResultError for
    an answer that is not a finite map with a bool mask of one size.
    """
    if limit is not None:
        dataset = dataset.spread(limit)
    check_masks(dataset)
    measured: list[Row] = []
    for done, sample in enumerate(dataset.samples):
        if progress is not None:
            progress(done, len(dataset.samples), sample.id)
        measured.append(measure(method, sample, dataset.polarity, protocol))
    return Record(
        kind="localization",
        method=describe_method(method),
        weights=weights_of(method),
        protocol=protocol.to_dict(),
        dataset=describe_dataset(dataset),
        numbers=summarize(measured, protocol),
        rows=[row.to_dict() for row in measured] if rows else None,
    )


def summarize(rows: Sequence[Row], protocol: Protocol) -> dict[str, JSON]:
    """Means over pictures with their intervals: tampered, by kind, authentic, image level, time."""
    forged = [row for row in rows if row.label == "forged"]
    authentic = [row for row in rows if row.label == "authentic"]
    kinds = sorted({row.kind for row in forged if row.kind is not None})
    seconds = [row.seconds for row in rows]
    return {
        "tampered": _tampered(forged, protocol),
        "by_kind": {k: _tampered([r for r in forged if r.kind == k], protocol) for k in kinds},
        "authentic": _authentic(authentic, protocol),
        "image_auc": _image_auc(forged, authentic, protocol),
        "seconds": {"median": float(np.median(seconds)), "mean": float(np.mean(seconds))},
        "size_mismatches": sum(row.resized for row in rows),
        "failures": [{"id": row.id, "why": row.failure} for row in rows if row.failure],
    }


def describe_method(method: Method) -> dict[str, JSON]:
    """Name, title, preset, kind of map and settings of a method."""
    card = method.card if isinstance(method, Localizer) else None
    title = card.title if card else getattr(method, "title", name_of(method))
    settings = settings_of(method)
    config = settings.get("config")
    return {
        "name": name_of(method),
        "title": str(title),
        "preset": config.get("preset") if isinstance(config, dict) else None,
        "map_kind": card.map_kind.value if card else None,
        "settings": settings,
    }


def weights_of(method: Method) -> dict[str, str]:
    """Checkpoint -> sha256 as the method describes itself; empty for one without weights."""
    weights = settings_of(method).get("weights")
    return {str(k): str(v) for k, v in weights.items()} if isinstance(weights, dict) else {}


def describe_dataset(dataset: Dataset) -> dict[str, JSON]:
    """Counts, and the sha256 over the sorted hashes of its files."""
    kinds = [s.kind for s in dataset.forged if s.kind is not None]
    return {
        "name": dataset.name,
        "forged": len(dataset.forged),
        "authentic": len(dataset.authentic),
        "kinds": {kind: kinds.count(kind) for kind in sorted(set(kinds))},
        "sha256": fingerprint(dataset),
        "notes": dict(dataset.notes),
    }


def main_bench(
    dataset: str,
    root: Path,
    *,
    method: str = "focal",
    preset: str | None = None,
    weights: str | Path | None = None,
    limit: int | None = None,
    output: Path | None = None,
    rows: bool = False,
    references: bool = False,
    stems: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The command `bench`: one method (or reference, by name) on one set; returns the record.

    dataset: a reader's name; "objects" measures content overlap on authentic pictures.
    output: a `.json` file, or a folder in which `<dataset>-<method>.json` is written.
    references: also run every reference; their records come in the list under "references" and are
        written beside the first.
    stems: a text file of ids, one a line; only these are measured.

    Raises UnknownNameError for an unknown dataset, method or preset, DataError for a bad set.
    """
    data = read_dataset(dataset, root)
    if stems is not None:
        data = data.only(read_stems(stems))
    loaded: Method = (
        REFERENCES[method]
        if method in REFERENCES
        else catalog.load(method, preset=preset, weights=weights)
    )
    label = f"{method}-{preset}" if preset else method
    result = _run(loaded, data, limit=limit, rows=rows, progress=progress)
    target = None if output is None else _target(output, dataset, label)
    if target is not None:
        write_record(result, target)
    if references:
        others = {
            name: _run(other, data, limit=limit, rows=rows, progress=progress)
            for name, other in REFERENCES.items()
            if name != method
        }
        if target is not None:
            for name, record in others.items():
                write_record(record, target.parent / f"{dataset}-{name}.json")
        result = {**result, "references": list(others.values())}
    return result


def read_stems(path: Path) -> list[str]:
    """The ids in a text file, one a line; blank lines and lines from # on are left out.

    Raises DataError when the file cannot be read or lists nothing.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}): give a text file with one id a line"
        ) from error
    stems = [line.partition("#")[0].strip() for line in lines]
    stems = [stem for stem in stems if stem]
    if not stems:
        raise DataError(f"{path} lists no ids: write one a line")
    return stems


def _run(
    method: Method, data: Dataset, *, limit: int | None, rows: bool, progress: Progress | None
) -> dict[str, Any]:
    if data.name != "objects":
        record = run_benchmark(method, data, limit=limit, rows=rows, progress=progress)
        return record.to_dict()
    if limit is not None:
        data = data.spread(limit)
    return Record(
        kind="content-overlap",
        method=describe_method(method),
        weights=weights_of(method),
        protocol=OURS.to_dict(),
        dataset=describe_dataset(data),
        numbers=content_overlap(method, data, protocol=OURS, progress=progress),
    ).to_dict()


def _target(output: Path, dataset: str, label: str) -> Path:
    return output if output.suffix == ".json" else output / f"{dataset}-{label}.json"


def _tampered(rows: Sequence[Row], protocol: Protocol) -> dict[str, JSON]:
    def over(name: str) -> Mapping[str, JSON] | None:
        values = [getattr(row, name) for row in rows]
        return mean_interval([v for v in values if v is not None], protocol)

    names = ("f1", "iou", "auc", "mcc", "flagged_pixels", "forged_pixels")
    return {"count": len(rows), **{name: _plain(over(name)) for name in names}}


def _authentic(rows: Sequence[Row], protocol: Protocol) -> dict[str, JSON]:
    shares = [row.flagged_pixels for row in rows]
    flagged = [float(share > 0) for share in shares]
    return {
        "count": len(rows),
        "flagged_pixels": _plain(mean_interval(shares, protocol)),
        "flagged_pictures": _plain(mean_interval(flagged, protocol)),
    }


def _image_auc(
    forged: Sequence[Row], authentic: Sequence[Row], protocol: Protocol
) -> dict[str, JSON]:
    def between(name: str) -> dict[str, JSON] | None:
        return auc_interval(
            [getattr(row, name) for row in forged],
            [getattr(row, name) for row in authentic],
            protocol,
        )

    return {
        "original": _plain(between("image_score")),
        "recompressed": _plain(between("image_score_recompressed")),
    }


def _plain(interval: Mapping[str, JSON] | None) -> JSON:
    return None if interval is None else dict(interval)
