"""What FOCAL sees in pictures: features as colours, evidence, clusters, and the masks they become.

    python benchmarks/feature_pictures.py examples/launch_spliced.jpg examples/cat_authentic.jpg \
        --output docs/images/focal-features.jpg

A row of panels for each picture; the ending of OUTPUT names the format. Needs the extra plots. What
is drawn of a picture under restrictive terms falls under them as well.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tamperscope import catalog
from tamperscope.errors import TamperscopeError
from tamperscope.image import read_image
from tamperscope.methods.focal.config import resolve
from tamperscope.methods.focal.decision import decide
from tamperscope.methods.focal.localizer import FocalLocalizer
from tamperscope.methods.focal.views import feature_colours
from tamperscope.report.figure import INK, need_matplotlib, new_figure
from tamperscope.report.overlay import draw_contour, heatmap

CPU = torch.device("cpu")


def panels(localizer: FocalLocalizer, path: Path) -> dict[str, NDArray[Any]]:
    """Titled pictures of one picture's way to its mask."""
    image = read_image(path)
    maps = localizer.feature_maps(image)
    result = localizer.localize(image)
    found = {"picture": image.pixels, "features, PCA": feature_colours(maps.features)}
    if maps.evidence is not None:
        found["evidence"] = heatmap(torch.sigmoid(maps.evidence).numpy())
    for name in ("kmeans", "hdbscan"):
        options: dict[str, Any] = {"clustering": name, "approximation": "subsample"}
        chosen = decide(maps, resolve("default", options), localizer.calibration, device=CPU)
        found[f"clusters, {name}"] = np.repeat(chosen.mask[..., None], 3, 2).astype(np.uint8) * 255
    found["score map"] = heatmap(result.score_map)
    found[f"mask, picture score {result.image_score:.2f}"] = draw_contour(image.pixels, result.mask)
    return found


def draw(rows: list[dict[str, NDArray[Any]]], path: Path) -> None:
    """All rows as one figure."""
    columns = max(len(row) for row in rows)
    figure = new_figure(2.2 * columns, 1.9 * len(rows))
    for y, row in enumerate(rows):
        for x, (title, pixels) in enumerate(row.items()):
            axes = figure.add_subplot(len(rows), columns, y * columns + x + 1)
            axes.imshow(pixels)
            axes.set_axis_off()
            axes.set_title(title, fontsize=7, color=INK)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100, facecolor="white")


def main() -> int:
    """Draw; 1 for pictures or weights that cannot be used."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--weights", help="other weights than those that ship")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    try:
        need_matplotlib("drawing features")
        localizer = catalog.load("focal", weights=options.weights, device="cpu")
        assert isinstance(localizer, FocalLocalizer)
        draw([panels(localizer, p) for p in options.pictures], options.output)
        print(options.output)
    except TamperscopeError as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
