"""tampCOCO (Kwon et al., IJCV 2022): COCO objects pasted by CAT-Net's authors, for training."""

from pathlib import Path

from tamperscope.data.datasets._files import Orphans
from tamperscope.data.datasets.cards import Count, DatasetCard
from tamperscope.data.datasets.lists import rows_of, samples_of
from tamperscope.data.masks import MaskCoding
from tamperscope.data.sample import Dataset, Sample
from tamperscope.errors import DataError, unknown

PARTS = {"sp": "splice", "cm": "copymove", "bcm": "copymove", "bcmc": "copymove"}
SPLITS = ("all", "train", "valid", "test")
LAYOUT = (
    "PART_images/, PART_masks/ and CAT-Net's lists, PART_COCO_list.txt or "
    "PART_COCO_SPLIT_list.txt; PART is sp, cm, bcm or bcmc, SPLIT train, valid or test"
)


def read_tampcoco(
    root: Path,
    *,
    lists: str | Path | None = None,
    split: str = "all",
    polarity: MaskCoding = "forged-nonzero",
    orphans: Orphans | None = None,
) -> Dataset:
    """The pictures that CAT-Net's lists name, of every part whose list is there.

    lists: folder of the lists; `root` by default.
    split: "all" for the lists of everything, or the lists of one split.

    Raises UnknownNameError for another split, DataError without lists, or for files they name that
    are not there.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    folder = root if lists is None else Path(lists)
    ending = "list.txt" if split == "all" else f"{split}_list.txt"
    samples: list[Sample] = []
    for part, kind in PARTS.items():
        path = folder / f"{part}_COCO_{ending}"
        if path.is_file():
            rows = [(image, mask, kind) for image, mask, _ in rows_of(path)]
            samples += samples_of(rows, root, polarity=polarity, where=path, orphans=orphans)
    if not samples:
        raise DataError(f"{folder}: no pictures of a list PART_COCO_{ending}: expected {LAYOUT}")
    return Dataset(name="tampcoco", root=root, samples=tuple(samples))


CARD = DatasetCard(
    name="tampcoco",
    title="tampCOCO",
    summary="COCO objects spliced and copy-moved by program, JPEG, a training set",
    paper="Kwon et al., Learning JPEG Compression Artifacts for Image Manipulation Detection and "
    "Localization, IJCV 2022",
    terms="CC BY 4.0 since August 2026, before that research only; COCO has its own",
    source="https://github.com/mjkwon2021/CAT-Net",
    counts=(
        Count(forged=799_441, authentic=None, who="CAT-Net's four lists, as a user counted them"),
    ),
    polarity="forged-nonzero",
    layouts=(LAYOUT,),
    read=read_tampcoco,
    traps=(
        "the lists name files that some copies of the set lack",
        "CAT-Net draws a fixed number of pictures an epoch from each part; the lists are longer",
    ),
    options=(
        ("lists", "folder of the lists"),
        ("split", "all, train, valid or test"),
        ("polarity", "how the masks mark what is forged"),
    ),
)
