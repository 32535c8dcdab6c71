"""Columbia Uncompressed (Hsu and Chang, ICME 2006): TIFF splices between four cameras."""

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

LAYOUT = "4cam_splc/ with edgemask/ (NAME_edgemask.jpg) in it, and optional 4cam_auth/"


def read_columbia(
    root: Path, *, polarity: MaskCoding = "forged-green", orphans: Orphans | None = None
) -> Dataset:
    """The splices of `4cam_splc/` with their edge masks, and `4cam_auth/`.

    The edge masks are red where one camera's picture is, green where the other's; the darker
    shades lie away from the splice. Green counts as forged. The `_edgemask_3` variants are not
    read.

    Raises DataError for a missing folder, or pictures and masks that do not pair up.
    """
    spliced = first_folder(root, ("4cam_splc",), LAYOUT)
    edges = first_folder(spliced, ("edgemask", "../edgemask"), LAYOUT)
    masks = {
        stem.removesuffix("_edgemask"): path
        for stem, path in by_stem(edges).items()
        if stem.endswith("_edgemask")
    }
    forged = forged_pairs(
        by_stem(spliced),
        masks,
        where=(spliced, edges),
        orphans=orphans,
        prefix="4cam_splc/",
        kind="splice",
        polarity=polarity,
    )
    clean = root / "4cam_auth"
    untouched = by_stem(first_folder(root, ("4cam_auth",), LAYOUT)) if clean.is_dir() else {}
    return Dataset(
        name="columbia",
        root=root,
        samples=(*forged, *authentic(untouched, prefix="4cam_auth/")),
    )


CARD = DatasetCard(
    name="columbia",
    title="Columbia Uncompressed Image Splicing Detection Evaluation Dataset",
    summary="uncompressed splices between pictures of four cameras, no post-processing",
    paper="Hsu and Chang, Detecting Image Splicing Using Geometry Invariants and Camera "
    "Characteristics Consistency, ICME 2006",
    terms="research only, no redistribution; credit to the DVMM Laboratory of Columbia University",
    source="https://www.ee.columbia.edu/ln/dvmm/downloads/authsplcuncmp/",
    counts=(
        Count(forged=180, authentic=183, who="the release, TruFor, photoholmes"),
        Count(forged=160, authentic=None, who="FOCAL, a list of 160 splices"),
    ),
    polarity="forged-green",
    layouts=(LAYOUT,),
    read=read_columbia,
    traps=(
        "the masks name two cameras in red and green; which one counts as forged is a convention, "
        "green here, so a swapped prediction may be as right",
        "read as grey, the masks mean something else: above 127 they mark only a band of green "
        "along the splice, above 0 the whole picture",
    ),
    options=(("polarity", "how the masks mark what is forged, if they were converted"),),
)
