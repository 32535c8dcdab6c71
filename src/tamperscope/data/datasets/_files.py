"""Finding and pairing files by name, shared by the readers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tamperscope.data.masks import MaskCoding
from tamperscope.data.sample import Sample
from tamperscope.errors import DataError

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".heic", ".heif", ".avif"}
)


@dataclass(frozen=True, kw_only=True)
class Orphan:
    """A file without partner: `name` has no `lacks`, looked for in `where`."""

    name: str
    lacks: str
    where: str


Orphans = list[Orphan]
"""Handed to a reader, it is filled instead of an error being raised, and orphans are left out."""


def need_folder(path: Path, layout: str) -> Path:
    """`path` if it is a folder, else DataError with the layout that was expected."""
    if not path.is_dir():
        raise DataError(f"no folder {path}: expected {layout}")
    return path


def first_folder(root: Path, candidates: Iterable[str], layout: str) -> Path:
    """The first of `candidates` below `root` that is a folder, seen through doubled nesting.

    Archives often unpack to ``4cam_auth/4cam_auth``; the inner one is meant then.

    Raises DataError with the layout when there is none.
    """
    for candidate in candidates:
        path = root / candidate
        if path.is_dir():
            inner = path / path.name
            return inner if inner.is_dir() else path
    names = " or ".join(f"{name}/" for name in candidates)
    raise DataError(f"no folder {names} in {root}: expected {layout}")


def by_stem(folder: Path, *, strip: str | tuple[str, ...] = "") -> dict[str, Path]:
    """Picture files directly in `folder`, keyed by stem less one trailing `strip`.

    Raises DataError when two files share a key (`a.jpg` beside `a.png`): which of the two is meant
    cannot be told.
    """
    endings = (strip,) if isinstance(strip, str) else strip
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        key = _without(path.stem, endings)
        if key in found:
            raise DataError(
                f"{folder}: {found[key].name} and {path.name} have the same stem: rename one"
            )
        found[key] = path
    return found


def _without(stem: str, endings: tuple[str, ...]) -> str:
    for ending in endings:
        if ending and stem.endswith(ending):
            return stem.removesuffix(ending)
    return stem


def need_all(wanted: Iterable[str], found: Mapping[str, Path], *, what: str, where: Path) -> None:
    """DataError naming the first missing stems and their count, when any is missing."""
    missing = sorted(set(wanted) - set(found))
    if missing:
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise DataError(
            f"{where}: {len(missing)} {what} missing ({shown}): "
            "pairs are made by stem, add these files or remove their partners"
        )


def keep_pairs(
    wanted: Iterable[str],
    found: Mapping[str, Path],
    *,
    what: str,
    where: Path,
    orphans: Orphans | None,
) -> list[str]:
    """The sorted `wanted` stems that are in `found`.

    Without `orphans` a missing one raises as `need_all` does; with it, it is noted there.
    """
    stems = sorted(wanted)
    if orphans is None:
        need_all(stems, found, what=what, where=where)
        return stems
    orphans += [
        Orphan(name=stem, lacks=what, where=str(where)) for stem in stems if stem not in found
    ]
    return [stem for stem in stems if stem in found]


def forged_pairs(
    images: Mapping[str, Path],
    masks: Mapping[str, Path],
    *,
    where: tuple[Path, Path],
    orphans: Orphans | None,
    prefix: str = "",
    kind: str | None = None,
    polarity: MaskCoding = "forged-white",
) -> list[Sample]:
    """Forged samples of pictures and masks with the same stems, in order of their stems.

    where: the folders of the pictures and of the masks, for messages.
    prefix: put before the stem to make the id.
    """
    stems = keep_pairs(images, masks, what="masks", where=where[1], orphans=orphans)
    keep_pairs(masks, images, what="pictures", where=where[0], orphans=orphans)
    return [
        Sample(
            id=f"{prefix}{stem}",
            image_path=images[stem],
            mask_path=masks[stem],
            label="forged",
            kind=kind,
            polarity=polarity,
        )
        for stem in stems
    ]


def authentic(images: Mapping[str, Path], *, prefix: str = "") -> list[Sample]:
    """Authentic samples, in order of their stems."""
    return [
        Sample(id=f"{prefix}{stem}", image_path=path, mask_path=None, label="authentic")
        for stem, path in sorted(images.items())
    ]
