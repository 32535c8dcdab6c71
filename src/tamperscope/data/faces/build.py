"""Sets of real and fake faces on disk, for DOLOS and for FakeLocator.

Like DOLOS (Tantaru et al., WACV 2024, section 3), with black (0) in a mask where a picture is fake
and white (255) where it is real, as published::

    OUT/celebahq/real/{train,valid,test}/ID.png
    OUT/celebahq/fake/GENERATOR/{images,masks}/{train,valid,test}/ID.png
    OUT/celebahq/fake/GENERATOR-whole/{train,valid,test}/ID.png
    OUT/manifest.jsonl   a line per picture: face, generator, region, dilation, seed, sha256
    OUT/build.json       the settings

For FakeLocator (Huang et al., IEEE TIFS 2022) there are no masks: the fakeness map is the grey
difference of a fake and its real picture, which has the same name::

    OUT/celebahq/real/{train,valid,test}/ID.png
    OUT/celebahq/fake/GENERATOR/{region,whole}/{train,valid,test}/ID.png

Every picture, real ones too, is cropped to its central square, brought to one size and stored as
PNG, so that real and fake differ in nothing but what a generator made.
"""

import hashlib
import pickle
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tamperscope.data.faces import output
from tamperscope.data.faces._pool import in_workers
from tamperscope.data.faces.celebamask import Face, find_faces
from tamperscope.data.faces.config import BuildConfig, need
from tamperscope.data.faces.layout import DOLOS, FAKELOCATOR, Layout
from tamperscope.data.faces.make import Job, Maker, Outcome, Plan, variant_stem
from tamperscope.data.faces.splits import split_of
from tamperscope.data.generators.base import Generator
from tamperscope.data.generators.registry import WHOLE, GeneratorChoice, parse_choice
from tamperscope.data.manifest import hash_file
from tamperscope.errors import ConfigError, DataError, unknown
from tamperscope.face_parsing.parser import FaceParser
from tamperscope.face_parsing.parts import parse_region

_FACES_PER_JOB = 4
_ONLY = ("whole", "region")
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class _Order:
    """A build as asked for; the fields are the arguments of `build_dolos`.

    variants: may be 0, for no regenerated regions.
    whole: "where possible" leaves out the generators that can only fill regions.
    """

    faces: Path
    out: Path
    layout: Layout
    generators: Sequence[str | GeneratorChoice]
    config: BuildConfig = field(default_factory=BuildConfig)
    variants: int = 1
    whole: Literal["no", "where possible", "yes"] = "no"
    labels: Path | None = None
    parser: FaceParser | None = None
    limit: int | None = None
    workers: int = 1
    device: str = "cpu"
    progress: Progress | None = None


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
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write a set of real and locally manipulated faces; a second call goes on where one stopped.

    More generators, variants and faces can be added to a set later. Every picture depends on its
    face, the settings and the generator alone, not on ``workers``, nor on what else is made; only
    a pixel that a network left halfway between two levels may round the other way.

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
    need(variants >= 1, f"variants must be at least 1, got {variants}")
    order = _Order(
        faces=Path(faces),
        out=Path(out),
        layout=DOLOS,
        generators=generators,
        config=config or BuildConfig(),
        variants=variants,
        whole="yes" if whole else "no",
        labels=None if labels is None else Path(labels),
        parser=parser,
        limit=limit,
        workers=workers,
        device=device,
        progress=progress,
    )
    return _build(order)


def build_fakelocator(
    faces: str | Path,
    out: str | Path,
    *,
    generators: Sequence[str | GeneratorChoice],
    config: BuildConfig | None = None,
    only: Literal["whole", "region"] | None = None,
    variants: int = 1,
    labels: str | Path | None = None,
    parser: FaceParser | None = None,
    limit: int | None = None,
    workers: int = 1,
    device: str = "cpu",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write pairs of real and regenerated faces, whole ones and ones of a region.

    Goes on where a call stopped, and grows, as `build_dolos` does.

    Args:
        faces: folder of faces, with parsing labels unless only whole faces are regenerated.
        only: make only whole faces, or only regions; both by default, where generators that can
            only fill regions make no whole faces.
        variants: pictures with a regenerated region for each face and generator.
        out, generators, config, labels, parser, limit, workers, device, progress: as for
            `build_dolos`.

    Returns, raises: as `build_dolos`.
    """
    need(variants >= 1, f"variants must be at least 1, got {variants}")
    if only is not None and only not in _ONLY:
        raise unknown("kind of fakes", only, _ONLY)
    order = _Order(
        faces=Path(faces),
        out=Path(out),
        layout=FAKELOCATOR,
        generators=generators,
        config=config or BuildConfig(),
        variants=0 if only == "whole" else variants,
        whole="yes" if only == "whole" else "no" if only == "region" else "where possible",
        labels=None if labels is None else Path(labels),
        parser=_no_parts if only == "whole" else parser,
        limit=limit,
        workers=workers,
        device=device,
        progress=progress,
    )
    return _build(order)


def _no_parts(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Labels for faces of which no part is needed."""
    return np.zeros(pixels.shape[:2], np.uint8)


def _build(order: _Order) -> dict[str, Any]:
    need(order.workers >= 1, f"workers must be at least 1, got {order.workers}")
    need(order.limit is None or order.limit >= 1, "limit must be at least 1")
    choices = _choices(order.generators)
    _check_parser(order.parser, order.workers)
    output.check_folder(order.out)
    parsed = order.parser is not None
    found, unlabelled = find_faces(order.faces, labels=order.labels, parsed=parsed)
    found = found[: order.limit]
    _check_names(found, order.variants)
    loaded = {label: choice.load(order.device) for label, choice in choices.items()}
    cannot = {} if order.whole == "no" else _cannot_regenerate(loaded, order.config.size)
    if order.whole == "yes" and len(cannot) == len(loaded):
        raise ConfigError("; ".join(cannot.values()))
    whole = frozenset() if order.whole == "no" else frozenset(set(loaded) - set(cannot))
    plan = _plan(order, whole)
    with output.only_writer(order.out):
        described = {k: _described(choices[k], loaded[k]) for k in choices}
        output.agree(order.out, order.layout, asdict(order.config), described)
        total = _work(order, plan, choices, loaded, found)
        total.failed += [(face, "no label map of this name") for face in unlabelled]
        rows = output.finish(order.out)
    return _report(order.out, found, rows, total, cannot)


def _choices(generators: Sequence[str | GeneratorChoice]) -> dict[str, GeneratorChoice]:
    parsed = [parse_choice(g) if isinstance(g, str) else g for g in generators]
    twice = [label for label, n in Counter(c.label for c in parsed).items() if n > 1]
    need(bool(parsed), "no generator: give at least one, such as telea")
    need(not twice, f"two generators are called {twice[:1]}: write LABEL=NAME for one of them")
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


def _plan(order: _Order, whole: frozenset[str]) -> Plan:
    config = order.config
    return Plan(
        folder=order.out,
        layout=order.layout,
        collection=config.collection,
        size=config.size,
        seed=config.seed,
        regions=tuple(parse_region(name) for name in config.regions),
        small=config.small,
        dilation=config.dilation,
        least=config.least,
        vary_masks=config.vary_masks,
        numbering=config.numbering,
        variants=order.variants,
        whole=whole,
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
    order: _Order,
    plan: Plan,
    choices: dict[str, GeneratorChoice],
    loaded: dict[str, Generator],
    faces: Sequence[Face],
) -> Outcome:
    jobs, ready = _jobs(plan, list(choices), faces)
    total = Outcome(faces=ready)
    outcomes: Iterable[Outcome]
    if order.workers == 1:
        outcomes = map(Maker(plan, loaded, order.parser).run, jobs)
    else:
        loaded.clear()  # each worker has its own
        outcomes = in_workers(plan, choices, order.parser, order.workers, order.device, jobs)
    for outcome in outcomes:
        output.append_rows(plan.folder, outcome.rows)
        total.faces += outcome.faces
        total.rows += outcome.rows
        total.failed += outcome.failed
        total.without_region += outcome.without_region
        if order.progress is not None:
            order.progress(total.faces, len(faces))
    return total


def _jobs(plan: Plan, labels: Sequence[str], faces: Sequence[Face]) -> tuple[list[Job], int]:
    """The work that is left, and how many faces need none."""
    rows = output.read_rows(plan.folder)
    done = output.finished(plan.folder, rows)
    named = ((row.get("face"), row.get("source_sha256")) for row in rows.values())
    sources = {str(face): str(sha256) for face, sha256 in named if face and sha256}
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
            sources={face.id: sources[face.id] for face, _ in chunk if face.id in sources},
        )
        for chunk in chunks
    ]
    return jobs, len(faces) - len(todo)


def _wanted(plan: Plan, labels: Sequence[str], face: Face) -> set[str]:
    layout, where, split = plan.layout, plan.collection, split_of(face.id)
    stems = [variant_stem(face.id, variant) for variant in range(plan.variants)]
    wanted = {layout.real_path(where, split, face.id)}
    wanted |= {layout.region_path(where, g, split, stem) for g in labels for stem in stems}
    return wanted | {layout.whole_path(where, g, split, face.id) for g in plan.whole}


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
