"""CASIA v1 (Dong, Wang and Tan, ChinaSIP 2013): 384 x 256 JPEG splices and copy-moves."""

import csv
import re
from pathlib import Path

from tamperscope.data.datasets._files import by_stem, need_all, need_folder
from tamperscope.data.sample import Dataset, Sample
from tamperscope.errors import DataError

LAYOUT = "Sp/ (tampered), mask/ (same stems), optional Au/ (authentic) and pairs.csv (image,kind)"
KINDS = ("splice", "copymove")
_SOURCES = re.compile(r"_A_([a-z]{3}\d{4})_([a-z]{3}\d{4})[_.]\d+$")


def read_casia1(root: Path) -> Dataset:
    """The tampered pictures of `Sp/` with their masks, and the authentic ones of `Au/`.

    `pairs.csv` (columns image, kind) says which tampered pictures count; pictures of `Sp/` it does
    not list are left out and counted in `notes["unlisted"]`. Without it every picture of `Sp/`
    must have a mask, and the kind is read from the two source names in the file name.

    Raises DataError for a missing folder, picture, mask or column, or an unknown kind.
    """
    tampered = by_stem(need_folder(root / "Sp", LAYOUT))
    masks = by_stem(need_folder(root / "mask", LAYOUT))
    table = root / "pairs.csv"
    kinds = _listed(table) if table.is_file() else {s: kind_from_name(s) for s in tampered}
    need_all(kinds, tampered, what="tampered pictures", where=root / "Sp")
    need_all(kinds, masks, what="masks", where=root / "mask")
    forged = [
        Sample(
            id=f"Sp/{stem}",
            image_path=tampered[stem],
            mask_path=masks[stem],
            label="forged",
            kind=kind,
        )
        for stem, kind in kinds.items()
    ]
    authentic = by_stem(root / "Au") if (root / "Au").is_dir() else {}
    clean = [
        Sample(id=f"Au/{stem}", image_path=path, mask_path=None, label="authentic")
        for stem, path in authentic.items()
    ]
    return Dataset(
        name="casia1",
        root=root,
        samples=tuple(forged + clean),
        notes={"unlisted": len(set(tampered) - set(kinds))},
    )


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
