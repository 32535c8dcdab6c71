"""Finding and pairing files by name, shared by the readers."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from tamperscope.errors import DataError

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".heic", ".heif", ".avif"}
)


def need_folder(path: Path, layout: str) -> Path:
    """`path` if it is a folder, else DataError with the layout that was expected."""
    if not path.is_dir():
        raise DataError(f"no folder {path}: expected {layout}")
    return path


def by_stem(folder: Path, *, strip: str = "") -> dict[str, Path]:
    """Picture files directly in `folder`, keyed by stem less a trailing `strip`.

    Raises DataError when two files share a key (`a.jpg` beside `a.png`): which of the two is meant
    cannot be told.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        key = path.stem.removesuffix(strip)
        if key in found:
            raise DataError(
                f"{folder}: {found[key].name} and {path.name} have the same stem: rename one"
            )
        found[key] = path
    return found


def need_all(wanted: Iterable[str], found: Mapping[str, Path], *, what: str, where: Path) -> None:
    """DataError naming the first missing stems and their count, when any is missing."""
    missing = sorted(set(wanted) - set(found))
    if missing:
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise DataError(
            f"{where}: {len(missing)} {what} missing ({shown}): "
            "pairs are made by stem, add these files or remove their partners"
        )
