"""The command ``bench dolos``: a study from beginning to end, and the files it leaves behind."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tamperscope import catalog
from tamperscope.bench.dolos_picture import draw_matrices
from tamperscope.bench.dolos_run import run_study
from tamperscope.bench.dolos_study import Study, plain_study, read_study
from tamperscope.bench.dolos_tables import markdown_study
from tamperscope.bench.plan import split_pair, weights_files, with_weights
from tamperscope.bench.progress import Progress
from tamperscope.bench.study_files import write_study
from tamperscope.errors import ConfigError, DataError, unknown

PREFIX = "dolos-"
NAME, STORE = "dolos", "pictures"


def main_dolos(
    root: Path,
    *,
    study: Path | None = None,
    methods: Sequence[str] = (),
    weights: Iterable[str] = (),
    runs: Path = Path("runs/dolos"),
    output: Path,
    limit: int | None = None,
    partial: bool = False,
    device: str = "auto",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure a study, or single methods, and write its record, tables and pictures.

    Args:
        root: a set of the published layout.
        study: a study file; without one, ``methods`` on every generator of the set.
        methods: of the catalogue; without a study and without methods all of DOLOS that ship
            weights. With a study: only its localizers of these methods.
        weights: ``NAME=FILE``: NAME is a localizer of the study, or a method.
        runs: the folder of the study's weights.
        output: a folder, written to: ``dolos.json``, ``dolos.md``, the matrices as pictures, and
            ``pictures/`` with every picture's numbers, from which a later call goes on.
        limit: at most so many pictures of each set, evenly spaced.
        partial: leave out localizers whose weights are not there; otherwise they are an error.
        device: for the localizers.
        progress: called before each picture.

    Returns:
        The record, with ``"files"``, the names of what was written, and ``"hint"``, why there are
        no pictures, or None. Localizers left out are in its numbers under ``missing``.

    Raises:
        ConfigError: a study or options that cannot be used, or weights that are missing.
        UnknownNameError: an unknown method or localizer. DataError: a set that is incomplete.
    """
    given = [split_pair(text) for text in weights]
    if study is None:
        plan, files = _plain(root, methods, given)
    else:
        plan, files = _from_file(study, methods, given, runs)
    if limit is not None:
        plan = replace(plan, limit=limit)
    kept, missing = with_weights(plan.entries, files, partial=partial)
    plan = replace(plan, entries=kept)
    found = run_study(
        plan, root, files=files, store=output / STORE, device=device, progress=progress
    )
    return write_study(
        found,
        missing,
        output,
        name=NAME,
        tables=markdown_study,
        draw=lambda record: draw_matrices(record, output),
    )


def study_sets(root: Path) -> dict[str, list[str]]:
    """Face set -> its generators that have test pictures with masks, as they are on disk, sorted.

    Raises DataError for a folder without any.
    """
    found = {
        real.parents[1].name: sorted(
            folder.parents[1].name
            for folder in real.parents[1].glob("fake/*/images/test")
            if folder.is_dir()
        )
        for real in sorted(root.glob("*/real/test"))
    }
    found = {faces: generators for faces, generators in found.items() if generators}
    if not found:
        raise DataError(
            f"{root} has no FACES/real/test beside FACES/fake/GENERATOR/images/test: give the "
            "folder of a set made by: tamperscope data build dolos"
        )
    return found


def _plain(
    root: Path, methods: Sequence[str], given: Sequence[tuple[str, str]]
) -> tuple[Study, dict[str, Path]]:
    found = study_sets(root)
    everywhere = set.intersection(*(set(generators) for generators in found.values()))
    chosen = list(methods) or [
        card.name
        for card in catalog.list_methods()
        if card.name.startswith(PREFIX)
        and (card.weights or card.name in {method for method, _ in given})
    ]
    if not chosen:
        raise ConfigError("nothing to measure: name --methods and their --weights, or a --study")
    plan = plain_study(
        chosen, faces=list(found), generators=sorted(everywhere), weights=tuple(given)
    )
    return plan, {entry.name: Path(entry.weights) for entry in plan.entries if entry.weights}


def _from_file(
    path: Path, methods: Sequence[str], given: Sequence[tuple[str, str]], runs: Path
) -> tuple[Study, dict[str, Path]]:
    plan = read_study(path)
    if methods:
        known = sorted({entry.method for entry in plan.entries})
        for method in methods:
            if method not in known:
                raise unknown("method of the study", method, known)
        kept = tuple(entry for entry in plan.entries if entry.method in methods)
        plan = replace(plan, entries=kept)
    return plan, weights_files(plan.entries, runs, {name: Path(file) for name, file in given})
