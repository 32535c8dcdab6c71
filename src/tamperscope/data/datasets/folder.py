"""Any folder of pictures with masks: the layout for one's own data."""

from pathlib import Path

from tamperscope.data.datasets._files import (
    Orphans,
    authentic,
    by_stem,
    forged_pairs,
    need_folder,
)
from tamperscope.data.datasets.cards import DatasetCard
from tamperscope.data.masks import MaskCoding
from tamperscope.data.sample import Dataset

LAYOUT = "images/, masks/ (same stems) and optional authentic/"


def read_folder(
    root: Path, *, polarity: MaskCoding = "forged-white", orphans: Orphans | None = None
) -> Dataset:
    """Pictures of `images/` paired by stem with `masks/`; `authentic/` holds untouched ones.

    Raises DataError for a missing folder, a picture without mask or a mask without picture.
    """
    images = need_folder(root / "images", LAYOUT)
    masks = need_folder(root / "masks", LAYOUT)
    forged = forged_pairs(
        by_stem(images),
        by_stem(masks),
        where=(images, masks),
        orphans=orphans,
        prefix="images/",
        polarity=polarity,
    )
    clean = by_stem(root / "authentic") if (root / "authentic").is_dir() else {}
    return Dataset(
        name="folder", root=root, samples=(*forged, *authentic(clean, prefix="authentic/"))
    )


CARD = DatasetCard(
    name="folder",
    title="A folder of one's own",
    summary="pictures and masks of the same stems",
    paper="",
    terms="yours",
    source="",
    counts=(),
    polarity="forged-white",
    layouts=(LAYOUT,),
    read=read_folder,
    options=(("polarity", "how the masks mark what is forged"),),
)
