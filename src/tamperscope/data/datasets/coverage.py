"""COVERAGE (Wen et al., ICIP 2016): copy-moves of objects that have a genuine twin."""

import re
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

LAYOUT = "image/ (N.tif authentic, Nt.tif forged) and mask/ (Nforged.tif)"
_FORGED = re.compile(r"(\d+)t")


def read_coverage(
    root: Path, *, polarity: MaskCoding = "forged-white", orphans: Orphans | None = None
) -> Dataset:
    """The pictures of `image/`: `7t.tif` is forged with mask `mask/7forged.tif`, `7.tif` is not.

    `mask/7copy.tif` and `mask/7paste.tif`, the source and the genuine twin, are not read.

    Raises DataError for a missing folder, or pictures and masks that do not pair up.
    """
    images = first_folder(root, ("image", "COVERAGE/image"), LAYOUT)
    masks = first_folder(root, ("mask", "COVERAGE/mask"), LAYOUT)
    pictures = by_stem(images)
    tampered = {m[1]: p for stem, p in pictures.items() if (m := _FORGED.fullmatch(stem))}
    regions = {
        stem.removesuffix("forged"): path
        for stem, path in by_stem(masks).items()
        if stem.endswith("forged")
    }
    forged = forged_pairs(
        tampered,
        regions,
        where=(images, masks),
        orphans=orphans,
        prefix="forged/",
        kind="copymove",
        polarity=polarity,
    )
    clean = {stem: path for stem, path in pictures.items() if stem.isdecimal()}
    return Dataset(
        name="coverage", root=root, samples=(*forged, *authentic(clean, prefix="authentic/"))
    )


CARD = DatasetCard(
    name="coverage",
    title="COVERAGE",
    summary="copy-moves of objects of which the picture holds a similar but genuine one",
    paper="Wen et al., COVERAGE: a Novel Database for Copy-Move Forgery Detection, ICIP 2016",
    terms="non-commercial research only",
    source="https://github.com/wenbihan/coverage",
    counts=(Count(forged=100, authentic=100, who="the release and everybody since"),),
    polarity="forged-white",
    layouts=(LAYOUT,),
    read=read_coverage,
    traps=(
        "9 of the 100 masks differ in size from their pictures",
        "each forged picture has its authentic version in the set: split by number, not by file",
    ),
    options=(("polarity", "how the masks mark what is forged, if they were converted"),),
)
