"""Readers of sets on disk: the literal list of them, and functions to read any of them by name.

`load` gives the samples of a set, `read_dataset` the same with the set's name and notes. Pictures
and masks are paired by name, never by their place in a sorted listing.
"""

from pathlib import Path
from types import MappingProxyType
from typing import Any

from tamperscope.data.datasets import (
    authentic,
    autosplice,
    casia1,
    casia2,
    celeb_df,
    cocoglide,
    columbia,
    coverage,
    dffd,
    dolos,
    dso1,
    faceforensics,
    ffpp,
    folder,
    gan_faces,
    imd2020,
    korus,
    lists,
    misd,
    nist16,
    synthesized,
    tampcoco,
)
from tamperscope.data.datasets._files import Orphan, Orphans
from tamperscope.data.datasets.cards import Count, DatasetCard
from tamperscope.data.sample import Dataset, Sample
from tamperscope.errors import DataError, unknown

_CARDS: tuple[DatasetCard, ...] = (
    casia1.CARD,
    casia2.CARD,
    columbia.CARD,
    coverage.CARD,
    nist16.CARD,
    misd.CARD,
    ffpp.CARD,
    imd2020.CARD,
    dso1.CARD,
    korus.CARD,
    cocoglide.CARD,
    autosplice.CARD,
    tampcoco.CARD,
    dolos.CARD,
    faceforensics.CARD,
    celeb_df.CARD,
    dffd.CARD,
    gan_faces.CARD,
    folder.CARD,
    lists.CARD,
    lists.BENCO_CARD,
    authentic.CARD,
    authentic.OBJECTS_CARD,
    synthesized.CARD,
    lists.MANIFEST_CARD,
)
DATASETS: MappingProxyType[str, DatasetCard] = MappingProxyType({c.name: c for c in _CARDS})
"""Every set that can be read, by name."""


def dataset_card(name: str) -> DatasetCard:
    """The card of a set. Raises UnknownNameError, which names the nearest one."""
    if name not in DATASETS:
        raise unknown("dataset", name, DATASETS)
    return DATASETS[name]


def load(
    name: str, root: str | Path, *, skip_orphans: bool = False, **options: Any
) -> list[Sample]:
    """The samples of the set `name` at `root`, forged ones first, each in order of their ids.

    Arguments and errors as for `read_dataset`. `Sample.truth()` reads a mask whichever way the set
    stores it.
    """
    return list(read_dataset(name, root, skip_orphans=skip_orphans, **options).samples)


def read_dataset(
    name: str, root: str | Path, *, skip_orphans: bool = False, **options: Any
) -> Dataset:
    """The set `name` at `root`.

    Args:
        name: a key of `DATASETS`.
        root: its folder, or its file for sets that are lists.
        skip_orphans: leave out pictures without masks and masks without pictures, and count them
            in ``notes["orphans"]``, instead of refusing the set.
        options: those of the card.

    Raises:
        UnknownNameError: no such set, or no such option of it.
        DataError: a root that is not there or not of the set's layout, or files that do not pair.
    """
    card, path = _found(name, root, options)
    if not skip_orphans:
        return card.read(path, **options)
    dataset, orphans = read_with_orphans(name, root, **options)
    dataset.notes["orphans"] = len(orphans)
    return dataset


def read_with_orphans(name: str, root: str | Path, **options: Any) -> tuple[Dataset, Orphans]:
    """The set, and the files that have no partner and are left out of it.

    Arguments and errors as for `read_dataset`; DataError also where nothing pairs up at all.
    """
    card, path = _found(name, root, options)
    orphans: Orphans = []
    try:
        return card.read(path, orphans=orphans, **options), orphans
    except DataError as error:
        if not orphans:
            raise
        first = orphans[0]
        raise DataError(
            f"{path}: nothing pairs up: {first.name} and {len(orphans) - 1} more are without "
            f"{first.lacks} in {first.where}: check the names"
        ) from error


def _found(name: str, root: str | Path, options: dict[str, Any]) -> tuple[DatasetCard, Path]:
    card = dataset_card(name)
    known = [option for option, _ in card.options]
    for option in options:
        if option not in known:
            raise unknown(f"option of {name}", option, known)
    path = Path(root)
    if not path.exists():
        raise DataError(f"no such folder: {path}: give the folder that holds the {name} set")
    return card, path


__all__ = [
    "DATASETS",
    "Count",
    "DatasetCard",
    "Orphan",
    "dataset_card",
    "load",
    "read_dataset",
    "read_with_orphans",
]
