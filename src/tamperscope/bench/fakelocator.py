"""The command ``bench fakelocator``: a study from beginning to end, and the files it writes."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tamperscope.bench.fakelocator_picture import draw_study
from tamperscope.bench.fakelocator_run import run_study
from tamperscope.bench.fakelocator_study import Study, plain_study, read_study
from tamperscope.bench.fakelocator_tables import markdown_study
from tamperscope.bench.plan import split_pair, weights_files, with_weights
from tamperscope.bench.progress import Progress
from tamperscope.bench.study_files import write_study
from tamperscope.data.faces.pairs import load_pairs

NAME, STORE = "fakelocator", "pictures"


def main_fakelocator(
    root: Path,
    *,
    study: Path | None = None,
    unseen: Path | None = None,
    weights: Iterable[str] = (),
    runs: Path = Path("runs/fakelocator"),
    output: Path,
    limit: int | None = None,
    partial: bool = False,
    device: str = "auto",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure a study, or the shipped weights, and write its record, tables and pictures.

    Args:
        root: a set of pairs.
        study: a study file; without one the shipped or given weights on every generator of the set.
        unseen: a folder with ``fake/`` and ``real/`` faces of a generator nobody was trained on.
        weights: ``NAME=FILE``: NAME is a localizer of the study; without a study, of your choice.
        runs: the folder of the study's weights.
        output: a folder, written to: ``fakelocator.json``, ``fakelocator.md``, pictures, and
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
        UnknownNameError: an unknown method, localizer or generator. DataError: an incomplete set.
    """
    chosen = {name: Path(file) for name, file in map(split_pair, weights)}
    if study is None:
        generators = sorted({pair.generator or "" for pair in load_pairs(root)})
        plan, files = plain_study(tuple(generators), chosen), chosen
    else:
        plan = read_study(study)
        files = weights_files(plan.entries, runs, chosen)
    kept, missing = with_weights(plan.entries, files, partial=partial)
    plan = _narrowed(plan, kept, limit)
    found, clusterings = run_study(
        plan,
        root,
        files=files,
        unseen=unseen,
        store=output / STORE,
        device=device,
        progress=progress,
    )
    return write_study(
        found,
        missing,
        output,
        name=NAME,
        tables=markdown_study,
        draw=lambda record: draw_study(record, clusterings, output),
    )


def _narrowed(plan: Study, kept: tuple[Any, ...], limit: int | None) -> Study:
    names = {entry.name for entry in kept}
    robust = tuple(name for name in plan.robust if name in names)
    return replace(plan, entries=kept, robust=robust, limit=plan.limit if limit is None else limit)
