"""Make the pictures at the top of the README: examples, and beside them what was found in them.

python examples/make_overlay.py
"""

from pathlib import Path

import numpy as np

import tamperscope
from tamperscope.report.overlay import encode_jpeg, overlay, pairs_of

HERE = Path(__file__).parent
NAMES = ("launch_spliced", "twin_copied")


def main() -> None:
    """Write found/NAME.jpg."""
    method = tamperscope.load("focal")
    (HERE / "found").mkdir(exist_ok=True)
    for name in NAMES:
        image = tamperscope.read_image(HERE / f"{name}.jpg")
        result = method.localize(image)
        pairs = pairs_of(result, image.pixels.shape)
        found = overlay(image.pixels, result.score_map, result.mask, pairs)
        gap = np.full((image.height, 8, 3), 255, np.uint8)
        both = np.hstack([image.pixels, gap, found])
        (HERE / "found" / f"{name}.jpg").write_bytes(encode_jpeg(both, quality=85))


if __name__ == "__main__":
    main()
