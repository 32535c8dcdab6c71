"""CASIA v1 (Dong, Wang and Tan, ChinaSIP 2013): 384 x 256 JPEG splices and copy-moves."""

import csv
import re
from pathlib import Path

from tamperscope.data.datasets._files import (
    Orphans,
    authentic,
    by_stem,
    first_folder,
    forged_pairs,
    keep_pairs,
    need_folder,
)
from tamperscope.data.datasets.cards import Count, DatasetCard
from tamperscope.data.sample import Dataset, Sample
from tamperscope.errors import DataError

LAYOUT = (
    "Sp/ (tampered), mask/ (same stems, or NAME_gt), optional Au/ (authentic) and pairs.csv "
    "(image,kind)"
)
ORIGINAL = (
    "Tp/{CM,Sp}/, CASIA 1.0 groundtruth/{CM,Sp}/ (NAME_gt.png) and optional Au/; the pictures may "
    "lie in CASIA 1.0 dataset/"
)
KINDS = ("splice", "copymove")
NEVER_MASKED = "Sp_D_NRN_A_cha0011_sec0011_0542"
"""Has no mask in the public ground truth; with it the set counts 921, without it 920."""

_TAMPERED = ("Tp", "Modified Tp/Tp", "Modified TP", "Modified Tp")
_PARENTS = ("", "CASIA 1.0 dataset/", "CASIA1/")
_SOURCES = re.compile(r"_A_([a-z]{3}\d{4})_([a-z]{3}\d{4})[_.]\d+$")


def read_casia1(root: Path, *, orphans: Orphans | None = None) -> Dataset:
    """The tampered pictures with their masks, and the authentic ones of `Au/`.

    Original layout: `Tp/CM` and `Tp/Sp`, masks of the corrected ground truth; the one picture that
    never got a mask is left out. Sorted layout: `Sp/` and `mask/`, where `pairs.csv` (columns
    image, kind) says which tampered pictures count; pictures it does not list are left out and
    counted in `notes["unlisted"]`. Without it every picture must have a mask. Where nothing else
    says it, the kind is read from the two source names in the file name.

    Raises DataError for a missing folder, picture, mask or column, or an unknown kind.
    """
    original = any((root / p / t).is_dir() for p in _PARENTS for t in _TAMPERED)
    if original:
        forged, unlisted = _read_original(root, orphans), 0
    else:
        forged, unlisted = _read_sorted(root, orphans)
    clean = next((root / p / "Au" for p in _PARENTS if (root / p / "Au").is_dir()), None)
    untouched = by_stem(first_folder(clean.parent, ("Au",), ORIGINAL)) if clean else {}
    return Dataset(
        name="casia1",
        root=root,
        samples=(*forged, *authentic(untouched, prefix="Au/")),
        notes={"unlisted": unlisted},
    )


def _read_sorted(root: Path, orphans: Orphans | None) -> tuple[list[Sample], int]:
    tampered = by_stem(need_folder(root / "Sp", LAYOUT))
    truth = root / "groundtruth" if (root / "groundtruth").is_dir() else root / "mask"
    masks = by_stem(need_folder(truth, LAYOUT), strip="_gt")
    table = root / "pairs.csv"
    kinds = _listed(table) if table.is_file() else {s: kind_from_name(s) for s in tampered}
    stems = keep_pairs(
        kinds, tampered, what="tampered pictures", where=root / "Sp", orphans=orphans
    )
    stems = keep_pairs(stems, masks, what="masks", where=truth, orphans=orphans)
    forged = [
        Sample(
            id=f"Sp/{stem}",
            image_path=tampered[stem],
            mask_path=masks[stem],
            label="forged",
            kind=kinds[stem],
        )
        for stem in stems
    ]
    return forged, len(set(tampered) - set(kinds))


def _read_original(root: Path, orphans: Orphans | None) -> list[Sample]:
    tampered = first_folder(root, [f"{p}{t}" for p in _PARENTS for t in _TAMPERED], ORIGINAL)
    truth = first_folder(root, ("CASIA 1.0 groundtruth", "groundtruth"), ORIGINAL)
    forged: list[Sample] = []
    for part, kind in (("CM", "copymove"), ("Sp", "splice")):
        images, masks = need_folder(tampered / part, ORIGINAL), need_folder(truth / part, ORIGINAL)
        pictures, truths = by_stem(images), by_stem(masks, strip="_gt")
        if NEVER_MASKED not in truths:
            pictures.pop(NEVER_MASKED, None)
        forged += forged_pairs(
            pictures,
            truths,
            where=(images, masks),
            orphans=orphans,
            prefix=f"Tp/{part}/",
            kind=kind,
        )
    return forged


def kind_from_name(stem: str) -> str | None:
    """Copymove when both source names in a CASIA v1 stem agree, splice when they differ.

    None for a name of another form. The leading Sp_S / Sp_D is not used: it contradicts the source
    names for some pictures.
    """
    match = _SOURCES.search(stem)
    if match is None:
        return None
    return "copymove" if match[1] == match[2] else "splice"


def _listed(table: Path) -> dict[str, str | None]:
    with table.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        lacking = {"image", "kind"} - set(rows.fieldnames or ())
        if lacking:
            raise DataError(f"{table}: no column {', '.join(sorted(lacking))}: add it")
        kinds: dict[str, str | None] = {row["image"]: row["kind"] for row in rows}
    wrong = sorted({str(kind) for kind in kinds.values()} - set(KINDS))
    if wrong:
        raise DataError(f"{table}: unknown kind {wrong[0]!r}: use {' or '.join(KINDS)}")
    return kinds


CARD = DatasetCard(
    name="casia1",
    title="CASIA v1.0 tampered image detection evaluation database",
    summary="JPEG splices and copy-moves of 384 x 256 pixels, no post-processing at the borders",
    paper="Dong, Wang and Tan, CASIA Image Tampering Detection Evaluation Database, ChinaSIP 2013",
    terms="research only; the ground truth was made later by N. T. Pham",
    source="https://github.com/namtpham/casia1groundtruth",
    counts=(
        Count(forged=921, authentic=800, who="the release, TruFor, PSCC-Net, IMDLBenCo"),
        Count(forged=920, authentic=800, who="MVSS-Net (CASIA1+), MMFusion, FOCAL"),
        Count(forged=923, authentic=None, who="a table of photoholmes"),
    ),
    polarity="forged-white",
    layouts=(ORIGINAL, LAYOUT),
    read=read_casia1,
    traps=(
        f"{NEVER_MASKED} has no mask in the public ground truth: 921 with it, 920 without",
        "its authentic pictures are also in CASIA v2: a network trained on v2 has seen them; "
        "CASIA1+ puts Corel pictures in their place",
        "tampered and authentic files differ in their JPEG quantisation tables",
        "Sp_S and Sp_D in the names contradict the sources for some pictures",
    ),
)
