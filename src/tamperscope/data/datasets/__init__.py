"""Readers of sets on disk: the literal list, and one function to read any of them by name."""

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

from tamperscope.data.datasets.authentic import read_authentic, read_objects
from tamperscope.data.datasets.casia1 import read_casia1
from tamperscope.data.datasets.folder import read_folder
from tamperscope.data.datasets.imd2020 import read_imd2020
from tamperscope.data.datasets.synthesized import read_synthesized
from tamperscope.data.manifest import read_manifest
from tamperscope.data.sample import Dataset
from tamperscope.errors import DataError, unknown

READERS: MappingProxyType[str, Callable[[Path], Dataset]] = MappingProxyType(
    {
        "casia1": read_casia1,
        "imd2020": read_imd2020,
        "folder": read_folder,
        "authentic": read_authentic,
        "objects": read_objects,
        "synthesized": read_synthesized,
        "manifest": read_manifest,
    }
)


def read_dataset(name: str, root: Path) -> Dataset:
    """The set at `root` through the reader called `name`.

    Raises UnknownNameError for another name, DataError for a root that is not there or not of the
    reader's layout.
    """
    if name not in READERS:
        raise unknown("dataset", name, READERS)
    if not root.exists():
        raise DataError(f"no such folder: {root}: give the folder that holds the {name} set")
    return READERS[name](root)


__all__ = [
    "READERS",
    "read_authentic",
    "read_casia1",
    "read_dataset",
    "read_folder",
    "read_imd2020",
    "read_objects",
    "read_synthesized",
]
