"""Untouched photographs, for false alarms; with object masks also for content overlap."""

from pathlib import Path

from tamperscope.data.datasets._files import (
    Orphans,
    authentic,
    by_stem,
    keep_pairs,
    need_folder,
)
from tamperscope.data.datasets.cards import DatasetCard
from tamperscope.data.sample import Dataset, Sample

OBJECTS_LAYOUT = "images/ (authentic) and masks/ (salient objects, same stems)"


def read_authentic(root: Path, *, orphans: Orphans | None = None) -> Dataset:
    """Every picture directly in `root` (or in `root/images`, where that exists), as authentic.

    Raises DataError for a missing or empty folder.
    """
    folder = root / "images" if (root / "images").is_dir() else need_folder(root, "pictures")
    return Dataset(name="authentic", root=root, samples=tuple(authentic(by_stem(folder))))


def read_objects(root: Path, *, orphans: Orphans | None = None) -> Dataset:
    """Authentic pictures of `images/` with the masks of their salient objects in `masks/`.

    The masks are not forgeries: they are only read by the content-overlap measure. A mask without
    picture is allowed, so that a part of a set can be held back.

    Raises DataError for a missing folder or a picture without object mask.
    """
    images = by_stem(need_folder(root / "images", OBJECTS_LAYOUT))
    masks = by_stem(need_folder(root / "masks", OBJECTS_LAYOUT))
    stems = keep_pairs(images, masks, what="object masks", where=root / "masks", orphans=orphans)
    samples = tuple(
        Sample(
            id=stem,
            image_path=images[stem],
            mask_path=None,
            label="authentic",
            object_mask_path=masks[stem],
        )
        for stem in stems
    )
    return Dataset(name="objects", root=root, samples=samples)


CARD = DatasetCard(
    name="authentic",
    title="A folder of untouched photographs",
    summary="no forgeries: for counting false alarms",
    paper="",
    terms="yours",
    source="",
    counts=(),
    polarity=None,
    layouts=("pictures directly in the folder, or in images/",),
    read=read_authentic,
)
OBJECTS_CARD = DatasetCard(
    name="objects",
    title="Untouched photographs with salient objects",
    summary="no forgeries: for measuring how far a map follows content",
    paper="",
    terms="yours; ECSSD and similar saliency sets fit",
    source="",
    counts=(),
    polarity=None,
    layouts=(OBJECTS_LAYOUT,),
    read=read_objects,
)
