"""IMD2020 (Novozamsky, Mahdian and Saic, WACVW 2020): real-life manipulations with masks."""

from pathlib import Path

from tamperscope.data.datasets._files import by_stem, need_all, need_folder
from tamperscope.data.sample import Dataset, Sample

LAYOUT = "image/ (manipulated) and mask/ (same stems)"


def read_imd2020(root: Path) -> Dataset:
    """The pictures of `image/`, each with the mask of the same stem in `mask/`.

    The distributed masks are named `<stem>_mask.png`; both names are understood. Kinds are unknown.

    Raises DataError for a missing folder, a picture without mask or a mask without picture.
    """
    images = by_stem(need_folder(root / "image", LAYOUT))
    masks = by_stem(need_folder(root / "mask", LAYOUT), strip="_mask")
    need_all(images, masks, what="masks", where=root / "mask")
    need_all(masks, images, what="pictures", where=root / "image")
    samples = tuple(
        Sample(id=stem, image_path=path, mask_path=masks[stem], label="forged")
        for stem, path in images.items()
    )
    return Dataset(name="imd2020", root=root, samples=samples)
