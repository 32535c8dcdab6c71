"""Realistic Tampering (Korus and Huang, TIFS 2017): hand-made forgeries from four cameras."""

from pathlib import Path

from tamperscope.data.datasets._files import Orphans, authentic, by_stem, forged_pairs, need_folder
from tamperscope.data.datasets.cards import Count, DatasetCard
from tamperscope.data.masks import MaskCoding
from tamperscope.data.sample import Dataset, Sample
from tamperscope.errors import DataError

CAMERAS = ("Canon_60D", "Nikon_D7000", "Nikon_D90", "Sony_A57")
LAYOUT = "CAMERA/{tampered-realistic,ground-truth,pristine}/ (same stems) for each of " + ", ".join(
    CAMERAS
)


def read_korus(
    root: Path, *, polarity: MaskCoding = "forged-nonzero", orphans: Orphans | None = None
) -> Dataset:
    """The tampered pictures of every camera, and the pristine ones.

    The masks have three levels: black untouched, white meaningfully changed, grey changed along
    with it. Grey counts as forged unless `polarity` is ``forged-white``.

    Raises DataError when no camera is there, or pictures and masks do not pair up.
    """
    base = root / "data-images" if (root / "data-images").is_dir() else root
    samples: list[Sample] = []
    for camera in CAMERAS:
        if (base / camera).is_dir():
            samples += _read_camera(base / camera, polarity, orphans)
    if not samples:
        raise DataError(f"no folder of a camera in {root}: expected {LAYOUT}")
    return Dataset(name="korus", root=root, samples=tuple(samples))


def _read_camera(folder: Path, polarity: MaskCoding, orphans: Orphans | None) -> list[Sample]:
    images = need_folder(folder / "tampered-realistic", LAYOUT)
    masks = need_folder(folder / "ground-truth", LAYOUT)
    forged = forged_pairs(
        by_stem(images),
        by_stem(masks),
        where=(images, masks),
        orphans=orphans,
        prefix=f"{folder.name}/tampered/",
        polarity=polarity,
    )
    clean = by_stem(folder / "pristine") if (folder / "pristine").is_dir() else {}
    return [*forged, *authentic(clean, prefix=f"{folder.name}/pristine/")]


CARD = DatasetCard(
    name="korus",
    title="Realistic Tampering Dataset",
    summary="objects inserted and removed by hand in uncompressed 1920 x 1080 pictures",
    paper="Korus and Huang, Multi-scale Analysis Strategies in PRNU-based Tampering Localization, "
    "IEEE TIFS 12(4), 2017",
    terms="research; parts come from RAISE and other sets with their own terms",
    source="https://pkorus.pl/downloads/dataset-realistic-tampering",
    counts=(Count(forged=220, authentic=220, who="the release and everybody since"),),
    polarity="forged-nonzero",
    layouts=(LAYOUT,),
    read=read_korus,
    traps=(
        "masks have three levels: with grey as untouched (polarity forged-white) the forged "
        "regions shrink",
        "each tampered picture has its pristine version in the set",
    ),
    options=(("polarity", "forged-white: grey, changed only along the way, counts as untouched"),),
)
