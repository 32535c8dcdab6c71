"""FaceForensics++ frames with masks, in pairs of folders, as FOCAL tests on 1,000 of them."""

from pathlib import Path

from tamperscope.data.datasets._files import Orphans, by_stem, first_folder, forged_pairs
from tamperscope.data.datasets.cards import Count, DatasetCard
from tamperscope.data.masks import MaskCoding
from tamperscope.data.sample import Dataset

LAYOUT = "input/ (or images/, img/, fake/) and gt/ (or masks/, mask/) of the same stems"


def read_ffpp(
    root: Path, *, polarity: MaskCoding = "forged-white", orphans: Orphans | None = None
) -> Dataset:
    """Manipulated frames paired by stem with their masks.

    Raises DataError for a missing folder, or frames and masks that do not pair up.
    """
    images = first_folder(root, ("input", "images", "img", "fake"), LAYOUT)
    masks = first_folder(root, ("gt", "masks", "mask"), LAYOUT)
    forged = forged_pairs(
        by_stem(images),
        by_stem(masks, strip=("_gt", "_mask")),
        where=(images, masks),
        orphans=orphans,
        kind="face",
        polarity=polarity,
    )
    return Dataset(name="ffpp", root=root, samples=tuple(forged))


CARD = DatasetCard(
    name="ffpp",
    title="FaceForensics++ frames of FOCAL",
    summary="frames of videos with swapped or re-enacted faces, and masks of the faces",
    paper="Roessler et al., FaceForensics++: Learning to Detect Manipulated Facial Images, "
    "ICCV 2019",
    terms="non-commercial research, on request",
    source="https://github.com/ondyari/FaceForensics; FOCAL's frames: "
    "https://github.com/HighwayWu/FOCAL",
    counts=(Count(forged=1000, authentic=None, who="FOCAL, frames chosen by its authors"),),
    polarity="forged-white",
    layouts=(LAYOUT,),
    read=read_ffpp,
    traps=("videos and frames are not chosen by the release: name the list a number is for",),
    options=(("polarity", "how the masks mark what is forged, if they were converted"),),
)
