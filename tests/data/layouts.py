"""Tiny sets in the layouts of the real ones.

Picture number i is grey level ``10 + 10 * i``, 16 x 24, and its forged region is the ``i + 1``
left columns, so that a picture paired with another's mask shows.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PILImage

from tamperscope.data.masks import MaskCoding

SIZE = (16, 24)
Build = Callable[[Path], None]


def picture(path: Path, number: int) -> Path:
    """Picture `number` as whatever the ending says."""
    return save(path, np.full((*SIZE, 3), 10 + 10 * number, np.uint8))


def number_of(pixels: np.ndarray[Any, Any]) -> int:
    """Which picture these pixels are of."""
    return round((float(pixels.mean()) - 10) / 10)


def region(number: int) -> np.ndarray[Any, Any]:
    """The forged region of picture `number`."""
    forged = np.zeros(SIZE, np.bool_)
    forged[:, : number + 1] = True
    return forged


def mask(path: Path, number: int, coding: MaskCoding = "forged-white") -> Path:
    """The mask of picture `number` in the colours of a coding."""
    return save(path, coded(region(number), coding))


def coded(forged: np.ndarray[Any, Any], coding: MaskCoding) -> np.ndarray[Any, Any]:
    """A region in the colours of a coding."""
    if coding == "forged-green":
        return np.where(forged[..., None], (0, 200, 0), (255, 0, 0)).astype(np.uint8)
    on, off = {"forged-black": (0, 255), "forged-nonzero": (128, 0)}.get(coding, (255, 0))
    return np.where(forged, on, off).astype(np.uint8)


def save(path: Path, pixels: np.ndarray[Any, Any]) -> Path:
    """Write a picture; JPEG as faithfully as it can."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {"quality": 100, "subsampling": 0} if path.suffix == ".jpg" else {}
    PILImage.fromarray(pixels).save(path, **options)
    return path


# Names whose sorted order differs between pictures and masks wherever the layout allows it.


def casia1(root: Path) -> None:
    for part, name, i in (
        ("CM", "Sp_S_NNN_A_art0060_art0060_0205", 0),
        ("Sp", "Sp_D_CND_A_sec0056_sec0015_0282", 1),
    ):
        picture(root / "CASIA 1.0 dataset/Modified Tp/Tp" / part / f"{name}.jpg", i)
        mask(root / "CASIA 1.0 groundtruth" / part / f"{name}_gt.png", i)
    unmasked = "Sp_D_NRN_A_cha0011_sec0011_0542.jpg"
    picture(root / "CASIA 1.0 dataset/Modified Tp/Tp/Sp" / unmasked, 5)
    picture(root / "CASIA 1.0 dataset/Au/Au_ani_0001.jpg", 2)


def casia2(root: Path) -> None:
    for name, ending, i in (
        ("Tp_D_CNN_M_N_sec00011_cha00085_11227", "jpg", 0),
        ("Tp_S_NND_S_N_sec20064_sec20064_01654", "tif", 1),
    ):
        picture(root / "CASIA 2.0/Tp" / f"{name}.{ending}", i)
        mask(root / "CASIA 2 Groundtruth" / f"{name}_gt.png", i)
    picture(root / "CASIA 2.0/Au/Au_ani_00001.bmp", 2)
    (root / "CASIA 2.0/Au/Thumbs.db").write_bytes(b"thumbnails")


def columbia(root: Path) -> None:
    for name, i in (("canong3_canonxt_sub_01", 0), ("nikond70_kodakdcs330_sub_30", 1)):
        picture(root / "4cam_splc/4cam_splc" / f"{name}.tif", i)
        mask(root / "4cam_splc/4cam_splc/edgemask" / f"{name}_edgemask.jpg", i, "forged-green")
        mask(root / "4cam_splc/4cam_splc/edgemask" / f"{name}_edgemask_3.jpg", 9)
    picture(root / "4cam_auth/4cam_auth/canong3_02_sub_01.tif", 2)


def coverage(root: Path) -> None:
    # As text, 10t comes before 1t and 10forged before 1forged, but 100t before 10t does not.
    for name, i in (("1", 0), ("10", 1), ("100", 2)):
        picture(root / "image" / f"{name}t.tif", i)
        picture(root / "image" / f"{name}.tif", 5 + i)
        mask(root / "mask" / f"{name}forged.tif", i)
        for other in ("copy", "paste"):
            mask(root / "mask" / f"{name}{other}.tif", 9)


def nist16(root: Path) -> None:
    base = root / "NC2016_Test0613"
    heading = (
        "TaskID|ProbeFileID|ProbeFileName|ProbeMaskFileName|IsTarget|IsManipulationTypeRemoval|"
        "IsManipulationTypeSplice|IsManipulationTypeCopyClone"
    )
    lines = [heading]
    for i, (probe, region_of, flags) in enumerate(
        (("0313", "9990", "Y|Y|N|N"), ("7691", "2490", "Y|N|Y|N"), ("0516", "0002", "N|N|N|N"))
    ):
        forged = flags.startswith("Y")
        mask_name = f"reference/manipulation/mask/NC2016_{region_of}.png" if forged else ""
        picture(base / "probe" / f"NC2016_{probe}.jpg", i)
        if forged:
            mask(base / mask_name, i, "forged-black")
        lines.append(f"manipulation|{i}|probe/NC2016_{probe}.jpg|{mask_name}|{flags}")
    table = base / "reference/manipulation/NC2016-manipulation-ref.csv"
    table.write_text("\n".join(lines) + "\n")


def misd(root: Path) -> None:
    picture(root / "Sp/Sp_D_ani_00001_art_00002_1.png", 1)
    truth = root / "Ground Truth Masks/Sp_D_ani_00001_art_00002_1"
    picture(truth / "images/Sp_D_ani_00001_art_00002_1.png", 1)
    for i in (0, 1):
        alone = region(1) & ~region(0) if i else region(0)
        save(truth / "masks" / f"{i}.png", coded(alone, "forged-white"))
    picture(root / "Au/Au_ani_00001.jpg", 2)


def ffpp(root: Path) -> None:
    for name, i in (("b", 0), ("a", 1)):
        picture(root / "input" / f"{name}.png", i)
        mask(root / "gt" / f"{name}.png", i)


def imd2020(root: Path) -> None:
    for folder, name, i in (("z14", "00030_fake", 0), ("1a1ogs", "c8tf5mq_0", 1)):
        picture(root / folder / f"{name}.jpg", i)
        mask(root / folder / f"{name}_mask.png", i)
        picture(root / folder / f"{folder}_orig.jpg", 5 + i)


def dso1(root: Path) -> None:
    for name, i in (("splicing-100", 0), ("splicing-02", 1)):
        picture(root / "tifs-database/DSO-1" / f"{name}.png", i)
        mask(root / "tifs-database/DSO-1-Fake-Images-Masks" / f"{name}.png", i, "forged-black")
    picture(root / "tifs-database/DSO-1/normal-01.png", 2)


def korus(root: Path) -> None:
    for camera, name, i in (("Sony_A57", "DSC01535", 0), ("Canon_60D", "IMG_7066", 1)):
        picture(root / camera / "tampered-realistic" / f"{name}.TIF", i)
        mask(root / camera / "ground-truth" / f"{name}.PNG", i, "forged-nonzero")
        picture(root / camera / "pristine" / f"{name}.TIF", 5 + i)


def cocoglide(root: Path) -> None:
    for number, thing, i in ((114871, "zebra", 0), (563758, "dining table", 1)):
        picture(root / "fake" / f"glide_inpainting_val2017_{number}_up.png", i)
        mask(root / "mask" / f"{thing}_{number}_mask.png", i)
        picture(root / "real" / f"glide_inpainting_val2017_{number}_up.png", 5 + i)


def autosplice(root: Path) -> None:
    for quality in (100, 75):
        for name, i in (("7_0", 0), ("7_1", 0), ("12", 1)):
            picture(root / f"Forged_JPEG{quality}" / f"{name}.jpg", i)
    for name, i in (("7", 0), ("12", 1)):
        mask(root / "Mask" / f"{name}_mask.png", i)
        picture(root / "Authentic" / f"{name}.jpg", 5 + i)


def tampcoco(root: Path) -> None:
    for part, i in (("sp", 0), ("cm", 1)):
        image = f"{part}_images/90_000000484327.jpg_000000484327.jpg_RS1.18.jpg"
        truth = f"{part}_masks/90_000000484327.png_000000484327.png_RS1.18.png"
        picture(root / image, i)
        mask(root / truth, i, "forged-nonzero")
        (root / f"{part}_COCO_list.txt").write_text(f"{image},{truth}\n" * 2)


def dolos(root: Path) -> None:
    for name, i in (("b", 0), ("a", 1)):
        picture(root / "celebahq/fake/lama/images/test" / f"{name}.png", i)
        mask(root / "celebahq/fake/lama/masks/test" / f"{name}.png", i, "forged-black")
    picture(root / "celebahq/real/test/a.png", 2)


def folder(root: Path) -> None:
    for name, i in (("b", 0), ("a", 1)):
        picture(root / "images" / f"{name}.png", i)
        mask(root / "masks" / f"{name}.png", i)
    picture(root / "authentic/c.png", 2)


def imdlbenco(root: Path) -> None:
    for name, i in (("b", 0), ("a", 1)):
        picture(root / "Tp" / f"{name}.jpg", i)
        mask(root / "Gt" / f"{name}_gt.png", i)


def benco_json(root: Path) -> None:
    """The JSON of IMDLBenCo beside its pictures, as ROOT/set.json."""
    folder(root)
    rows = [["images/b.png", "masks/b.png"], ["authentic/c.png", "Negative"]]
    (root / "set.json").write_text(json.dumps(rows))


COUNTS: dict[str, tuple[Build, int, int]] = {
    "casia1": (casia1, 2, 1),
    "casia2": (casia2, 2, 1),
    "columbia": (columbia, 2, 1),
    "coverage": (coverage, 3, 3),
    "nist16": (nist16, 2, 1),
    "misd": (misd, 1, 1),
    "ffpp": (ffpp, 2, 0),
    "imd2020": (imd2020, 2, 2),
    "dso1": (dso1, 2, 1),
    "korus": (korus, 2, 2),
    "cocoglide": (cocoglide, 2, 2),
    "autosplice": (autosplice, 3, 2),
    "tampcoco": (tampcoco, 2, 0),
    "dolos": (dolos, 2, 1),
    "folder": (folder, 2, 1),
    "imdlbenco": (imdlbenco, 2, 0),
}
"""What writes a set, and how many forged and authentic pictures it then has."""
