"""A set written by `tamperscope data synthesize`: forgeries, and untouched pictures among them."""

import json
from pathlib import Path
from typing import Any

from tamperscope.data.datasets._files import Orphans, need_folder
from tamperscope.data.datasets.cards import DatasetCard
from tamperscope.data.paths import below, is_there
from tamperscope.data.sample import Dataset, Sample
from tamperscope.errors import DataError

MANIFEST = "manifest.jsonl"
PRISTINE = "pristine"


def read_synthesized(root: Path, *, orphans: Orphans | None = None) -> Dataset:
    """The rows of `manifest.jsonl` (image, mask, kind); "pristine" ones are authentic pictures.

    Raises DataError for a missing or damaged manifest, or a file it lists that is not there.
    """
    path = need_folder(root, f"{MANIFEST}, images/ and masks/") / MANIFEST
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: cannot be read ({error}): finish writing the set first"
        ) from error
    samples = tuple(_sample(path, number, line) for number, line in enumerate(lines, 1))
    _need_files(path, samples)
    return Dataset(name="synthesized", root=root, samples=samples)


def _sample(path: Path, number: int, line: str) -> Sample:
    try:
        row: dict[str, Any] = json.loads(line)
        kind = row["kind"]
        image, mask = (below(path.parent, row[part], where=path) for part in ("image", "mask"))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(
            f"{path}: line {number} has no image, mask and kind: write the set again"
        ) from error
    untouched = kind == PRISTINE
    return Sample(
        id=image.stem,
        image_path=image,
        mask_path=None if untouched else mask,
        label="authentic" if untouched else "forged",
        kind=None if untouched else kind,
    )


def _need_files(path: Path, samples: tuple[Sample, ...]) -> None:
    files = (p for s in samples for p in (s.image_path, s.mask_path) if p is not None)
    missing = [file.name for file in files if not is_there(file)]
    if missing:
        raise DataError(
            f"{path}: {len(missing)} listed files are missing (first: {missing[0]}): "
            "write the set again"
        )


CARD = DatasetCard(
    name="synthesized",
    title="A set written by tamperscope data synthesize",
    summary="splices, copy-moves, removals and regenerated regions made from ordinary photographs",
    paper="",
    terms="those of the photographs it was made from",
    source="",
    counts=(),
    polarity="forged-white",
    layouts=(f"{MANIFEST}, images/ and masks/",),
    read=read_synthesized,
)
