"""From what was typed to a list of pictures: files, folders and quoted patterns."""

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tamperscope.errors import DataError

_MAGIC = frozenset("*?[")


@dataclass(frozen=True)
class Found:
    """Pictures to examine, in order, and what was asked for but cannot be."""

    pictures: list[Path]
    problems: list[tuple[str, DataError]]


def find_pictures(asked: Sequence[str], *, recursive: bool, skip: Path) -> Found:
    """Expand arguments into pictures, each once, in the order asked; folders are sorted by name.

    Args:
        asked: files, folders, or patterns such as ``photos/*.jpg`` (``**`` crosses folders).
        recursive: whether folders inside folders are entered.
        skip: a folder never entered: that of our own outputs.
    """
    pictures: dict[Path, Path] = {}
    problems: list[tuple[str, DataError]] = []
    outputs = skip.resolve()
    for text in asked:
        try:
            for path in _expand(text, recursive, outputs):
                pictures.setdefault(path.resolve(), path)
        except DataError as error:
            problems.append((text, error))
    return Found(list(pictures.values()), problems)


def _expand(text: str, recursive: bool, outputs: Path) -> list[Path]:
    path = Path(text)
    if path.is_dir():
        if _inside(path, outputs):
            raise DataError(
                "lies in the output folder, where no pictures are looked for; "
                "choose another folder with --output, or name the pictures"
            )
        found = _in_folder(path, recursive, outputs)
        if not found:
            deeper = "" if recursive else "; --recursive looks in the folders inside it"
            raise DataError(f"no pictures in this folder{deeper}")
        return found
    if os.path.lexists(path):
        return [path]
    if _MAGIC.isdisjoint(text):
        raise DataError("no such file or folder; check the path")
    matches = [Path(match) for match in sorted(glob.glob(text, recursive=True))]
    found = [match for match in matches if _is_picture(match) and not _inside(match, outputs)]
    if not found:
        raise DataError("no picture matches this pattern; check it, and keep it in quotes")
    return found


def _in_folder(folder: Path, recursive: bool, outputs: Path) -> list[Path]:
    return sorted(path for path in _walk(folder, recursive, outputs) if _is_picture(path))


def _walk(folder: Path, recursive: bool, outputs: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        here = Path(parent)
        keep = [name for name in folders if recursive and not name.startswith(".")]
        folders[:] = [name for name in keep if not _inside(here / name, outputs)]
        if not _inside(here, outputs):
            yield from (here / name for name in names if not name.startswith("."))


def _is_picture(path: Path) -> bool:
    from tamperscope.image import SUFFIXES

    return path.suffix.lower() in SUFFIXES and path.is_file()


def _inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder)


def common_parent(pictures: Iterable[Path]) -> Path:
    """The deepest folder that holds all of them; of none at all, the current one."""
    parents = {str(picture.resolve().parent) for picture in pictures}
    return Path(os.path.commonpath(parents)) if parents else Path.cwd()
