"""From what was typed to a list of pictures: files, folders and quoted patterns."""

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tamperscope.errors import DataError

_MAGIC = frozenset("*?[")
Problems = list[tuple[str, DataError]]


@dataclass(frozen=True)
class Found:
    """Pictures to examine, in order, and what was asked for but cannot be."""

    pictures: list[Path]
    problems: Problems


def find_pictures(asked: Sequence[str], *, recursive: bool, skip: Path) -> Found:
    """Expand arguments into pictures, each once, in the order asked; folders are sorted by name.

    Args:
        asked: files, folders, or patterns such as ``photos/*.jpg`` (``**`` crosses folders).
        recursive: whether folders inside folders are entered.
        skip: a folder never entered: that of our own outputs.
    """
    pictures: dict[Path, Path] = {}
    problems: Problems = []
    outputs = skip.resolve()
    for text in asked:
        try:
            for path in _expand(text, recursive, outputs, problems):
                pictures.setdefault(path.resolve(), path)
        except DataError as error:
            problems.append((text, error))
        except (OSError, RuntimeError) as error:  # RuntimeError: a link that leads to itself
            problems.append((text, _unlisted(error)))
    return Found(list(pictures.values()), problems)


def _unlisted(error: Exception) -> DataError:
    reason = getattr(error, "strerror", None) or "it is a link that leads to itself"
    return DataError(f"cannot be looked at ({reason}); check the path and its permissions")


def _expand(text: str, recursive: bool, outputs: Path, problems: Problems) -> list[Path]:
    path = Path(text)
    if path.is_dir():
        if _inside(path, outputs):
            raise DataError(
                "lies in the output folder, where no pictures are looked for; "
                "choose another folder with --output, or name the pictures"
            )
        before = len(problems)
        found = _in_folder(path, recursive, outputs, problems)
        if not found and len(problems) == before:
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


def _in_folder(folder: Path, recursive: bool, outputs: Path, problems: Problems) -> list[Path]:
    walked = _walk(folder, recursive, outputs, problems)
    return sorted(path for path in walked if _is_picture(path))


def _walk(folder: Path, recursive: bool, outputs: Path, problems: Problems) -> Iterator[Path]:
    def unlisted(error: OSError) -> None:
        problems.append((str(error.filename), _unlisted(error)))

    for parent, folders, names in os.walk(folder, onerror=unlisted):
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
    try:
        return Path(os.path.commonpath(parents)) if parents else Path.cwd()
    except ValueError:
        # On several drives of Windows: no folder holds them all, and `below` leaves them whole.
        return Path()


def below(path: Path, parent: Path) -> Path:
    """The full path without ``parent``, of which it is a part unless that is empty."""
    full = path.resolve()
    return full.relative_to(parent) if full.is_relative_to(parent) else full
