"""Make the picture at the top of the README: an example, and beside it what was found in it.

python examples/make_overlay.py
"""

from pathlib import Path

import numpy as np

import tamperscope
from tamperscope.report.overlay import encode_jpeg, overlay

HERE = Path(__file__).parent


def main() -> None:
    """Write found/launch_spliced.jpg."""
    image = tamperscope.read_image(HERE / "launch_spliced.jpg")
    result = tamperscope.load("focal").localize(image)
    found = overlay(image.pixels, result.score_map, result.mask)
    gap = np.full((image.height, 8, 3), 255, np.uint8)
    both = np.hstack([image.pixels, gap, found])
    (HERE / "found").mkdir(exist_ok=True)
    (HERE / "found" / "launch_spliced.jpg").write_bytes(encode_jpeg(both, quality=85))


if __name__ == "__main__":
    main()
