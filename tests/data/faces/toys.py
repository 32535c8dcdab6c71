"""Drawn faces with label maps, in the layouts faces come in."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from tamperscope.face_parsing.parts import PARTS

SIDE = 64


def label_map(side: int = SIDE, *, bare: bool = False) -> NDArray[np.uint8]:
    """A face of ellipses, (side, side) uint8; `bare` has skin and hair only."""
    labels = np.zeros((side, side), np.uint8)

    def draw(part: str, x: float, y: float, a: float, b: float) -> None:
        scaled = [round(v * side) for v in (x, y, a, b)]
        number = PARTS.index(part)
        cv2.ellipse(labels, scaled[:2], scaled[2:], 0, 0, 360, number, -1)

    draw("hair", 0.5, 0.4, 0.4, 0.38)
    draw("skin", 0.5, 0.55, 0.28, 0.36)
    if not bare:
        draw("nose", 0.5, 0.57, 0.05, 0.08)
        for side_name, x in (("l", 0.38), ("r", 0.62)):
            draw(f"{side_name}_eye", x, 0.46, 0.06, 0.04)
            draw(f"{side_name}_brow", x, 0.37, 0.07, 0.03)
        draw("u_lip", 0.5, 0.71, 0.1, 0.03)
        draw("l_lip", 0.5, 0.78, 0.1, 0.03)
    return labels


def pixels(seed: int, side: int = SIDE) -> NDArray[np.uint8]:
    """Smooth colours and noise, (side, side, 3) uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (5, 5, 3)).astype(np.float32)
    smooth = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth + rng.normal(0, 4, smooth.shape), 0, 255).astype(np.uint8)


def write_faces(root: Path, count: int = 6, side: int = SIDE) -> Path:
    """`images/` and `masks/` with palette label maps; face ``f0`` has skin and hair only."""
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for i in range(count):
        PILImage.fromarray(pixels(i, side)).save(root / "images" / f"f{i}.png")
        labels = PILImage.fromarray(label_map(side, bare=i == 0))
        labels.putpalette([17 * n % 256 for n in range(768)])
        labels.save(root / "masks" / f"f{i}.png")
    return root


def write_original(root: Path, numbers: tuple[int, ...] = (0, 2001)) -> Path:
    """The original layout: pictures of twice the size, one mask per part, 2000 faces a folder."""
    labels = label_map()
    (root / "CelebA-HQ-img").mkdir(parents=True)
    for number in numbers:
        image = PILImage.fromarray(pixels(number, 2 * SIDE))
        image.save(root / "CelebA-HQ-img" / f"{number}.jpg")
        folder = root / "CelebAMask-HQ-mask-anno" / str(number // 2000)
        folder.mkdir(parents=True)
        for part in np.unique(labels)[1:]:
            mask = PILImage.fromarray((labels == part).astype(np.uint8) * 255)
            mask.save(folder / f"{number:05d}_{PARTS[part]}.png")
    return root
