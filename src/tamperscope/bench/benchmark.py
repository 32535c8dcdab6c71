"""Methods on sets under perturbations, by several protocols, in one pass over the pictures."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import count, product
from typing import Any

import numpy as np

from tamperscope.bench.cache import Shelf, finite_or_none, method_key
from tamperscope.bench.cells import Cell, Job, Measured, Place, measure_cell
from tamperscope.bench.entrants import Entrant
from tamperscope.bench.paired import paired_numbers
from tamperscope.bench.pictures import Excluded, Surveyed, describe_set, survey
from tamperscope.bench.predictor import Method, describe_method, weights_of
from tamperscope.bench.progress import Progress
from tamperscope.bench.protocols import Protocol, Row
from tamperscope.bench.record import Record
from tamperscope.data.sample import Dataset
from tamperscope.errors import ConfigError, DataError
from tamperscope.perturb import IDENTITY, Perturbation
from tamperscope.provenance import JSON, json_safe

KIND = "benchmark"

Note = Callable[[str], None]
"""Called with one line about a picture that is left out or was refused."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to measure.

    Attributes:
        datasets: by the name they have in the tables.
        limit: at most this many forged and this many authentic pictures of each set.
        seed: of the perturbations.
        workers: threads that read, perturb and score; 0 takes what the machine has, at most 8.
        rows: whether every picture's numbers go into the record.

    Raises:
        ConfigError: nothing to measure, or two of a name.
    """

    entrants: tuple[Entrant, ...]
    datasets: Mapping[str, Dataset]
    protocols: tuple[Protocol, ...]
    conditions: tuple[Perturbation, ...] = (IDENTITY,)
    limit: int | None = None
    seed: int = 0
    workers: int = 0
    rows: bool = False

    def __post_init__(self) -> None:
        for what in ("entrants", "datasets", "protocols", "conditions"):
            if not getattr(self, what):
                raise ConfigError(f"no {what} to measure: give at least one")
        names = Counter(entrant.name for entrant in self.entrants)
        twice = [name for name, count in names.items() if count > 1]
        if twice:
            raise ConfigError(f"method {twice[0]!r} is named twice: name it once")
        if self.seed < 0 or self.workers < 0:
            raise ConfigError("seed and workers cannot be negative: give 0 or more")

    @property
    def plain(self) -> str:
        """The condition that main tables, kinds and pictures are about."""
        names = [condition.name for condition in self.conditions]
        return IDENTITY.name if IDENTITY.name in names else names[0]


@dataclass(kw_only=True)
class Outcome:
    """A finished benchmark: the record, and what pictures of it are drawn from."""

    plan: Plan
    record: Record
    cells: dict[Place, Cell] = field(default_factory=dict)
    jobs: dict[Place, Job] = field(default_factory=dict)


def run_plan(
    plan: Plan, shelf: Shelf, *, progress: Progress | None = None, note: Note | None = None
) -> Outcome:
    """Measure everything in the plan that the shelf does not know yet.

    Args:
        shelf: where answers and numbers are kept; the same plan and shelf give the same numbers
            however often the run was stopped in between.
        progress: called for each picture that is done.
        note: called once for each picture that is left out or refused.

    Raises:
        DataError: a set without readable pictures. ResultError: an answer that is no map.
        WeightsError, UnknownNameError: as loading the methods.
    """
    workers = plan.workers or min(8, os.cpu_count() or 1)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="pictures")
    try:
        return _run(plan, shelf, pool, workers, progress, _once(note))
    finally:
        # After Ctrl-C nobody waits for pictures that nobody will look at.
        pool.shutdown(wait=True, cancel_futures=True)


def _run(
    plan: Plan,
    shelf: Shelf,
    pool: Executor,
    workers: int,
    progress: Progress | None,
    note: Note,
) -> Outcome:
    sets = _survey(plan, pool)
    total = sum(len(s.refs) for s in sets) * len(plan.entrants) * len(plan.conditions)
    tick = _counter(progress, total)
    cells: dict[Place, Cell] = {}
    jobs: dict[Place, Job] = {}
    described: list[dict[str, JSON]] = []
    weights: dict[str, str] = {}
    for entrant in plan.entrants:
        method = entrant.load()
        described.append(_describe(entrant, method))
        weights |= {f"{entrant.name}: {name}": sha for name, sha in weights_of(method).items()}
        for data, job in _jobs(plan, entrant, method, sets):
            place = Place(method=entrant.name, dataset=data.name, condition=job.condition.name)
            say = partial(_say, tick, _label(place))
            cell = measure_cell(
                job,
                data.refs,
                plan.protocols,
                shelf=shelf,
                pool=pool,
                depth=2 * workers,
                tick=say,
            )
            cells[place], jobs[place] = cell, job
            _remark(place, data, cell, note)
    record = _record(plan, sets, cells, described, weights)
    return Outcome(plan=plan, record=record, cells=cells, jobs=jobs)


def _survey(plan: Plan, pool: Executor) -> list[Surveyed]:
    sets = [
        survey(name, data if plan.limit is None else data.spread(plan.limit), pool)
        for name, data in plan.datasets.items()
    ]
    for one in sets:
        if not one.refs:
            raise DataError(f"{one.name}: no file of it can be read ({one.excluded[0].why})")
    return sets


def _jobs(
    plan: Plan, entrant: Entrant, method: Method, sets: Iterable[Surveyed]
) -> Iterator[tuple[Surveyed, Job]]:
    key = method_key(method)
    for condition, data in product(plan.conditions, sets):
        yield (
            data,
            Job(
                method=method,
                key=key,
                condition=condition,
                seed=plan.seed,
                kept=not entrant.reference,
            ),
        )


def _counter(progress: Progress | None, total: int) -> Callable[[str], None]:
    done = count(1)

    def tick(what: str) -> None:
        if progress is not None:
            progress(next(done), total, what)

    return tick


def _record(
    plan: Plan,
    sets: Sequence[Surveyed],
    cells: Mapping[Place, Cell],
    described: list[dict[str, JSON]],
    weights: dict[str, str],
) -> Record:
    commits = Counter(str(m.entry.commit) for cell in cells.values() for m in cell.pictures)
    numbers = [
        _numbers(place, cell, p, apart=place.condition == plan.plain)
        for place, cell in cells.items()
        for p in plan.protocols
    ]
    method: dict[str, JSON] = {"name": KIND, "title": "Benchmark", "rows": list(described)}
    return Record(
        kind=KIND,
        method=method,
        weights=weights,
        protocol={p.name: _plain(p.describe()) for p in plan.protocols},
        dataset={s.name: _describe_set(s, cells) for s in sets},
        numbers={
            "cells": list(numbers),
            "conditions": [_plain(c.describe()) for c in plan.conditions],
            "seed": plan.seed,
            "measured_at": dict(sorted(commits.items())),
            **paired_numbers(
                cells,
                sets,
                plan.protocols,
                plain=plan.plain,
                references=[e.name for e in plan.entrants if e.reference],
            ),
        },
        rows=_rows(cells, plan.protocols) if plan.rows else None,
    )


def _numbers(place: Place, cell: Cell, protocol: Protocol, *, apart: bool) -> dict[str, JSON]:
    pictures = cell.pictures
    found = {m.sample.kind for m in pictures if m.sample.kind is not None}
    kinds = sorted(found) if apart and len(found) > 1 else []
    seconds = [m.entry.seconds for m in pictures]
    return {
        **vars(place),
        "protocol": protocol.name,
        "numbers": _plain(protocol.summarize(cell.rows(protocol))),
        "by_kind": {k: _plain(protocol.summarize(cell.rows(protocol, k))) for k in kinds},
        "pictures": {
            "forged": sum(m.sample.label == "forged" for m in pictures),
            "authentic": sum(m.sample.label == "authentic" for m in pictures),
            "excluded": len(cell.excluded),
        },
        "seconds": {"median": float(np.median(seconds)), "mean": float(np.mean(seconds))}
        if seconds
        else None,
        "failures": [
            {"id": m.sample.id, "why": m.entry.failure}
            for m in pictures
            if m.entry.failure is not None
        ],
    }


def _describe(entrant: Entrant, method: Method) -> dict[str, JSON]:
    return {**describe_method(method), "name": entrant.name, "reference": entrant.reference}


def _describe_set(data: Surveyed, cells: Mapping[Place, Cell]) -> dict[str, JSON]:
    """Counts and hash, and every picture left out anywhere, once for each reason."""
    left: dict[Excluded, None] = dict.fromkeys(data.excluded)
    for place, cell in cells.items():
        if place.dataset == data.name:
            left |= dict.fromkeys(cell.excluded)
    return {**describe_set(data.data, data.sha256), "excluded": [vars(one) for one in left]}


def _rows(cells: Mapping[Place, Cell], protocols: Iterable[Protocol]) -> list[dict[str, JSON]]:
    named = list(protocols)
    return [
        {**vars(place), **_row(m), "numbers": {p.name: _safe(row) for p, row in made}}
        for place, cell in cells.items()
        for m, made in zip(cell.pictures, _per_picture(cell, named), strict=True)
    ]


def _per_picture(cell: Cell, protocols: Sequence[Protocol]) -> Iterable[list[tuple[Protocol, Row]]]:
    columns = [cell.rows(p) for p in protocols]
    return ([*zip(protocols, line, strict=True)] for line in zip(*columns, strict=True))


def _row(measured: Measured) -> dict[str, JSON]:
    entry, sample = measured.entry, measured.sample
    return {
        "id": sample.id,
        "label": sample.label,
        "kind": sample.kind,
        "sha256": measured.ref.picture,
        "image_score": entry.image_score,
        "flagged_pixels": entry.flagged,
        "seconds": entry.seconds,
        "failure": entry.failure,
    }


def _safe(row: Row) -> JSON:
    return dict(finite_or_none(row))


def _plain(value: Any) -> JSON:
    return json_safe(value, where="numbers")


def _say(tick: Callable[[str], None], label: str, name: str) -> None:
    tick(f"{label}: {name}")


def _label(place: Place) -> str:
    with_condition = "" if place.condition == IDENTITY.name else f" {place.condition}"
    return f"{place.method} {place.dataset}{with_condition}"


def _remark(place: Place, data: Surveyed, cell: Cell, note: Note) -> None:
    for one in (*data.excluded, *cell.excluded):
        note(f"{place.dataset}: {one.id}: left out: {one.why}")
    for measured in cell.pictures:
        if measured.entry.failure is not None:
            note(f"{_label(place)}: {measured.sample.id}: refused: {measured.entry.failure}")


def _once(note: Note | None) -> Note:
    said: set[str] = set()

    def say(line: str) -> None:
        if note is not None and line not in said:
            note(line)
        said.add(line)

    return say
