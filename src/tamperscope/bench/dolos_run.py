"""The DOLOS study: localizers across set-ups, face sets and generators, nothing measured twice.

The numbers are those of the protocol `DOLOS`; the tables are made from the record alone, in
`dolos_tables`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from tamperscope import catalog
from tamperscope.bench.dolos_cells import Measured, Picture, PictureSet, Store
from tamperscope.bench.dolos_prior import region_prior
from tamperscope.bench.dolos_study import Entry, Study
from tamperscope.bench.evaluation import auc_interval, mean_interval
from tamperscope.bench.measured import scores_of
from tamperscope.bench.predictor import Method, describe_method, weights_of
from tamperscope.bench.progress import Progress, Ticker
from tamperscope.bench.protocols import DOLOS
from tamperscope.bench.record import Record
from tamperscope.bench.references import REFERENCES, Reference
from tamperscope.data.datasets import dolos as sets
from tamperscope.data.sample import Dataset, Sample
from tamperscope.image import read_image
from tamperscope.metrics import dolos
from tamperscope.provenance import JSON

KIND = "dolos-study"
CONSTANT = ("empty", "full", "centre-box")
"""References that are the same whatever the set; the region prior is fitted for each."""

NUMBERS = ("iou_lg", "iou_sm", "pbca_lg", "pbca_sm")

Place = tuple[str, str]
"""(face set, generator)."""


@dataclass(frozen=True, kw_only=True)
class _Sets:
    """The test pictures: fakes by place, real ones by face set, as they are and recompressed."""

    fakes: Mapping[Place, PictureSet]
    reals: Mapping[str, PictureSet]

    def describe(self) -> dict[str, JSON]:
        """Counts and hashes."""
        named = {f"{faces}/fake/{generator}": s for (faces, generator), s in self.fakes.items()}
        named |= {f"{faces}/real": s for faces, s in self.reals.items()}
        return {
            name: {"pictures": len(s.data.samples), "sha256": s.sha256} for name, s in named.items()
        }


@dataclass(frozen=True, kw_only=True)
class _Row:
    """A localizer or a reference, and the places it is measured at."""

    entry: Entry
    load: Callable[[], Method]
    reference: bool
    places: tuple[Place, ...]


def run_study(
    study: Study,
    root: Path,
    *,
    files: Mapping[str, Path] | None = None,
    store: Path,
    device: str = "auto",
    progress: Progress | None = None,
) -> Record:
    """Measure every localizer and reference of a study on the set at ``root``.

    Args:
        study: what to measure.
        root: a set of the published layout (`tamperscope.data.datasets.dolos`).
        files: weights of the entries by name; an entry without one uses what its method ships.
        store: a folder for per-picture numbers; what is there already is not measured again.
        device: for the localizers.
        progress: called before each picture.

    Returns:
        A record of kind ``dolos-study`` (`markdown_study` makes the tables).

    Raises:
        DataError: pictures or masks that are missing or wrong. WeightsError: weights that cannot
        be used. UnknownNameError: an unknown method.
    """
    pictures = _read_sets(study, root)
    rows = [*_references(study, root), *_localizers(study, files or {}, device)]
    ticker = Ticker(progress, sum(_amount(row, study, pictures) for row in rows))
    shelf = Store(store)
    cells: list[dict[str, JSON]] = []
    real: list[dict[str, JSON]] = []
    described: list[JSON] = []
    weights: dict[str, str] = {}
    commits: Counter[str] = Counter()
    for row in rows:
        method = row.load()
        jobs = _jobs(row, study, pictures).items()
        say = partial(_say, ticker, row.entry.name)
        parts = {key: shelf.measure(method, job, say) for key, job in jobs}
        commits.update(str(part.commit) for part in parts.values())
        described.append(_describe(row, method))
        weights |= {f"{row.entry.name}: {name}": sha for name, sha in weights_of(method).items()}
        cells += [_cell(row, place, parts) for place in row.places]
        real += [_real(row, faces, parts) for faces in _faces(row)]
    return Record(
        kind=KIND,
        method={
            "name": KIND,
            "title": study.title,
            "faces": list(study.faces),
            "generators": list(study.generators),
            "home": study.home,
            "rows": described,
        },
        weights=weights,
        protocol={**DOLOS.describe(), "recompression_quality": study.jpeg_quality},
        dataset={"name": "dolos", "split": study.split, "sets": pictures.describe()},
        numbers={"cells": list(cells), "real": list(real), "measured_at": dict(commits)},
    )


# ------------------------------------------------------------------------------ what there is


def _read_sets(study: Study, root: Path) -> _Sets:
    def read(name: str, samples: Sequence[Sample]) -> PictureSet:
        data = Dataset(name=name, root=root, samples=tuple(samples))
        return PictureSet.of(data if study.limit is None else data.spread(study.limit))

    return _Sets(
        fakes={
            (faces, generator): read(
                generator, sets.load(root, faces=faces, generator=generator, split=study.split)
            )
            for faces in study.faces
            for generator in study.generators
        },
        reals={
            faces: read("real", sets.load_real(root, faces=faces, split=study.split))
            for faces in study.faces
        },
    )


def _references(study: Study, root: Path) -> Iterable[_Row]:
    places = tuple((faces, name) for faces in study.faces for name in study.generators)
    for name in CONSTANT:
        entry = Entry(name=name, method=name, weights="")
        load = partial(REFERENCES.__getitem__, name)
        yield _Row(entry=entry, load=load, reference=True, places=places)
    for faces, generator in places:
        entry = Entry(
            name="region-prior",
            method="region-prior",
            faces=faces,
            generators=(generator,),
            trained_on=generator,
        )
        load = partial(_prior, root, faces, generator)
        yield _Row(entry=entry, load=load, reference=True, places=((faces, generator),))


def _prior(root: Path, faces: str, generator: str) -> Reference:
    samples = sets.load(root, faces=faces, generator=generator, split="train")
    masks = (sample.mask_path for sample in samples)
    return region_prior(
        dolos.forged_where_not_real(read_image(mask).pixels) for mask in masks if mask is not None
    )


def _localizers(study: Study, files: Mapping[str, Path], device: str) -> Iterable[_Row]:
    places = tuple((faces, name) for faces in study.faces for name in study.generators)
    for entry in study.entries:
        card = catalog.card(entry.method)
        load = partial(
            catalog.load,
            card.name,
            preset=entry.preset or None,
            weights=files.get(entry.name),
            device=device,
        )
        yield _Row(entry=entry, load=load, reference=False, places=places)


# --------------------------------------------------------------------------------- measuring

Job = tuple[str, str, int | None]
"""(face set, generator or "" for real pictures, JPEG quality or None)."""

Parts = dict[Job, Measured]


def _recompressed_places(row: _Row, study: Study) -> list[Place]:
    """Where detection is measured on recompressed sides too: the home generator and one's own."""
    own = row.entry.generators if len(row.entry.generators) == 1 else ()
    return [place for place in row.places if place[1] in (study.home, *own)]


def _jobs(row: _Row, study: Study, pictures: _Sets) -> dict[Job, PictureSet]:
    jobs: dict[Job, PictureSet] = {(f, g, None): pictures.fakes[f, g] for f, g in row.places}
    jobs |= {(faces, "", None): pictures.reals[faces] for faces in _faces(row)}
    quality = study.jpeg_quality
    for faces, generator in _recompressed_places(row, study):
        both = {generator: pictures.fakes[faces, generator], "": pictures.reals[faces]}
        jobs |= {(faces, g, quality): replace(s, quality=quality) for g, s in both.items()}
    return jobs


def _amount(row: _Row, study: Study, pictures: _Sets) -> int:
    return sum(len(job.data.samples) for job in _jobs(row, study, pictures).values())


def _say(tick: Ticker, row: str, picture: str) -> None:
    tick(f"{row}: {picture}")


def _faces(row: _Row) -> list[str]:
    return list(dict.fromkeys(faces for faces, _ in row.places))


# ----------------------------------------------------------------------------------- numbers


def _cell(row: _Row, place: Place, parts: Parts) -> dict[str, JSON]:
    faces, generator = place
    pictures = parts[faces, generator, None].pictures
    qualities = [q for f, g, q in parts if (f, g) == place and q is not None]
    return {
        "row": row.entry.name,
        "faces": faces,
        "generator": generator,
        "pictures": len(pictures),
        **{name: _mean(getattr(p, name) for p in pictures) for name in NUMBERS},
        "flagged_pixels": _mean(p.flagged for p in pictures),
        "detection": _detection(parts, place, None),
        "detection_recompressed": _detection(parts, place, qualities[0]) if qualities else None,
        "seconds": float(np.median([p.seconds for p in pictures])),
        "failures": _failures(pictures),
    }


def _real(row: _Row, faces: str, parts: Parts) -> dict[str, JSON]:
    pictures = parts[faces, "", None].pictures
    return {
        "row": row.entry.name,
        "generators": list(row.entry.generators) if row.reference else [],
        "faces": faces,
        "pictures": len(pictures),
        "flagged_pixels": _mean(p.flagged for p in pictures),
        "flagged_pictures": _mean(float(p.flagged > 0) for p in pictures),
        "failures": _failures(pictures),
    }


def _detection(parts: Parts, place: Place, quality: int | None) -> dict[str, JSON]:
    faces, generator = place
    real = scores_of(parts[faces, "", quality].pictures)
    fake = scores_of(parts[faces, generator, quality].pictures)
    redraws = dolos.balanced_precision(real, fake)
    return {
        "average_precision": {
            "mean": redraws.mean,
            "std": redraws.std,
            "values": list(redraws.values),
            "each": redraws.count,
        },
        "auc": auc_interval(fake, real, DOLOS),
    }


def _mean(values: Iterable[float | None]) -> JSON:
    found = mean_interval([value for value in values if value is not None], DOLOS)
    return None if found is None else dict(found)


def _failures(pictures: Sequence[Picture]) -> list[JSON]:
    return [{"id": p.id, "why": p.failure} for p in pictures if p.failure is not None]


# -------------------------------------------------------------------------------- description


def _title(title: str, preset: str) -> str:
    return f"{title}, {preset}" if preset else title


def _describe(row: _Row, method: Method) -> dict[str, JSON]:
    described = describe_method(method)
    return {
        "name": row.entry.name,
        "reference": row.reference,
        "method": row.entry.method,
        "title": _title(str(described["title"]), row.entry.preset),
        "map_kind": described["map_kind"],
        "setup": row.entry.setup,
        "faces": row.entry.faces,
        "generators": list(row.entry.generators),
        "trained_on": row.entry.trained_on,
        "settings": described["settings"],
    }
