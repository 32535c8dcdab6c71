"""One method on one set under one perturbation: every picture answered once, then scored by every
protocol.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial

import numpy as np

from tamperscope.bench.cache import (
    OUT_OF_MEMORY,
    Entry,
    Journal,
    Kept,
    Shelf,
    protocol_key,
    settled,
)
from tamperscope.bench.pictures import Excluded, Loaded, Ref, ahead, load_or_reason
from tamperscope.bench.predictor import Method, PredictionLike, name_of, predict
from tamperscope.bench.protocols import Prediction, Protocol, Row
from tamperscope.data.sample import Sample
from tamperscope.errors import DataError
from tamperscope.image import Image
from tamperscope.perturb import Perturbation
from tamperscope.provenance import tool_commit

Tick = Callable[[str], None]
"""Called with the id of each picture that is done."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Which cell: method, set and perturbation, by their names in the tables."""

    method: str
    dataset: str
    condition: str


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One picture's entry, in the order of the set."""

    ref: Ref
    entry: Entry

    @property
    def sample(self) -> Sample:
        """The picture."""
        return self.ref.sample


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What came out; ``excluded`` pictures count for no method."""

    pictures: tuple[Measured, ...]
    excluded: tuple[Excluded, ...]

    def rows(self, protocol: Protocol, kind: str | None = None) -> list[Row]:
        """Rows of one protocol; ``kind``: only forgeries of that kind, and authentic pictures."""
        digest = protocol_key(protocol.describe())
        return [
            m.entry.rows[digest]
            for m in self.pictures
            if kind is None or m.sample.label == "authentic" or m.sample.kind == kind
        ]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One method (with its `method_key`) under one perturbation; ``kept``: maps go to the shelf."""

    method: Method
    key: str
    condition: Perturbation
    seed: int
    kept: bool


def measure_cell(
    job: Job,
    refs: Sequence[Ref],
    protocols: Sequence[Protocol],
    *,
    shelf: Shelf,
    pool: Executor,
    depth: int,
    tick: Tick,
) -> Cell:
    """Answer and score what the shelf does not know yet.

    Pictures are read, perturbed and scored in ``pool``, ``depth`` of them ahead; the method runs
    in the calling thread.

    Raises:
        ResultError: an answer that is no map, or a cache that cannot be written.
    """
    journal = shelf.journal(job.key, job.condition, job.seed)
    named = {protocol_key(p.describe()): p for p in protocols}
    scoring = _Scoring(journal, pool, depth, tick)
    todo = [ref for ref in refs if _missing(journal, ref, named)]
    waiting = {ref.key for ref in todo}
    for ref in refs:
        if ref.key not in waiting:
            tick(ref.sample.id)
    read = partial(load_or_reason, condition=job.condition, seed=job.seed)
    for ref, loaded in ahead(pool, read, todo, depth):
        if isinstance(loaded, str):
            scoring.leave_out(ref, loaded)
            continue
        entry, prediction = _answer(job, ref, loaded, shelf)
        scoring.add(ref, entry, prediction, loaded, _missing(journal, ref, named, entry))
    return _collect(refs, journal, scoring.finish(), named)


class _Scoring:
    """Scores answers in a pool, at most ``depth`` of them ahead, and writes them down in order."""

    def __init__(self, journal: Journal, pool: Executor, depth: int, tick: Tick) -> None:
        self._journal, self._pool, self._depth, self._tick = journal, pool, depth, tick
        self._reasons: dict[str, str] = {}
        self._pending: deque[tuple[Ref, Entry, Future[dict[str, Row] | str]]] = deque()

    def add(
        self,
        ref: Ref,
        entry: Entry,
        prediction: Prediction,
        loaded: Loaded,
        wanted: Mapping[str, Protocol],
    ) -> None:
        self._pending.append((ref, entry, self._pool.submit(_score, prediction, loaded, wanted)))
        if len(self._pending) > self._depth:
            self._settle()

    def leave_out(self, ref: Ref, why: str) -> None:
        self._reasons[ref.key] = why
        self._tick(ref.sample.id)

    def finish(self) -> Mapping[str, str]:
        """Wait for the rest; returns why pictures are left out, by their keys."""
        while self._pending:
            self._settle()
        return self._reasons

    def _settle(self) -> None:
        ref, entry, future = self._pending.popleft()
        found = future.result()
        if isinstance(found, str):
            self.leave_out(ref, found)
            return
        entry.rows = found
        self._journal.add(ref.key, entry)
        self._tick(ref.sample.id)


def predict_again(job: Job, ref: Ref, shelf: Shelf) -> tuple[Loaded, Prediction] | None:
    """A picture with the answer to it, from the shelf or asked for anew; None if left out."""
    loaded = load_or_reason(ref, job.condition, job.seed)
    if isinstance(loaded, str):
        return None
    return loaded, _answer(job, ref, loaded, shelf)[1]


def to_prediction(answer: PredictionLike) -> Prediction:
    """Any answer as the protocols take it; the feature grid from a localizer's own notes."""
    provenance = getattr(answer, "provenance", None)
    grid = None if provenance is None else provenance.notes.get("feature_grid")
    return Prediction(
        score_map=np.asarray(answer.score_map, np.float32),
        mask=np.asarray(answer.mask),
        image_score=float(answer.image_score),
        threshold=float(getattr(answer, "threshold", 0.5)),
        feature_grid=None if grid is None else (int(grid[0]), int(grid[1])),
    )


def _missing(
    journal: Journal, ref: Ref, named: Mapping[str, Protocol], answer: Entry | None = None
) -> dict[str, Protocol]:
    """Protocols without a row; all where the journal knows a refusal and ``answer`` is none, or the
    other way round.
    """
    known = journal.get(ref.key)
    if known is None or (answer is not None and answer.failure != known.failure):
        return dict(named)
    return {k: p for k, p in named.items() if k not in known.rows}


def _answer(job: Job, ref: Ref, loaded: Loaded, shelf: Shelf) -> tuple[Entry, Prediction]:
    place = (job.key, ref.picture, job.condition, job.seed)
    kept = shelf.load(*place) if job.kept else None
    if kept is not None:
        return _entry(kept), kept.prediction
    start = time.perf_counter()
    failure: str | None
    try:
        outcome = predict(job.method, loaded.image)
        answer, seconds, failure = outcome.prediction, outcome.seconds, outcome.failure
    except (MemoryError, RuntimeError) as error:
        answer, seconds = None, time.perf_counter() - start
        failure = _memory(job.method, error)
    if answer is None:
        refused = Kept(prediction=_refused(loaded.image), seconds=seconds, commit=tool_commit())
        return _entry(refused, failure), refused.prediction
    found = settled(to_prediction(answer))
    kept = Kept(prediction=found, seconds=seconds, commit=tool_commit())
    if job.kept:
        shelf.save(kept, *place)
    return _entry(kept), found


def _memory(method: Method, error: MemoryError | RuntimeError) -> str:
    """What to say of a picture too large for the machine; any other error is a bug and goes up."""
    # torch's error, by name: a benchmark of references alone should not import torch.
    if not isinstance(error, MemoryError) and type(error).__name__ != "OutOfMemoryError":
        raise error
    return f"{name_of(method)} {OUT_OF_MEMORY}"


def _refused(image: Image) -> Prediction:
    return Prediction(np.zeros(image.size, np.float32), np.zeros(image.size, np.bool_), 0.0)


def _entry(kept: Kept, failure: str | None = None) -> Entry:
    return Entry(
        seconds=kept.seconds,
        flagged=float(kept.prediction.mask.mean(dtype=np.float64)),
        image_score=float(kept.prediction.image_score),
        failure=failure,
        commit=kept.commit,
    )


def _score(
    prediction: Prediction, loaded: Loaded, protocols: Mapping[str, Protocol]
) -> dict[str, Row] | str:
    try:
        return {
            key: p.score(prediction, loaded.truth, whole=loaded.whole)
            for key, p in protocols.items()
        }
    except DataError as error:
        return " ".join(str(error).split())


def _collect(
    refs: Sequence[Ref],
    journal: Journal,
    reasons: Mapping[str, str],
    named: Mapping[str, Protocol],
) -> Cell:
    pictures, excluded = [], []
    for ref in refs:
        entry = journal.get(ref.key)
        if entry is not None and ref.key not in reasons and named.keys() <= entry.rows.keys():
            pictures.append(Measured(ref=ref, entry=entry))
        else:
            excluded.append(Excluded(id=ref.sample.id, why=reasons.get(ref.key, "not measured")))
    return Cell(pictures=tuple(pictures), excluded=tuple(excluded))
