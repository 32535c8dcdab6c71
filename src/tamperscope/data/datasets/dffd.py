"""Diverse Fake Face Dataset (Dang et al., CVPR 2020), its pictures as they are given out.

::

    ROOT/{ffhq,celeba}/{train,validation,test}/                   real
    ROOT/{faceapp,stargan}/{train,validation,test}/               attributes edited
    ROOT/faceapp/{train,validation,test}_mask/                    how much, of the same names
    ROOT/{pggan_v1,pggan_v2,stylegan_celeba,stylegan_ffhq}/...    wholly generated

Parts made from other sets (FaceForensics++, CelebA) are not given out; those have readers of their
own. The masks are grey-scale differences, so they are read as fakeness maps, not as binary masks.
"""

from collections.abc import Sequence
from pathlib import Path

from tamperscope.data.datasets._checking import folders
from tamperscope.data.datasets._faces import as_dataset, checked, one_of
from tamperscope.data.datasets._files import Orphans, by_stem, keep_pairs
from tamperscope.data.datasets.cards import DatasetCard
from tamperscope.data.pair import FacePair
from tamperscope.data.sample import Dataset
from tamperscope.errors import DataError, unknown

LAYOUT = "PART/{train,validation,test}/ for parts such as ffhq, faceapp and stylegan_ffhq"
REAL = ("ffhq", "celeba", "CelebAMask-HQ")
EDITED = ("faceapp", "stargan")
GENERATED = ("pggan_v1", "pggan_v2", "stylegan_celeba", "stylegan_ffhq")
SPLITS = ("train", "valid", "test")
_FOLDERS = {"train": ("train",), "valid": ("validation", "valid", "val"), "test": ("test",)}


def load_dffd(
    root: str | Path,
    *,
    parts: str | Sequence[str] | None = None,
    split: str | None = None,
    orphans: Orphans | None = None,
) -> list[FacePair]:
    """Real, edited and wholly generated faces; edited ones with their maps where there are any.

    Args:
        root: as above.
        parts: folders to read; all that are there by default.
        split: train, valid or test; all by default.
        orphans: filled with edited faces without map beside others with one, and with maps
            without face; both are then left out.

    Returns:
        Pairs with ids such as ``faceapp/train/00001``, real ones first.

    Raises:
        UnknownNameError: no such part or split, or a folder of pictures that is no part.
        DataError: no set of this layout, or maps and pictures that do not pair up.
    """
    base = Path(root)
    if split is not None and split not in SPLITS:
        raise unknown("split", split, SPLITS)
    if not base.is_dir():
        raise DataError(f"no such folder: {base}: give the folder that holds {LAYOUT}")
    there = _parts(base)
    chosen = one_of("part of this set", parts, there)
    ordered = sorted(chosen, key=lambda part: (part not in REAL, part))
    pairs = [
        pair
        for part in ordered
        for name in ((split,) if split is not None else SPLITS)
        for pair in _split(base / part, part, name, orphans)
    ]
    return checked(base, pairs)


def read_dffd(
    root: Path,
    *,
    parts: str | Sequence[str] | None = None,
    split: str | None = None,
    orphans: Orphans | None = None,
) -> Dataset:
    """The same as samples, without binary masks. Errors as for `load_dffd`."""
    return as_dataset("dffd", root, load_dffd(root, parts=parts, split=split, orphans=orphans))


def _parts(base: Path) -> list[str]:
    known = (*REAL, *EDITED, *GENERATED)
    names = [name for name in folders(base) if any(_places(base / name, s) for s in SPLITS)]
    for name in names:
        if name not in known:
            raise unknown("part of DFFD", name, known)
    if not names:
        raise DataError(f"{base}: expected {LAYOUT}")
    return names


def _places(folder: Path, split: str) -> Path | None:
    return next((folder / n for n in _FOLDERS[split] if (folder / n).is_dir()), None)


def _split(folder: Path, part: str, split: str, orphans: Orphans | None) -> list[FacePair]:
    place = _places(folder, split)
    if place is None:
        return []
    images = by_stem(place)
    if part in REAL:
        return [
            FacePair(id=f"{part}/{split}/{stem}", face=f"{part}/{stem}", real=path)
            for stem, path in sorted(images.items())
        ]
    masks = place.with_name(f"{place.name}_mask")
    maps = by_stem(masks) if masks.is_dir() and part in EDITED else {}
    stems = sorted(images)
    if maps:
        stems = keep_pairs(images, maps, what="maps", where=masks, orphans=orphans)
        keep_pairs(maps, images, what="pictures", where=place, orphans=orphans)
    return [
        FacePair(
            id=f"{part}/{split}/{stem}",
            face=f"{part}/{stem}",
            real=None,
            fake=images[stem],
            generator=part,
            variant="whole" if part in GENERATED else "region",
            map_path=maps.get(stem),
        )
        for stem in stems
    ]


CARD = DatasetCard(
    name="dffd",
    title="DFFD",
    summary="real faces, faces with edited attributes and wholly generated ones",
    paper="Dang et al., On the Detection of Digital Face Manipulation, CVPR 2020",
    terms="research only, on application",
    source="http://cvlab.cse.msu.edu/dffd-dataset.html",
    counts=(),
    polarity=None,
    layouts=(LAYOUT, "PART/{train,validation,test}_mask/ with grey-scale maps"),
    read=read_dffd,
    traps=(
        "the masks are grey-scale differences: only a threshold of one's own makes them binary",
        "edited faces without map serve detection only",
        "parts made from FaceForensics++ and CelebA are not in it",
    ),
    options=(("parts", "folders to read, all by default"), ("split", "train, valid or test")),
)
