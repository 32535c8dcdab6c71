"""DSO-1 (Carvalho et al., TIFS 2013): people spliced into photographs, adjusted to fit."""

from pathlib import Path

from tamperscope.data.datasets._files import (
    Orphans,
    authentic,
    by_stem,
    first_folder,
    forged_pairs,
)
from tamperscope.data.datasets.cards import Count, DatasetCard
from tamperscope.data.masks import MaskCoding
from tamperscope.data.sample import Dataset

LAYOUT = (
    "DSO-1/ (splicing-NN.png, normal-NN.png) and DSO-1-Fake-Images-Masks/ (splicing-NN.png); "
    "both may lie in tifs-database/"
)


def read_dso1(
    root: Path, *, polarity: MaskCoding = "forged-black", orphans: Orphans | None = None
) -> Dataset:
    """The pictures of `DSO-1/`; masks are black where forged.

    Raises DataError for a missing folder, or pictures and masks that do not pair up.
    """
    images = first_folder(root, ("DSO-1", "tifs-database/DSO-1", "images"), LAYOUT)
    names = ("DSO-1-Fake-Images-Masks", "tifs-database/DSO-1-Fake-Images-Masks", "masks")
    masks = first_folder(root, names, LAYOUT)
    pictures = by_stem(images)
    forged = forged_pairs(
        {s: p for s, p in pictures.items() if s.startswith("splicing-")},
        by_stem(masks),
        where=(images, masks),
        orphans=orphans,
        kind="splice",
        polarity=polarity,
    )
    clean = {s: p for s, p in pictures.items() if s.startswith("normal-")}
    return Dataset(name="dso1", root=root, samples=(*forged, *authentic(clean)))


CARD = DatasetCard(
    name="dso1",
    title="DSO-1",
    summary="one or more people spliced in, with colour and brightness adjusted; 2048 x 1536 PNG",
    paper="Carvalho et al., Exposing Digital Image Forgeries by Illumination Color Classification, "
    "IEEE TIFS 8(7), 2013",
    terms="research; ask the authors about anything else",
    source="https://recodbr.wordpress.com/code-n-data/#dso1_dsi1",
    counts=(Count(forged=100, authentic=100, who="the release and everybody since"),),
    polarity="forged-black",
    layouts=(LAYOUT,),
    read=read_dso1,
    traps=("masks are black where forged: read as white, every score is upside down",),
    options=(("polarity", "how the masks mark what is forged, if they were converted"),),
)
