"""How well a face parser labels faces that training never saw."""

from collections.abc import Callable
from pathlib import Path

import torch

from tamperscope.data.faces.celebamask import read_face
from tamperscope.face_parsing.parser import FaceParser, parse_face
from tamperscope.train.config import Recipe
from tamperscope.train.tasks.parsing import pixel_counts, quality
from tamperscope.train.tasks.parsing_data import faces_of


def evaluate(
    parser: FaceParser,
    recipe: Recipe,
    *,
    data_root: str | Path,
    pictures: int = 0,
    progress: Callable[[int], None] | None = None,
) -> dict[str, float]:
    """Numbers on the untouched fifth of the labelled faces, at the resolution of the pictures.

    Args:
        parser: any face parser.
        recipe: its table ``parsing`` says how labels are numbered.
        data_root: the labelled faces.
        pictures: most faces to look at; 0 for all.
        progress: called with the number of pictures done.

    Returns:
        ``mean_iou`` over the parts that occur, ``pixel_accuracy``, ``iou_PART``, ``pictures``.

    Raises:
        DataError: no such faces.
    """
    faces = faces_of(Path(data_root), recipe.parsing, "test")
    faces = faces[:pictures] if pictures else faces
    records = []
    for done, face in enumerate(faces, 1):
        known = read_face(face, numbering=recipe.parsing.numbering)
        found = parse_face(parser, known.pixels, what=face.id)
        records.append(pixel_counts(*(torch.tensor(part).long() for part in (found, known.labels))))
        if progress is not None:
            progress(done)
    numbers = {name.replace("/", "_"): value for name, value in quality(records).items()}
    return {k: round(v, 4) for k, v in numbers.items()} | {"pictures": float(len(faces))}
