"""Whether untouched photos are called forged, as they lie on disk and as training makes them.

    python benchmarks/untouched_photos.py PHOTOS
    python benchmarks/untouched_photos.py PHOTOS --weights old=old.safetensors --weights new=

PHOTOS as for training (see docs/training.md). Those that training held back are examined as they
are on disk, as a window of the size of training's samples on its own block grid, as that window
saved once more, as that window with the past and the last save that synthesis gives it, and shrunk
to 256 pixels without a save; beside them stand photos of the same folders that were trained on, as
they are on disk. A method that tells forgeries from pictures of one of these sorts alone has learnt
the sort.
LABEL=FILE names weights, LABEL= those that ship. Nothing but numbers is kept: the record is written
to results/untouched-photos.json.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from tamperscope import catalog
from tamperscope.bench import Record
from tamperscope.bench.predictor import weights_of
from tamperscope.data.synthesis import history
from tamperscope.data.synthesis.sources import Photo, find_photos, group_of, read_photo
from tamperscope.errors import ImageError
from tamperscope.methods.focal.grid import PERIOD
from tamperscope.methods.focal.localizer import FocalLocalizer
from tamperscope.provenance import JSON

Pixels = NDArray[np.uint8]

WINDOW = (256, 384)
SAVES = {"strong": 0.36, "lowest": 45}
CAMERA = 0.2
SIDE = 256
RULE = (
    "an untouched picture is flagged when any pixel of the mask that ships is forged; the score is "
    "the mean image score"
)


def window(photo: Pixels) -> Pixels:
    """The middle of a photo (h, w, 3), at most `WINDOW` large, on its block grid."""
    h, w = (min(side, most) for side, most in zip(photo.shape[:2], WINDOW, strict=True))
    y, x = ((have - want) // 2 for have, want in zip(photo.shape[:2], (h, w), strict=True))
    y, x = y - y % PERIOD, x - x % PERIOD
    return np.ascontiguousarray(photo[y : y + h, x : x + w])


def shrunk(rng: np.random.Generator, photo: Pixels) -> Pixels:
    """The photo (h, w, 3) with `SIDE` pixels along its longer side, as data sets hold faces."""
    factor = min(1.0, SIDE / max(photo.shape[:2]))
    h, w = (max(1, round(side * factor)) for side in photo.shape[:2])
    return history.shrink(rng, photo, (h, w))


def variants(photo: Pixels, seed: list[int]) -> dict[str, Pixels]:
    """The sorts of one photo by name; ``seed`` draws its past and its saves."""
    middle, rng = window(photo), np.random.default_rng(seed)
    past = history.camera_history(rng, middle, camera=CAMERA)
    return {
        "as on disk": photo,
        "window": middle,
        "window, saved": history.last_save(rng, middle, **SAVES),
        "window, past, saved": history.last_save(rng, past, **SAVES),
        "shrunk": shrunk(rng, photo),
    }


def chosen(photos: list[Photo], each: int) -> list[Photo]:
    """At most ``each`` photos of every folder, evenly spaced in the order of their names."""
    folders: dict[str, list[Photo]] = {}
    for photo in photos:
        folders.setdefault(group_of(photo), []).append(photo)
    kept = []
    for _, members in sorted(folders.items()):
        step = max(1.0, len(members) / each)
        kept += [members[int(i * step)] for i in range(min(each, len(members)))]
    return kept


def looked(
    methods: dict[str, FocalLocalizer], photos: list[Photo], seen: list[Photo]
) -> Iterator[tuple[str, str, str, float, bool]]:
    """(folder, sort, label of the weights, image score, flagged) of every picture."""
    for number, photo in enumerate(tqdm([*photos, *seen], unit="photo")):
        try:
            pixels = read_photo(photo)[0]
        except ImageError:
            continue
        held = number < len(photos)
        sorts = variants(pixels, [17, number]) if held else {"as on disk, trained on": pixels}
        for sort, picture in sorts.items():
            for label, method in methods.items():
                result = method.localize(picture)
                yield group_of(photo), sort, label, result.image_score, result.flagged


def summary(rows: list[tuple[str, str, str, float, bool]]) -> list[dict[str, JSON]]:
    """Mean score and share flagged for each folder and all of them, sort and weights."""
    folders = [*dict.fromkeys(row[0] for row in rows), "all"]
    found: list[dict[str, JSON]] = []
    for folder in folders:
        for sort, label in dict.fromkeys((row[1], row[2]) for row in rows):
            of = [r for r in rows if r[1:3] == (sort, label) and folder in (r[0], "all")]
            if of:
                found.append(
                    {
                        "folder": folder,
                        "sort": sort,
                        "weights": label,
                        "pictures": len(of),
                        "score": float(np.mean([r[3] for r in of])),
                        "flagged": float(np.mean([r[4] for r in of])),
                    }
                )
    return found


def main() -> None:
    """Measure, write the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path, help="as for training")
    parser.add_argument(
        "--folder", action="append", default=[], help="below PHOTOS; all by default"
    )
    parser.add_argument("--weights", action="append", metavar="LABEL=FILE", help="see above")
    parser.add_argument("--each", type=int, default=60, help="photos of every folder and split")
    parser.add_argument("--output", type=Path, default=Path("results/untouched-photos.json"))
    options = parser.parse_args()
    cv2.setNumThreads(1)
    methods = {}
    for named in options.weights or ["shipped="]:
        label, equals, file = named.partition("=")
        if not equals or label in methods:
            parser.error(f"--weights {named}: give LABEL=FILE, each label once")
        method = catalog.load("focal", device="cpu", weights=file or None)
        assert isinstance(method, FocalLocalizer)
        methods[label] = method
    folders = tuple(options.folder)
    held = find_photos(options.photos, split="val", folders=folders, distinct=True)
    trained = find_photos(options.photos, split="train", folders=folders)
    photos, seen = chosen(held, options.each), chosen(trained, options.each)
    rows = list(looked(methods, photos, seen))
    record = Record(
        kind="untouched-photos",
        method={"name": "focal", "title": "FOCAL (default)", "rule": RULE},
        weights={f"{n}: {k}": v for n, m in methods.items() for k, v in weights_of(m).items()},
        protocol={"name": "untouched-photos"},
        dataset={"window": list(WINDOW), "photos": len(photos), "trained on": len(seen)},
        numbers={"rows": summary(rows)},
    )
    print(record.save(options.output))


if __name__ == "__main__":
    main()
