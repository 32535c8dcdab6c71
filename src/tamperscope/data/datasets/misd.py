"""MISD (Kadam, Ahirrao and Kotecha, Data 2021): several objects spliced into one picture."""

from pathlib import Path

from tamperscope.data.datasets._files import (
    Orphans,
    authentic,
    by_stem,
    first_folder,
    forged_pairs,
    keep_pairs,
)
from tamperscope.data.datasets.cards import Count, DatasetCard
from tamperscope.data.masks import MaskCoding
from tamperscope.data.sample import Dataset, Sample

LAYOUT = "Sp/, Ground Truth Masks/NAME/masks/ (a mask per object) and optional Au/"
SCREENED = "Sp/ and Ground Truth Masks/ (one mask per picture, same stems or NAME_gt)"
_SPLICED = ("Sp", "Dataset/Sp", "MISD/Sp")
_TRUTH = ("Ground Truth Masks", "Dataset/Ground Truth Masks", "MISD/Ground Truth Masks", "Gt")


def read_misd(
    root: Path, *, polarity: MaskCoding = "forged-white", orphans: Orphans | None = None
) -> Dataset:
    """The splices of `Sp/`, and the pictures of `Au/`.

    The release has a folder per splice with one mask per object; their union is the ground truth.
    Sets with one mask per picture are understood too.

    Raises DataError for a missing folder, or pictures and masks that do not pair up.
    """
    images = first_folder(root, _SPLICED, LAYOUT)
    truth = first_folder(root, _TRUTH, LAYOUT)
    pictures = by_stem(images)
    masks = by_stem(truth, strip=("_gt", "_mask"))
    if masks:
        forged = forged_pairs(
            pictures,
            masks,
            where=(images, truth),
            orphans=orphans,
            prefix="Sp/",
            kind="splice",
            polarity=polarity,
        )
    else:
        forged = _united(pictures, (images, truth), polarity, orphans)
    clean = images.parent / "Au"
    untouched = by_stem(clean) if clean.is_dir() else {}
    return Dataset(name="misd", root=root, samples=(*forged, *authentic(untouched, prefix="Au/")))


def _united(
    pictures: dict[str, Path],
    where: tuple[Path, Path],
    polarity: MaskCoding,
    orphans: Orphans | None,
) -> list[Sample]:
    folders = {p.name: p / "masks" for p in sorted(where[1].iterdir()) if (p / "masks").is_dir()}
    stems = keep_pairs(pictures, folders, what="masks", where=where[1], orphans=orphans)
    keep_pairs(folders, pictures, what="pictures", where=where[0], orphans=orphans)
    samples = []
    for stem in stems:
        parts = sorted(by_stem(folders[stem]).values())
        if not parts:
            keep_pairs([stem], {}, what="masks", where=folders[stem], orphans=orphans)
            continue
        samples.append(
            Sample(
                id=f"Sp/{stem}",
                image_path=pictures[stem],
                mask_path=parts[0],
                label="forged",
                kind="splice",
                polarity=polarity,
                further_masks=tuple(parts[1:]),
            )
        )
    return samples


CARD = DatasetCard(
    name="misd",
    title="Multiple Image Splicing Dataset",
    summary="objects from several pictures spliced into one, with a mask per object",
    paper="Kadam, Ahirrao and Kotecha, Multiple Image Splicing Dataset (MISD): A Dataset for "
    "Multiple Splicing, Data 6(10):102, 2021",
    terms="CC BY 4.0 as far as known; check the record",
    source="https://doi.org/10.5281/zenodo.5525829",
    counts=(
        Count(forged=300, authentic=618, who="the paper"),
        Count(forged=303, authentic=618, who="the files of the release"),
        Count(forged=227, authentic=None, who="FOCAL, after removing mismatched ones"),
    ),
    polarity="forged-white",
    layouts=(LAYOUT, SCREENED),
    read=read_misd,
    traps=("the release has one mask per object: scored one by one, right answers count as wrong",),
    options=(("polarity", "how the masks mark what is forged, if they were converted"),),
)
