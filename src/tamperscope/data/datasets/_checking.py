"""What the checks of sets of faces share: what is there, what is missing."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tamperscope.data.datasets._files import by_stem
from tamperscope.data.manifest import hash_file
from tamperscope.errors import DataError

MANIFEST = "manifest.jsonl"


@dataclass(frozen=True, kw_only=True)
class Group:
    """One folder of pictures: its path below the set, and how many pictures and masks it holds.

    masks is None where there are none by nature: real and wholly generated pictures.
    """

    path: str
    split: str
    images: int
    masks: int | None

    def line(self) -> str:
        """For people: ``celebahq/fake/telea test: 200 pictures, 200 masks``."""
        masks = "" if self.masks is None else f", {self.masks} masks"
        return f"{self.path} {self.split}: {self.images} pictures{masks}"


@dataclass(frozen=True, kw_only=True)
class CheckReport:
    """What `check` found: the groups that are there, and a line for everything that is missing."""

    root: str
    groups: tuple[Group, ...]
    missing: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return not self.missing

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "complete": self.complete}


def folders(base: Path) -> list[str]:
    """The names of the folders in ``base``, sorted; none where there is no such folder."""
    if not base.is_dir():
        return []
    return sorted(p.name for p in base.iterdir() if p.is_dir() and not p.name.startswith("."))


def pictures_in(folder: Path, missing: list[str]) -> dict[str, Path]:
    """The pictures of a folder by stem; what is wrong with them is added to ``missing``."""
    if not folder.is_dir():
        return {}
    try:
        return by_stem(folder)
    except DataError as error:
        missing.append(str(error))
        return {}


def lacking(where: str, what: str, wanted: dict[str, Path], there: dict[str, Path]) -> list[str]:
    """A line for the names of ``wanted`` that are not ``there``, if any."""
    lost = sorted(set(wanted) - set(there))
    if not lost:
        return []
    return [f"{where}: {len(lost)} {what} ({_few(lost)})"]


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def against_manifest(base: Path, hashes: bool, command: str) -> list[str]:
    """What the manifest of a built set promises and is not there, or (``hashes``) has other bytes.

    Raises:
        DataError: a damaged manifest; ``command`` is what repairs it.
    """
    lost: list[str] = []
    changed: list[str] = []
    for file, sha256 in _listed(base / MANIFEST, command):
        if not (base / file).is_file():
            lost.append(file)
        elif hashes and hash_file(base / file) != sha256:
            changed.append(file)
    lines = [f"{len(lost)} files of the manifest ({_few(lost)})"] if lost else []
    if changed:
        lines.append(f"{len(changed)} files as the manifest has them ({_few(changed)})")
    return lines


def _listed(manifest: Path, command: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(manifest.read_text(encoding="utf-8").splitlines(), 1):
        if not line:
            continue
        try:
            row = json.loads(line)
            yield row["image"], row["sha256"]
            if row["mask"] is not None:
                yield row["mask"], row["mask_sha256"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{manifest}: line {number} names no picture: give the same {command!r} again, "
                "it repairs the manifest"
            ) from error


def in_two_splits(name: str, split: str, images: Iterable[str], seen: dict[str, str]) -> list[str]:
    """A line for every stem that is in an earlier split too; ``seen`` (stem -> split) grows."""
    lines = [
        f"{name}: {stem} is in {seen[stem]} and in {split}; a face belongs to one split"
        for stem in sorted(set(images) & set(seen))
    ]
    seen.update(dict.fromkeys(images, split))
    return lines
