"""Any folder of pictures with masks: the layout for one's own data."""

from pathlib import Path

from tamperscope.data.datasets._files import by_stem, need_all, need_folder
from tamperscope.data.sample import Dataset, Sample
from tamperscope.image import Polarity

LAYOUT = "images/, masks/ (same stems) and optional authentic/"


def read_folder(root: Path, *, polarity: Polarity = "forged-white") -> Dataset:
    """Pictures of `images/` paired by stem with `masks/`; `authentic/` holds untouched ones.

    Raises DataError for a missing folder, a picture without mask or a mask without picture.
    """
    images = by_stem(need_folder(root / "images", LAYOUT))
    masks = by_stem(need_folder(root / "masks", LAYOUT))
    need_all(images, masks, what="masks", where=root / "masks")
    need_all(masks, images, what="pictures", where=root / "images")
    forged = [
        Sample(id=f"images/{stem}", image_path=path, mask_path=masks[stem], label="forged")
        for stem, path in images.items()
    ]
    clean = by_stem(root / "authentic") if (root / "authentic").is_dir() else {}
    authentic = [
        Sample(id=f"authentic/{stem}", image_path=path, mask_path=None, label="authentic")
        for stem, path in clean.items()
    ]
    return Dataset(name="folder", root=root, samples=tuple(forged + authentic), polarity=polarity)
