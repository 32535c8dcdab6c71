"""The command ``bench``: from names to a record, tables, plots and a page."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tamperscope.bench.benchmark import Note, Outcome, Plan, run_plan
from tamperscope.bench.board_tables import csv_benchmark, markdown_benchmark
from tamperscope.bench.cache import Shelf
from tamperscope.bench.entrants import entrants
from tamperscope.bench.html import benchmark_page
from tamperscope.bench.plots import draw_benchmark
from tamperscope.bench.progress import Progress
from tamperscope.bench.protocols import OURS, PROTOCOLS, Protocol
from tamperscope.bench.record import write_record
from tamperscope.bench.showcase import showcase
from tamperscope.data import Dataset, read_dataset
from tamperscope.errors import ConfigError, MissingExtraError, unknown
from tamperscope.perturb import IDENTITY, parse_all
from tamperscope.result import write_atomic

NAME = "benchmark"
CACHE = "cache"
ALL = "all"
"""In place of a protocol's name: every one."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How `main_benchmark` runs and what it writes.

    Attributes:
        device, precision: of the methods.
        references: whether every reference gets a row.
        limit, seed, workers, rows: as in `Plan`.
        cache: folder of what is measured on the way; by default inside the output folder.
        keep_maps: whether answers are kept, and not only the numbers made from them.
        pictures: how many in each group of the page.
        plots: whether heat tables and curves are drawn.
    """

    device: str = "auto"
    precision: str = "auto"
    references: bool = True
    limit: int | None = None
    seed: int = 0
    workers: int = 0
    rows: bool = False
    cache: Path | None = None
    keep_maps: bool = True
    pictures: int = 3
    plots: bool = True


def main_benchmark(
    methods: Sequence[str],
    data: Sequence[str],
    output: Path,
    *,
    protocols: Sequence[str] = (),
    perturb: Sequence[str] = (),
    weights: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    options: Options | None = None,
    progress: Progress | None = None,
    note: Note | None = None,
) -> dict[str, Any]:
    """Measure methods on sets, and write ``benchmark.{json,csv,md,html}`` and plots to ``output``.

    Args:
        methods: names of methods, with ``:PRESET`` where another than the default is meant, or of
            references.
        data: ``NAME=ROOT``, a reader's name and the set's folder, or ``LABEL:NAME=ROOT``.
        protocols: names, or "all"; without any, ``ours``.
        perturb: specs or names of grids (see `tamperscope.perturb`); pictures as they are come
            first in any case.
        weights: ``METHOD=FILE``, a method as in ``methods``.
        settings: options of readers, by the set's label (its reader's name without one).
        progress, note: as in `run_plan`.

    Returns:
        The record, with "files" (names written) and "hint" (one line, or "").

    Raises:
        UnknownNameError: a method, reader, protocol or perturbation. ConfigError: ``NAME=ROOT`` or
        ``METHOD=FILE`` that is none. DataError: a set that cannot be read.
    """
    options = options or Options()
    shelf = Shelf(options.cache or output / CACHE, keep_maps=options.keep_maps)
    plan = Plan(
        entrants=tuple(
            entrants(
                methods,
                weights,
                references=options.references,
                device=options.device,
                precision=options.precision,
            )
        ),
        datasets=read_sets(data, settings or {}),
        protocols=_protocols(protocols or (OURS.name,)),
        conditions=parse_all([IDENTITY.name, *perturb]),
        limit=options.limit,
        seed=options.seed,
        workers=options.workers,
        rows=options.rows,
    )
    outcome = run_plan(plan, shelf, progress=progress, note=note)
    return write_outputs(outcome, shelf, output, pictures=options.pictures, plots=options.plots)


def write_outputs(
    outcome: Outcome, shelf: Shelf, folder: Path, *, pictures: int = 3, plots: bool = True
) -> dict[str, Any]:
    """Write a finished benchmark; returns its record with "files" and "hint"."""
    record = outcome.record.to_dict()
    write_record(record, folder / f"{NAME}.json")
    write_atomic(folder / f"{NAME}.csv", csv_benchmark(record).encode())
    write_atomic(folder / f"{NAME}.md", markdown_benchmark(record).encode())
    drawn, hint = _draw(record, folder) if plots else ([], "")
    rooms = showcase(outcome, shelf, each=pictures)
    page = benchmark_page(record, rooms, drawn)
    # A name that is not UTF-8 was made printable; nothing else can fail to encode.
    write_atomic(folder / f"{NAME}.html", page.encode())
    files = [f"{NAME}.{kind}" for kind in ("json", "csv", "md", "html")]
    return {**record, "files": [*files, *(path.name for path in drawn)], "hint": hint}


def read_sets(
    data: Iterable[str], settings: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Dataset]:
    """Sets from ``NAME=ROOT`` or ``LABEL:NAME=ROOT`` words, by label (without one the name); a
    second one of a name is told by its folder.

    settings: options of the readers, by label; they are noted in the set.

    Raises:
        ConfigError: no such word. UnknownNameError: no such reader, option, or label in
        ``settings``. DataError: no such set.
    """
    found: dict[str, Dataset] = {}
    for word in data:
        named, equals, root = word.partition("=")
        label, _, name = named.rpartition(":")
        if not (name and equals and root):
            raise ConfigError(
                f"--data {word!r}: give NAME=ROOT or LABEL:NAME=ROOT, such as casia1=sets/casia1"
            )
        label = label or name
        if label in found and label == name:
            label = f"{name} ({Path(root).name})"
        if label in found:
            raise ConfigError(f"--data {word!r}: this set was already given")
        found[label] = _read(name, Path(root), settings.get(label, {}), label)
    for label in settings:
        if label not in found:
            raise unknown("set of --set", label, found)
    return found


def _read(name: str, root: Path, options: Any, label: str) -> Dataset:
    if not isinstance(options, dict):
        raise ConfigError(f"--set {label}={options}: give {label}.OPTION=VALUE")
    made = read_dataset(name, root, **options)
    notes = {f"option {key}": str(value) for key, value in options.items()}
    return replace(made, notes={**made.notes, **notes})


def _protocols(names: Iterable[str]) -> tuple[Protocol, ...]:
    found: dict[str, Protocol] = {}
    for name in names:
        if name != ALL and name not in PROTOCOLS:
            raise unknown("protocol", name, [ALL, *PROTOCOLS])
        found |= PROTOCOLS if name == ALL else {name: PROTOCOLS[name]}
    return tuple(found.values())


def _draw(record: Mapping[str, Any], folder: Path) -> tuple[list[Path], str]:
    """The plots, or none and the reason: hours of measuring must not end in an error here."""
    try:
        return draw_benchmark(record, folder), ""
    except MissingExtraError as error:
        return [], str(error)
