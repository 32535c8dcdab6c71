"""Untouched photographs, for false alarms; with object masks also for content overlap."""

from pathlib import Path

from tamperscope.data.datasets._files import by_stem, need_all, need_folder
from tamperscope.data.sample import Dataset, Sample


def read_authentic(root: Path) -> Dataset:
    """Every picture directly in `root` (or in `root/images`, where that exists), as authentic.

    Raises DataError for a missing or empty folder.
    """
    folder = root / "images" if (root / "images").is_dir() else need_folder(root, "pictures")
    samples = tuple(
        Sample(id=stem, image_path=path, mask_path=None, label="authentic")
        for stem, path in by_stem(folder).items()
    )
    return Dataset(name="authentic", root=root, samples=samples)


def read_objects(root: Path) -> Dataset:
    """Authentic pictures of `images/` with the masks of their salient objects in `masks/`.

    The masks are not forgeries: they are only read by the content-overlap measure. A mask without
    picture is allowed, so that a part of a set can be held back.

    Raises DataError for a missing folder or a picture without object mask.
    """
    layout = "images/ (authentic) and masks/ (salient objects, same stems)"
    images = by_stem(need_folder(root / "images", layout))
    masks = by_stem(need_folder(root / "masks", layout))
    need_all(images, masks, what="object masks", where=root / "masks")
    samples = tuple(
        Sample(
            id=stem,
            image_path=path,
            mask_path=None,
            label="authentic",
            object_mask_path=masks[stem],
        )
        for stem, path in images.items()
    )
    return Dataset(name="objects", root=root, samples=samples)
