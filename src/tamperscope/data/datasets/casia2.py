"""CASIA v2 (Dong, Wang and Tan, ChinaSIP 2013): splices and copy-moves, JPEG and TIFF."""

from pathlib import Path

from tamperscope.data.datasets._files import (
    Orphans,
    authentic,
    by_stem,
    first_folder,
    forged_pairs,
)
from tamperscope.data.datasets.cards import Count, DatasetCard
from tamperscope.data.sample import Dataset

LAYOUT = (
    "Tp/, CASIA 2 Groundtruth/ (NAME_gt.png) and optional Au/; the pictures may lie in CASIA 2.0/"
)
_TAMPERED = ("Tp", "CASIA 2.0/Tp", "CASIA2/Tp")
_TRUTH = (
    "CASIA 2 Groundtruth",
    "CASIA 2.0/CASIA 2 Groundtruth",
    "CASIA2/CASIA 2 Groundtruth",
    "Groundtruth",
    "groundtruth",
    "Gt",
    "mask",
)


def read_casia2(root: Path, *, orphans: Orphans | None = None) -> Dataset:
    """The tampered pictures of `Tp/` with their masks, and the authentic ones of `Au/`.

    Kinds are read from the corrected names: Tp_S is a copy-move, Tp_D a splice.

    Raises DataError for a missing folder, or pictures and masks that do not pair up.
    """
    images = first_folder(root, _TAMPERED, LAYOUT)
    masks = first_folder(root, _TRUTH, LAYOUT)
    pictures, truths = by_stem(images), by_stem(masks, strip="_gt")
    forged = []
    for start, kind in (("Tp_S_", "copymove"), ("Tp_D_", "splice"), ("", None)):
        group = {s: pictures.pop(s) for s in sorted(pictures) if s.startswith(start)}
        found = {s: truths.pop(s) for s in sorted(truths) if s.startswith(start)}
        forged += forged_pairs(
            group, found, where=(images, masks), orphans=orphans, prefix="Tp/", kind=kind
        )
    clean = images.parent / "Au"
    untouched = by_stem(first_folder(clean.parent, ("Au",), LAYOUT)) if clean.is_dir() else {}
    return Dataset(name="casia2", root=root, samples=(*forged, *authentic(untouched, prefix="Au/")))


CARD = DatasetCard(
    name="casia2",
    title="CASIA v2.0 tampered image detection evaluation database",
    summary="splices and copy-moves with blurred borders, 240 x 160 to 900 x 600, JPEG and TIFF",
    paper="Dong, Wang and Tan, CASIA Image Tampering Detection Evaluation Database, ChinaSIP 2013",
    terms="research only; the ground truth was made later by N. T. Pham",
    source="https://github.com/namtpham/casia2groundtruth",
    counts=(
        Count(forged=5123, authentic=7491, who="the release, with the corrected ground truth"),
    ),
    polarity="forged-white",
    layouts=(LAYOUT,),
    read=read_casia2,
    traps=(
        "a training set in most protocols, and its authentic pictures overlap those of CASIA v1",
        "17 of the masks differ in size from their pictures unless the corrected ones are used",
        "files were renamed between versions: masks and pictures of different versions do not pair",
        "authentic pictures include duplicates of each other",
    ),
)
