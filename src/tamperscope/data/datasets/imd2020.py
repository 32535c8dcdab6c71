"""IMD2020 (Novozamsky, Mahdian and Saic, WACVW 2020): real-life manipulations with masks."""

from dataclasses import replace
from pathlib import Path

from tamperscope.data.datasets._files import (
    Orphans,
    authentic,
    by_stem,
    forged_pairs,
    need_folder,
)
from tamperscope.data.datasets.cards import Count, DatasetCard
from tamperscope.data.sample import Dataset, Sample

LAYOUT = "image/ (manipulated) and mask/ (same stems)"
OFFICIAL = "a folder per original: ID/ID_orig.jpg, ID/NAME_0.jpg, ID/NAME_0_mask.png"
_ORIGINAL = "_orig"
_MASK = "_mask"


def read_imd2020(root: Path, *, orphans: Orphans | None = None) -> Dataset:
    """The manipulated pictures and their masks, in the official layout or sorted into two folders.

    Official: every folder holds one original (`*_orig`, authentic), manipulated versions and
    their `*_mask`. Sorted: `image/` and `mask/`, masks named as the pictures or with `_mask`.
    Kinds are unknown.

    Raises DataError for a missing folder, a picture without mask or a mask without picture.
    """
    if (root / "image").is_dir() or not any(root.glob(f"*/*{_MASK}.*")):
        samples = _read_sorted(root, orphans)
    else:
        folders = sorted(path for path in root.iterdir() if path.is_dir())
        samples = [sample for folder in folders for sample in _read_one(folder, orphans)]
    return Dataset(name="imd2020", root=root, samples=tuple(samples))


def _read_sorted(root: Path, orphans: Orphans | None) -> list[Sample]:
    images = need_folder(root / "image", LAYOUT)
    masks = need_folder(root / "mask", LAYOUT)
    return forged_pairs(
        by_stem(images), by_stem(masks, strip=_MASK), where=(images, masks), orphans=orphans
    )


def _read_one(folder: Path, orphans: Orphans | None) -> list[Sample]:
    files = by_stem(folder)
    masks = {s.removesuffix(_MASK): p for s, p in files.items() if s.endswith(_MASK)}
    originals = {s: p for s, p in files.items() if s.endswith(_ORIGINAL)}
    edited = {s: p for s, p in files.items() if not s.endswith((_MASK, _ORIGINAL))}
    prefix = f"{folder.name}/"
    forged = forged_pairs(edited, masks, where=(folder, folder), orphans=orphans, prefix=prefix)
    found = [*forged, *authentic(originals, prefix=prefix)]
    return [replace(sample, source=folder.name) for sample in found]


CARD = DatasetCard(
    name="imd2020",
    title="IMD2020 real-life manipulated images",
    summary="manipulated pictures found on the web, with masks drawn by hand, and their originals",
    paper="Novozamsky, Mahdian and Saic, IMD2020: A Large-Scale Annotated Dataset Tailored for "
    "Detecting Manipulated Images, WACVW 2020",
    terms="non-commercial research only",
    source="http://staff.utia.cas.cz/novozada/db/",
    counts=(
        Count(forged=2010, authentic=414, who="the release, CAT-Net"),
        Count(forged=2020, authentic=None, who="a table of IMDLBenCo's documentation"),
    ),
    polarity="forged-white",
    layouts=(OFFICIAL, LAYOUT),
    read=read_imd2020,
    traps=("several manipulations share one original: split by folder, not by file",),
)
