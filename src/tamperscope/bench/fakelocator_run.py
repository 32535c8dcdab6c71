"""The FakeLocator study: localizers across generators, attributes and perturbations, nothing
measured twice.

The tables are made from the record alone, in `fakelocator_tables`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tamperscope import catalog
from tamperscope.bench import fakelocator_numbers as numbers
from tamperscope.bench.fakelocator_cells import Measured, Picture, PictureSet, Store
from tamperscope.bench.fakelocator_lookup import KIND
from tamperscope.bench.fakelocator_references import FITTED, fit, references
from tamperscope.bench.fakelocator_sets import (
    UNSEEN,
    Place,
    StudySets,
    pairs_by_place,
    read_sets,
    spread,
)
from tamperscope.bench.fakelocator_study import PROTOCOL, Entry, Study
from tamperscope.bench.predictor import Method, describe_method, weights_of
from tamperscope.bench.progress import Progress, Ticker
from tamperscope.bench.record import Record
from tamperscope.bench.references import Reference
from tamperscope.clustering.single_sample import SingleSampleConfig
from tamperscope.data.faces.pairs import split_by_regions
from tamperscope.errors import DataError, UnknownNameError
from tamperscope.perturb import Perturbation, parse_all
from tamperscope.provenance import JSON

Job = tuple[str, str, str]
"""(generator or "" for real pictures, variant, perturbation)."""
Clusterings = dict[tuple[str, Place], numbers.Numbers]
"""By row and place, with the points of the embedding."""


_Parts = dict[Job, Measured]


@dataclass(kw_only=True)
class _Found:
    """What was measured so far."""

    rows: list[JSON] = field(default_factory=list)
    weights: dict[str, str] = field(default_factory=dict)
    commits: Counter[str] = field(default_factory=Counter)
    cells: list[JSON] = field(default_factory=list)
    real: list[JSON] = field(default_factory=list)
    clustering: list[JSON] = field(default_factory=list)
    attributes: list[JSON] = field(default_factory=list)
    robustness: list[JSON] = field(default_factory=list)
    clusterings: Clusterings = field(default_factory=dict)


@dataclass(kw_only=True)
class _Run:
    study: Study
    sets: StudySets
    store: Store
    folder: Path
    ticker: Ticker
    found: _Found = field(default_factory=_Found)

    def measure(self, name: str, method: Method, jobs: Mapping[Job, PictureSet]) -> _Parts:
        """Every job of a row, and what it says of itself."""
        parts = {
            job: self.store.measure(method, pictures, partial(_say, self.ticker, name))
            for job, pictures in jobs.items()
        }
        self.found.commits.update(str(part.commit) for part in parts.values())
        own = {f"{name}: {key}": sha for key, sha in weights_of(method).items()}
        self.found.weights |= own
        return parts


def run_study(
    study: Study,
    root: Path,
    *,
    files: Mapping[str, Path] | None = None,
    unseen: Path | None = None,
    store: Path,
    device: str = "auto",
    progress: Progress | None = None,
) -> tuple[Record, Clusterings]:
    """Measure every localizer and reference of a study.

    Args:
        study: what to measure.
        root: a set of pairs, as `tamperscope data build fakelocator` writes.
        files: weights of the entries by name; an entry without one uses what its method ships.
        unseen: a folder with ``fake/`` and ``real/`` faces of a generator nobody was trained on.
        store: a folder for what is measured; what is there already is not measured again.
        device: for the localizers.
        progress: called before each picture.

    Returns:
        A record of kind ``fakelocator-study`` (`markdown_study` makes the tables), and every
        clustering with its points.

    Raises:
        DataError: pictures that are missing or wrong. WeightsError: weights that cannot be used.
        UnknownNameError: an unknown method, generator or face collection.
    """
    sets = read_sets(study, root, unseen)
    for entry in study.entries:
        catalog.card(entry.method)
    simple = _references(study, sets, root)
    total = sum(_amount(_jobs(entry, study, sets)) for entry in study.entries)
    total += sum(len(some) * len(sets.fakes[place].pairs) for place, some in simple)
    ticker = Ticker(progress, total)
    run = _Run(study=study, sets=sets, store=Store(store), folder=store, ticker=ticker)
    _measure_references(run, simple)
    for entry in study.entries:
        _measure_entry(run, entry, _load(entry, (files or {}).get(entry.name), device))
    return _record(run), run.found.clusterings


def _load(entry: Entry, file: Path | None, device: str) -> Method:
    options: dict[str, Any] = dict(option.split("=", 1) for option in entry.options)
    preset = entry.preset or None
    return catalog.load(entry.method, preset=preset, weights=file, device=device, **options)


def _say(tick: Ticker, row: str, picture: str) -> None:
    tick(f"{row}: {picture}")


# ---------------------------------------------------------------------------------- what to do


def _jobs(entry: Entry, study: Study, sets: StudySets) -> dict[Job, PictureSet]:
    jobs: dict[Job, PictureSet] = {}
    for place in _places(entry, study, sets):
        fakes, reals = sets.at(place)
        jobs[_job(place, fakes.condition)] = fakes
        jobs[_real_job(place, reals.condition)] = reals
    if entry in study.robust_entries():
        jobs |= {job: pictures for job, pictures, _ in _robustness(study, sets)}
    return jobs


def _job(place: Place, condition: Perturbation) -> Job:
    return (*place, condition.name)


def _real_job(place: Place, condition: Perturbation) -> Job:
    return (UNSEEN if place[0] == UNSEEN else "", "real", condition.name)


def _places(entry: Entry, study: Study, sets: StudySets) -> list[Place]:
    """Where a localizer is measured: one of some face regions only on regions of its generators."""
    if not entry.regions:
        return sets.places
    own = set(entry.generators) or {study.home}
    return [place for place in sets.fakes if place[0] in own and place[1] == "region"]


def _robustness(study: Study, sets: StudySets) -> Iterator[tuple[Job, PictureSet, Perturbation]]:
    """Few pictures of the home generator and real ones under every perturbation."""
    home = (study.home, study.variant)
    if home not in sets.fakes:
        home = next(place for place in sets.fakes if place[0] == study.home)
    fakes, reals = sets.at(home)
    for condition in parse_all(study.perturbations):
        for place, pictures in ((home, fakes), (("", "real"), reals)):
            few = PictureSet.of(spread(pictures.pairs, study.robust_limit)).under(condition)
            yield (f"robust {place[0]}", place[1], condition.name), few, condition


def _amount(jobs: Mapping[Job, PictureSet]) -> int:
    return sum(len(pictures.pairs) for pictures in jobs.values())


# --------------------------------------------------------------------------------- measuring


def _references(study: Study, sets: StudySets, root: Path) -> list[tuple[Place, list[Reference]]]:
    """The references of every place, fitted on its training pairs where there are any."""
    try:
        training = pairs_by_place(root, study, "train")
    except (DataError, UnknownNameError):
        # The test pictures are there: only these are missing, and a reference with them.
        training = {}
    return [
        (place, references(fit(spread(training.get(place, []), FITTED)))) for place in sets.fakes
    ]


def _measure_references(run: _Run, chosen: Sequence[tuple[Place, list[Reference]]]) -> None:
    rules: dict[str, dict[str, JSON]] = {}
    titles: dict[str, str] = {}
    for place, some in chosen:
        pictures = run.sets.fakes[place]
        for reference in some:
            job = _job(place, pictures.condition)
            measured = run.measure(reference.name, reference, {job: pictures})[job]
            run.found.cells.append(_cell(reference.name, place, measured.pictures, ()))
            rules.setdefault(reference.name, {})["/".join(place)] = reference.rule
            titles[reference.name] = reference.title
    run.found.rows += [
        {**_nothing(name), "reference": True, "title": titles[name], "settings": dict(rule)}
        for name, rule in rules.items()
    ]


def _measure_entry(run: _Run, entry: Entry, method: Method) -> None:
    parts = run.measure(entry.name, method, _jobs(entry, run.study, run.sets))
    run.found.rows.append(_describe(entry, method))
    measured_reals: set[Job] = set()
    for place in _places(entry, run.study, run.sets):
        fakes, reals = run.sets.at(place)
        own, others = parts[_job(place, fakes.condition)], _real_job(place, reals.condition)
        run.found.cells.append(_cell(entry.name, place, own.pictures, parts[others].pictures))
        if others not in measured_reals:
            measured_reals.add(others)
            run.found.real.append(_real(entry.name, place, parts[others].pictures))
        if fakes.features and not entry.regions:
            _cluster(run, entry, place, own, parts[others])
        if entry.regions:
            _reach(run, entry, place, own.pictures, parts[others].pictures)
    if entry in run.study.robust_entries():
        _robust(run, entry, parts)


def _cluster(run: _Run, entry: Entry, place: Place, fakes: Measured, reals: Measured) -> None:
    found = numbers.clustering(
        fakes, reals, run.folder, draws=run.study.draws, config=SingleSampleConfig()
    )
    if found is not None:
        run.found.clusterings[entry.name, place] = found
        where = {"row": entry.name, "generator": place[0], "variant": place[1]}
        run.found.clustering.append({**where, **numbers.without_points(found)})


def _reach(
    run: _Run, entry: Entry, place: Place, fakes: Sequence[Picture], reals: Sequence[Picture]
) -> None:
    """The numbers of regions that training saw, and of others."""
    measured = {picture.id: picture for picture in fakes}
    inside, outside = split_by_regions(run.sets.fakes[place].pairs, entry.regions)
    for reach, pairs in (("seen", inside), ("unseen", outside)):
        chosen = [measured[pair.id] for pair in pairs]
        cell = _cell(entry.name, place, chosen, reals)
        run.found.attributes.append({**cell, "reach": reach})


def _robust(run: _Run, entry: Entry, parts: _Parts) -> None:
    jobs = list(_robustness(run.study, run.sets))
    for (job, _, condition), (other, _, _) in zip(jobs[::2], jobs[1::2], strict=True):
        cell = _cell(
            entry.name, (run.study.home, job[1]), parts[job].pictures, parts[other].pictures
        )
        axis = condition.axis
        run.found.robustness.append(
            {**cell, "condition": condition.name, "axis": None if axis is None else list(axis)}
        )


# ----------------------------------------------------------------------------------- numbers


def _cell(
    row: str, place: Place, fakes: Sequence[Picture], reals: Sequence[Picture]
) -> dict[str, JSON]:
    return {
        "row": row,
        "generator": place[0],
        "variant": place[1],
        "pictures": len(fakes),
        **numbers.localization(fakes),
        "detection": numbers.detection(fakes, reals),
        "seconds": float(np.median([p.seconds for p in fakes])) if fakes else None,
        "failures": numbers.failures(fakes),
    }


def _real(row: str, place: Place, pictures: Sequence[Picture]) -> dict[str, JSON]:
    return {
        "row": row,
        "set": UNSEEN if place[0] == UNSEEN else "",
        "pictures": len(pictures),
        "level": numbers.mean([p.level for p in pictures]),
        "failures": numbers.failures(pictures),
    }


def _record(run: _Run) -> Record:
    study, found = run.study, run.found
    return Record(
        kind=KIND,
        method={
            "name": KIND,
            "title": study.title,
            "faces": study.faces,
            "generators": list(study.generators),
            "home": study.home,
            "variant": study.variant,
            "rows": found.rows,
        },
        weights=found.weights,
        protocol={
            **PROTOCOL.describe(),
            "recompression_quality": study.jpeg_quality,
            "clustering": {**asdict(SingleSampleConfig()), "draws": study.draws},
            "perturbations": [p.describe() for p in parse_all(study.perturbations)],
        },
        dataset={"name": "fakelocator", "split": study.split, "sets": run.sets.describe()},
        numbers={
            "cells": found.cells,
            "real": found.real,
            "clustering": found.clustering,
            "attributes": found.attributes,
            "robustness": found.robustness,
            "measured_at": dict(found.commits),
        },
    )


def _describe(entry: Entry, method: Method) -> dict[str, JSON]:
    described = describe_method(method)
    return {
        **_nothing(entry.name),
        "method": entry.method,
        "title": described["title"],
        "map_kind": described["map_kind"],
        "generators": list(entry.generators),
        "trained_on": entry.trained_on,
        "augment": entry.augment,
        "attention": entry.attention,
        "regions": list(entry.regions),
        "settings": described["settings"],
    }


def _nothing(name: str) -> dict[str, JSON]:
    """A row of which nothing is known but its name."""
    return {
        "name": name,
        "reference": False,
        "method": name,
        "title": name,
        "map_kind": None,
        "generators": [],
        "trained_on": "",
        "augment": "",
        "attention": "",
        "regions": [],
        "settings": {},
    }
