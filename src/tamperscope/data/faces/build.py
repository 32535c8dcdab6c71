"""A set of locally manipulated faces on disk, like DOLOS (Tantaru et al., WACV 2024, section 3).

::

    OUT/celebahq/real/{train,valid,test}/ID.png
    OUT/celebahq/fake/GENERATOR/{images,masks}/{train,valid,test}/ID.png
    OUT/celebahq/fake/GENERATOR-whole/{train,valid,test}/ID.png
    OUT/manifest.jsonl   a line per picture: face, generator, region, dilation, seed, sha256
    OUT/build.json       the settings

Masks are black (0) where a picture is fake and white (255) where it is real, as published. Every
picture, real ones too, is cropped to its central square, brought to one size and stored as PNG, so
that real and fake differ in nothing but what a generator made.
"""

import hashlib
import os
import pickle
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from tamperscope.data.faces import output
from tamperscope.data.faces.celebamask import Face, find_faces
from tamperscope.data.faces.make import Job, Maker, Outcome, Plan, variant_stem
from tamperscope.data.faces.parser import FaceParser
from tamperscope.data.faces.parts import DEFAULT_REGIONS, NUMBERINGS, parse_region
from tamperscope.data.faces.splits import split_of
from tamperscope.data.generators.base import Generator
from tamperscope.data.generators.registry import WHOLE, GeneratorChoice, parse_choice
from tamperscope.data.manifest import hash_file
from tamperscope.errors import ConfigError, DataError, unknown

_FACES_PER_JOB = 4


@dataclass(frozen=True, kw_only=True)
class BuildConfig:
    """What a set is made with; the same for all its generators.

    Attributes:
        seed: decides regions, dilations and the generators' random numbers.
        size: side of every picture in pixels.
        regions: names of `REGIONS`, parts of `PARTS`, or unions such as ``eyes+brows``; one that
            the face has is drawn, all as likely.
        small: a region that covers less than this share of the picture is dilated.
        dilation: range of the random radius in pixels, both ends included.
        least: regions of fewer pixels count as absent.
        vary_masks: draw other regions for each generator. By default the masks of a face are the
            same for all, so that a comparison of generators compares nothing else.
        collection: name of the folder above ``real`` and ``fake``.
        numbering: of the label maps, a name of `NUMBERINGS`.

    Raises:
        ConfigError: a value out of range.
        UnknownNameError: an unknown region or numbering.
    """

    seed: int = 0
    size: int = 256
    regions: tuple[str, ...] = DEFAULT_REGIONS
    small: float = 0.05
    dilation: tuple[int, int] = (1, 15)
    least: int = 32
    vary_masks: bool = False
    collection: str = "celebahq"
    numbering: str = "celebamask"

    def __post_init__(self) -> None:
        for name in ("seed", "size", "least"):
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            _need(whole, f"{name} must be a whole number, got {value!r}")
        _need(len(self.dilation) == 2, f"dilation must be two numbers, got {self.dilation}")
        _need(self.seed >= 0, f"seed must not be negative, got {self.seed}")
        _need(16 <= self.size <= 4096, f"size must be in 16..4096 pixels, got {self.size}")
        _need(0 <= self.small <= 1, f"small must be in [0, 1], got {self.small}")
        low, high = self.dilation
        _need(0 <= low <= high < self.size, f"dilation needs 0 <= low <= high, got {low}, {high}")
        _need(self.least >= 1, f"least must be at least 1 pixel, got {self.least}")
        _need(bool(self.regions), "no face region to choose from: give at least one")
        fits = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.collection)
        _need(fits is not None, f"{self.collection!r} cannot name a folder: use letters and digits")
        if self.numbering not in NUMBERINGS:
            raise unknown("label numbering", self.numbering, NUMBERINGS)
        for region in self.regions:
            parse_region(region)


def config_from_dict(options: Mapping[str, Any]) -> BuildConfig:
    """A `BuildConfig` from plain values, such as lists in place of tuples.

    Raises:
        ConfigError: unknown names or values that cannot be.
    """
    known = {field.name for field in fields(BuildConfig)}
    for name in options:
        if name not in known:
            raise ConfigError(str(unknown("setting of a built set", name, known)))
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    try:
        return BuildConfig(**values)
    except (TypeError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"a setting of the built set has the wrong type: {error}") from error


def _need(fine: bool, message: str) -> None:
    if not fine:
        raise ConfigError(message)


def build_dolos(
    faces: str | Path,
    out: str | Path,
    *,
    generators: Sequence[str | GeneratorChoice],
    config: BuildConfig | None = None,
    variants: int = 1,
    whole: bool = False,
    labels: str | Path | None = None,
    parser: FaceParser | None = None,
    limit: int | None = None,
    workers: int = 1,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Write a set of real and locally manipulated faces; a second call goes on where one stopped.

    More generators, variants and faces can be added to a set later. Every picture depends on its
    face, the settings and the generator alone, not on ``workers``, nor on what else is made.

    Args:
        faces: folder of faces with parsing labels; see `celebamask` for the layouts.
        out: folder to write; an existing one must hold a set of the same settings.
        generators: as for `parse_choice`, such as ``telea`` or ``lama=onnx:lama.onnx``.
        config: what to make.
        variants: manipulations of each face, with different regions while there are any.
        whole: also write wholly regenerated faces with the generators that can.
        labels: folder of label maps, in place of those beside the faces.
        parser: labels faces that have no label maps; picklable with more than one worker.
        limit: use only the first so many faces in order of their names.
        workers: processes, each of one thread; 1 works in this process.
        device: a torch device for generators that are networks.
        progress: called with faces done so far and faces in all.

    Returns:
        ``faces``, ``made`` (pictures of this call), ``pictures`` and ``splits`` and ``regions``
        (counts of the whole set), ``failed`` (faces that cannot be used, with the reason),
        ``without_region`` (faces), ``not_whole`` (generator -> why) and ``manifest``.

    Raises:
        ConfigError: wrong settings, or ``out`` holds a set made with others.
        UnknownNameError: an unknown generator, region or numbering.
        DataError: no faces, no face could be used, or ``out`` cannot be written or holds other
            files.
        MissingExtraError, WeightsNotFoundError, WeightsMismatchError: see `load_generator`.
    """
    config = config or BuildConfig()
    _need(workers >= 1 and variants >= 1, "workers and variants must be at least 1")
    _need(limit is None or limit >= 1, "limit must be at least 1")
    choices = _choices(generators)
    _check_parser(parser, workers)
    folder, root = Path(out), Path(faces)
    output.check_folder(folder)
    found, unlabelled = find_faces(
        root, labels=None if labels is None else Path(labels), parsed=parser is not None
    )
    found = found[:limit]
    _check_names(found, variants)
    loaded = {label: choice.load(device) for label, choice in choices.items()}
    cannot = _cannot_regenerate(loaded, config.size) if whole else {}
    if len(cannot) == len(loaded):
        raise ConfigError("; ".join(cannot.values()))
    plan = _plan(config, folder, variants, frozenset(set(loaded) - set(cannot)) if whole else None)
    with output.only_writer(folder):
        described = {k: _described(choices[k], loaded[k]) for k in choices}
        output.agree(folder, asdict(config), described)
        total = _work(plan, choices, loaded, found, parser, workers, device, progress)
        total.failed += [(face, "no label map of this name") for face in unlabelled]
        rows = output.finish(folder)
    return _report(folder, found, rows, total, cannot)


def _choices(generators: Sequence[str | GeneratorChoice]) -> dict[str, GeneratorChoice]:
    parsed = [parse_choice(g) if isinstance(g, str) else g for g in generators]
    twice = [label for label, n in Counter(c.label for c in parsed).items() if n > 1]
    _need(bool(parsed), "no generator: give at least one, such as telea")
    _need(not twice, f"two generators are called {twice[:1]}: write LABEL=NAME for one of them")
    return {choice.label: choice for choice in parsed}


def _check_parser(parser: FaceParser | None, workers: int) -> None:
    if parser is None or workers == 1:
        return
    try:
        pickle.dumps(parser)
    except Exception as error:  # whatever the parser's own parts raise
        raise ConfigError(
            f"the face parser cannot be sent to worker processes ({error}): define it in a module, "
            "or use one worker"
        ) from error


def _check_names(faces: Sequence[Face], variants: int) -> None:
    names = {face.id for face in faces}
    for variant in range(1, variants):
        for face in faces:
            if variant_stem(face.id, variant) in names:
                raise DataError(
                    f"face {variant_stem(face.id, variant)!r} is named like a variant of "
                    f"{face.id!r}: rename it, or make one variant"
                )


def _cannot_regenerate(loaded: dict[str, Generator], size: int) -> dict[str, str]:
    nothing = np.empty((0, size, size, 3), np.uint8)
    reasons = {}
    for label, generator in loaded.items():
        try:
            generator.regenerate(nothing, seed=0)
        except ConfigError as error:
            reasons[label] = str(error)
    return reasons


def _plan(config: BuildConfig, folder: Path, variants: int, whole: frozenset[str] | None) -> Plan:
    return Plan(
        folder=folder,
        collection=config.collection,
        size=config.size,
        seed=config.seed,
        regions=tuple(parse_region(name) for name in config.regions),
        small=config.small,
        dilation=config.dilation,
        least=config.least,
        vary_masks=config.vary_masks,
        numbering=config.numbering,
        variants=variants,
        whole=whole or frozenset(),
    )


def _described(choice: GeneratorChoice, generator: Generator) -> dict[str, Any]:
    """What a generator is, without the names of this machine's folders."""
    name, _, model = choice.spec.partition(":")
    given, file = choice.weights or model or None, choice.model_file
    shown = file.name if file is not None else given
    return {
        "generator": name,
        "family": generator.family,
        "whole_image": generator.whole_image,
        "model": shown,
        "sha256": None if file is None else _hash_model(file),
        "options": dict(choice.options),
    }


def _hash_model(path: Path) -> str:
    """sha256 of a file, or of the sorted hashes of a folder's files."""
    if path.is_file():
        return hash_file(path)
    hashes = sorted(hash_file(file) for file in path.rglob("*") if file.is_file())
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def _work(
    plan: Plan,
    choices: dict[str, GeneratorChoice],
    loaded: dict[str, Generator],
    faces: Sequence[Face],
    parser: FaceParser | None,
    workers: int,
    device: str,
    progress: Callable[[int, int], None] | None,
) -> Outcome:
    jobs, ready = _jobs(plan, list(choices), faces)
    total = Outcome(faces=ready)
    outcomes: Iterable[Outcome]
    if workers == 1:
        outcomes = map(Maker(plan, loaded, parser).run, jobs)
    else:
        loaded.clear()  # each worker has its own
        outcomes = _in_workers(plan, choices, parser, workers, device, jobs)
    for outcome in outcomes:
        output.append_rows(plan.folder, outcome.rows)
        total.faces += outcome.faces
        total.rows += outcome.rows
        total.failed += outcome.failed
        total.without_region += outcome.without_region
        if progress is not None:
            progress(total.faces, len(faces))
    return total


def _jobs(plan: Plan, labels: Sequence[str], faces: Sequence[Face]) -> tuple[list[Job], int]:
    """The work that is left, and how many faces need none."""
    done = output.finished(plan.folder, output.read_rows(plan.folder))
    todo = []
    for face in faces:
        wanted = _wanted(plan, labels, face)
        if not wanted <= done:
            todo.append((face, wanted & done))
    chunks = [todo[i : i + _FACES_PER_JOB] for i in range(0, len(todo), _FACES_PER_JOB)]
    jobs = [
        Job(
            faces=tuple(face for face, _ in chunk),
            done=frozenset().union(*(there for _, there in chunk)),
        )
        for chunk in chunks
    ]
    return jobs, len(faces) - len(todo)


def _wanted(plan: Plan, labels: Sequence[str], face: Face) -> set[str]:
    where, split = plan.collection, split_of(face.id)
    stems = [variant_stem(face.id, variant) for variant in range(plan.variants)]
    wanted = {output.real_path(where, split, face.id)}
    wanted |= {output.image_path(where, g, split, stem) for g in labels for stem in stems}
    return wanted | {output.whole_path(where, g, split, face.id) for g in plan.whole}


_worker: Maker | None = None


def _start(
    plan: Plan,
    choices: dict[str, GeneratorChoice],
    parser: FaceParser | None,
    device: str,
) -> None:
    import cv2

    global _worker
    cv2.setNumThreads(1)
    _worker = Maker(plan, {label: c.load(device) for label, c in choices.items()}, parser)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)


def _run(job: Job) -> Outcome:
    assert _worker is not None
    return _worker.run(job)


def _in_workers(
    plan: Plan,
    choices: dict[str, GeneratorChoice],
    parser: FaceParser | None,
    workers: int,
    device: str,
    jobs: Sequence[Job],
) -> Iterator[Outcome]:
    if not jobs:
        return
    # Not by fork: a child of a process whose libraries run threads can wait for them for ever.
    with _one_thread():
        pool = ProcessPoolExecutor(
            min(workers, len(jobs)),
            mp_context=get_context("spawn"),
            initializer=_start,
            initargs=(plan, choices, parser, device),
        )
        try:
            for future in as_completed([pool.submit(_run, job) for job in jobs]):
                yield future.result()
        except BrokenProcessPool as error:
            raise DataError(
                "a worker process ended early (out of memory?): run it again with fewer workers, "
                "it goes on from here"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Children started meanwhile compute with one thread each: they are as many as is useful."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _report(
    folder: Path,
    faces: Sequence[Face],
    rows: Sequence[output.Row],
    total: Outcome,
    not_whole: dict[str, str],
) -> dict[str, Any]:
    fakes = [row for row in rows if row["kind"] != "real"]
    if not fakes:
        raise _nothing_made(faces, total)
    return {
        "faces": len(faces),
        "made": len(total.rows),
        "pictures": _counts(_group(row) for row in rows),
        "splits": _counts(row["split"] for row in rows),
        "regions": _counts(row["region"] for row in rows if row["kind"] == "fake"),
        "failed": [{"face": face, "reason": why} for face, why in sorted(total.failed)],
        "without_region": sorted(total.without_region),
        "not_whole": not_whole,
        "manifest": str(folder / output.MANIFEST),
    }


def _nothing_made(faces: Sequence[Face], total: Outcome) -> DataError:
    if total.failed:
        face, reason = total.failed[0]
        return DataError(
            f"none of the {len(faces)} faces could be used (first: {face!r}: {reason})"
        )
    return DataError(
        f"none of the {len(faces)} faces has one of the regions: choose others, or lower least"
    )


def _group(row: output.Row) -> str:
    if row["kind"] == "real":
        return "real"
    whole = WHOLE if row["kind"] == "whole" else ""
    return f"{row['generator']}{whole}"


def _counts(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))
