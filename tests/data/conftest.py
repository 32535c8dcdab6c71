"""Tiny sets on disk, made on the spot."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

Writer = Callable[..., Path]


@pytest.fixture
def picture() -> Writer:
    """Write a 12 x 16 picture whose grey level is `seed`, so that equal seeds are equal files."""

    def write(path: Path, seed: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        PILImage.fromarray(np.full((12, 16, 3), seed, np.uint8)).save(path)
        return path

    return write


@pytest.fixture
def casia(tmp_path: Path, picture: Writer) -> Path:
    """Two tampered pictures with masks and pairs.csv, one unlisted, two authentic."""
    root = tmp_path / "casia1"
    for i, stem in enumerate(["Sp_D_a", "Sp_S_b", "Sp_D_unlisted"]):
        picture(root / "Sp" / f"{stem}.jpg", i)
    for i, stem in enumerate(["Sp_D_a", "Sp_S_b"]):
        picture(root / "mask" / f"{stem}.png", 100 + i)
    picture(root / "Au" / "Au_ani_0001.jpg", 50)
    picture(root / "Au" / "Au_ani_0002.JPG", 51)
    (root / "pairs.csv").write_text("image,gt,kind\nSp_D_a,x,splice\nSp_S_b,y,copymove\n")
    return root
