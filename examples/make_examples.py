"""Make the example pictures from photos that ship inside scikit-image.

    pip install scikit-image
    python examples/make_examples.py            # writes beside this file

Three forgeries with their exact masks, and two authentic pictures. One forgery is a copy-move; in
the others each part has a history of its own: the donor is saved as JPEG, scaled and pasted into a
host with another history. The whole is saved once more at quality 95, as an editor would. The same
versions of scikit-image and Pillow make the same files. Sources and licences are listed in
README.md in this folder.
"""

import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from skimage import data

LAST_QUALITY = 95

# Outline of the woman and her helmet in `astronaut` (512 x 512), as (x, y), from the lower left.
WOMAN = (
    (40, 512), (33, 492), (24, 436), (21, 415), (26, 356), (27, 335), (39, 305), (46, 281),
    (62, 251), (78, 235), (114, 207), (113, 192), (124, 185), (130, 169), (146, 154), (164, 150),
    (185, 150), (184, 131), (175, 123), (163, 110), (156, 89), (156, 70), (163, 54), (187, 36),
    (211, 21), (234, 17), (261, 27), (285, 43), (299, 66), (299, 94), (289, 114), (276, 128),
    (273, 135), (264, 136), (257, 160), (257, 172), (267, 179), (277, 187), (291, 204), (303, 226),
    (305, 236), (323, 247), (336, 263), (346, 282), (359, 328), (360, 349), (380, 346), (412, 345),
    (436, 350), (463, 371), (482, 398), (491, 427), (494, 455), (512, 459), (512, 512),
)  # fmt: skip

# Outline of the rocket and its tower in `rocket` (640 x 427), as (x, y), from the nose.
ROCKET = (
    (322, 125), (329, 132), (334, 145), (337, 178), (338, 340), (346, 352), (357, 366), (358, 406),
    (288, 406), (288, 366), (303, 360), (307, 320), (308, 178), (311, 145), (315, 132),
)  # fmt: skip

# The mission patch on her suit: (left, top, right, bottom).
PATCH = (132, 346, 211, 425)


def main(folder: Path) -> None:
    """Write all example files into a folder."""
    (folder / "masks").mkdir(parents=True, exist_ok=True)
    astronaut, rocket, coffee, cat = (
        Image.fromarray(load()) for load in (data.astronaut, data.rocket, data.coffee, data.cat)
    )
    save(folder, "launch", *launch(astronaut, rocket))
    save(folder, "table", *table(astronaut, coffee))
    save(folder, "twin", *second_rocket(rocket), how="copied")
    save_jpeg(jpeg(coffee, 90), folder / "table_authentic.jpg")
    save_jpeg(jpeg(cat, 90), folder / "cat_authentic.jpg")


def launch(astronaut: Image.Image, rocket: Image.Image) -> tuple[Image.Image, Image.Image]:
    """An astronaut's studio portrait in front of a rocket on its pad."""
    side = 369
    cut = outline(astronaut.size, WOMAN).resize((side, side), Image.Resampling.BICUBIC)
    cut = cut.filter(ImageFilter.GaussianBlur(0.8))
    woman = jpeg(astronaut, 75).resize((side, side), Image.Resampling.BICUBIC)
    dusk = [round(0.86 * v) for v in range(256)] * 2 + [round(0.95 * v) for v in range(256)]
    return paste(rocket, woman.point(dusk), cut, (310, rocket.height - side + 4))


def second_rocket(rocket: Image.Image) -> tuple[Image.Image, Image.Image]:
    """The rocket once more beside itself, at four fifths of its size."""
    host = jpeg(rocket, 90)
    size = (round(0.8 * host.width), round(0.8 * host.height))
    cut = outline(host.size, ROCKET).resize(size, Image.Resampling.BICUBIC)
    cut = cut.filter(ImageFilter.GaussianBlur(0.8))
    return paste(host, host.resize(size, Image.Resampling.BICUBIC), cut, (-10, 81))


def table(astronaut: Image.Image, coffee: Image.Image) -> tuple[Image.Image, Image.Image]:
    """The astronaut's mission patch on a table beside a cup of coffee, with a drawn shadow."""
    size, turn = (104, 84), -14
    disc = Image.new("L", (4 * 79, 4 * 79))
    ImageDraw.Draw(disc).ellipse([16, 12, 300, 300], fill=255)
    disc = disc.resize(size, Image.Resampling.BOX).rotate(turn, Image.Resampling.BICUBIC)
    patch = jpeg(astronaut, 75).crop(PATCH).resize(size, Image.Resampling.BICUBIC)
    patch = patch.rotate(turn, Image.Resampling.BICUBIC)
    host = jpeg(coffee, 90)
    shadow = Image.new("L", host.size)
    shadow.paste(disc, (478, 264))
    shadow = shadow.filter(ImageFilter.GaussianBlur(4)).point([round(0.55 * v) for v in range(256)])
    host.paste((25, 8, 0), (0, 0), shadow)
    return paste(host, patch, disc, (481, 260))


def paste(
    host: Image.Image, piece: Image.Image, cut: Image.Image, place: tuple[int, int]
) -> tuple[Image.Image, Image.Image]:
    """The host with the piece in it, and the mask: 255 where the piece makes up half or more."""
    forged, alpha = host.copy(), Image.new("L", host.size)
    forged.paste(piece, place, cut)
    alpha.paste(cut, place)
    return forged, Image.fromarray(np.where(np.asarray(alpha) >= 128, 255, 0).astype(np.uint8))


def outline(size: tuple[int, int], points: tuple[tuple[int, int], ...]) -> Image.Image:
    """A filled polygon with smooth edges, grey 0 to 255."""
    large = Image.new("L", (4 * size[0], 4 * size[1]))
    ImageDraw.Draw(large).polygon([(4 * x, 4 * y) for x, y in points], fill=255)
    return large.resize(size, Image.Resampling.BOX)


def jpeg(picture: Image.Image, quality: int) -> Image.Image:
    """The picture after one JPEG save."""
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def save(
    folder: Path, name: str, forged: Image.Image, mask: Image.Image, how: str = "spliced"
) -> None:
    """Write NAME_HOW.jpg and masks/NAME_HOW.png."""
    save_jpeg(forged, folder / f"{name}_{how}.jpg")
    mask.save(folder / "masks" / f"{name}_{how}.png", optimize=True)


def save_jpeg(picture: Image.Image, path: Path) -> None:
    """Write the last JPEG, without metadata."""
    picture.save(path, "JPEG", quality=LAST_QUALITY)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
