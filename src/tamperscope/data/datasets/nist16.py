"""NIST16, the Nimble Challenge 2016 (NC2016): large JPEG splices, copy-moves and removals."""

import csv
from collections.abc import Iterator
from pathlib import Path

from tamperscope.data.datasets._files import (
    Orphans,
    by_stem,
    forged_pairs,
    need_folder,
)
from tamperscope.data.datasets.cards import Count, DatasetCard
from tamperscope.data.datasets.lists import Row, rows_of, samples_of
from tamperscope.data.masks import MaskCoding
from tamperscope.data.sample import Dataset
from tamperscope.errors import DataError

LAYOUT = "NC2016_Test*/ with probe/, world/ and reference/manipulation/NC2016-manipulation-ref.csv"
PAIRED = "probe/ (or image/) and mask/ of the same stems"
_TABLE = "reference/manipulation/NC2016-manipulation-ref.csv"
_KINDS = (
    ("IsManipulationTypeRemoval", "removal"),
    ("IsManipulationTypeSplice", "splice"),
    ("IsManipulationTypeCopyClone", "copymove"),
)


def read_nist16(
    root: Path,
    *,
    list: str | Path | None = None,
    polarity: MaskCoding | None = None,
    orphans: Orphans | None = None,
) -> Dataset:
    """The probes of the manipulation table, with their masks (black is forged) and kinds.

    The splice and removal tables name the same pictures again and are not read. Probes that are
    no target of the table are authentic.

    list: a text file of ``probe,mask`` lines below `root`: only these (TruFor's 160).
    polarity: of the mask files; forged-black in the release and in lists of it, forged-white where
        masks were sorted into `mask/`.

    Raises DataError for another layout, a damaged table, or files that are not there.
    """
    base = _base(root)
    if list is not None:
        rows, where = rows_of(Path(list)), Path(list)
    elif (base / _TABLE).is_file():
        rows, where = [*_from_table(base / _TABLE)], base / _TABLE
    else:
        return _read_paired(base, polarity or "forged-white", orphans)
    coding = polarity or "forged-black"
    samples = samples_of(rows, base, polarity=coding, where=where, orphans=orphans)
    return Dataset(name="nist16", root=root, samples=tuple(samples))


def _base(root: Path) -> Path:
    inner = sorted(p for p in root.glob("NC2016_Test*") if p.is_dir())
    return inner[-1] if inner else root


def _from_table(path: Path) -> Iterator[Row]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file, delimiter="|")
        lacking = {"ProbeFileName", "ProbeMaskFileName", "IsTarget"} - set(rows.fieldnames or ())
        if lacking:
            raise DataError(f"{path}: no column {', '.join(sorted(lacking))}: get the table again")
        seen: set[str] = set()
        for row in rows:
            image = row["ProbeFileName"]
            if image in seen:
                continue
            seen.add(image)
            mask = row["ProbeMaskFileName"] or None
            forged = row["IsTarget"] == "Y"
            if forged and mask is None:
                raise DataError(f"{path}: target {image} has no mask: get the table again")
            kind = next((name for column, name in _KINDS if row.get(column) == "Y"), None)
            yield image, mask if forged else None, kind


def _read_paired(base: Path, polarity: MaskCoding, orphans: Orphans | None) -> Dataset:
    name = "image" if (base / "image").is_dir() else "probe"
    images, masks = need_folder(base / name, LAYOUT), need_folder(base / "mask", PAIRED)
    forged = forged_pairs(
        by_stem(images),
        by_stem(masks, strip=("_gt", "_mask")),
        where=(images, masks),
        orphans=orphans,
        prefix=f"{name}/",
        polarity=polarity,
    )
    return Dataset(name="nist16", root=base, samples=tuple(forged))


CARD = DatasetCard(
    name="nist16",
    title="NIST16, Nimble Challenge 2016",
    summary="splices, copy-moves and removals in large JPEG photographs, post-processed to hide",
    paper="Guan et al., MFC Datasets: Large-Scale Benchmark Datasets for Media Forensic Challenge "
    "Evaluation, WACVW 2019",
    terms="research; registration with NIST, no redistribution",
    source="https://mfc.nist.gov/",
    counts=(
        Count(forged=564, authentic=None, who="MVSS-Net, FOCAL, IMDLBenCo; the targets"),
        Count(forged=564, authentic=874, who="IMDLBenCo, with authentic pictures"),
        Count(forged=160, authentic=160, who="TruFor, one list; PSCC-Net tests on 160 too"),
    ),
    polarity="forged-black",
    layouts=(LAYOUT, PAIRED, "the release and a list of TruFor (option list)"),
    read=read_nist16,
    traps=(
        "masks are black where forged in the release, and often inverted in copies of it",
        "many of the 564 are versions of one manipulation: neighbours are near-duplicates",
        "pictures are large: numbers depend on how they are resized, .42 or .38 for one network",
    ),
    options=(
        ("list", "text file of probe,mask lines: only these"),
        ("polarity", "how the masks mark what is forged, if they were converted"),
    ),
)
