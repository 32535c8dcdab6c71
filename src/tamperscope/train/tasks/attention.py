"""Attention maps for training, from labels on disk or from a face parser."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tamperscope.data.faces.celebamask import Face, find_faces, read_face
from tamperscope.data.pair import FacePair
from tamperscope.errors import DataError
from tamperscope.face_parsing.attention import attention_map
from tamperscope.face_parsing.parser import FaceParser, parse_face
from tamperscope.face_parsing.registry import load_parser
from tamperscope.image import read_image
from tamperscope.methods.fakelocator.config import FakeLocatorConfig
from tamperscope.methods.fakelocator.decision import has_face
from tamperscope.methods.fakelocator.preprocess import squeeze_labels

_FACE_SHARE = FakeLocatorConfig().face_share

Labels = NDArray[np.uint8]


class FaceLabels:
    """The parts of every face of a set; a fake has those of the face it was made from.

    Args:
        weights: part -> weight, of the network.
        labelled: name of a face -> its labels on disk.
        parser: labels the faces that have none, or None.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        labelled: Mapping[str, Face],
        parser: FaceParser | None,
    ) -> None:
        self.weights, self.labelled, self.parser = weights, labelled, parser
        self._known: dict[tuple[str, int], Labels] = {}

    def check(self, pairs: Iterable[FacePair]) -> None:
        """Fail early where faces would have no labels.

        Raises:
            DataError: there are such faces, and no parser.
        """
        if self.parser is not None:
            return
        if missing := sorted({pair.face for pair in pairs} - self.labelled.keys()):
            raise DataError(
                f"{len(missing)} faces have no labels (first: {missing[0]}): set"
                " fakelocator.parser to label them, or model.config.attention=none"
            )

    def attention(self, pair: FacePair, size: int) -> NDArray[np.float32]:
        """(size, size) float32 in [0, 1]; one everywhere where no face is seen, as when run."""
        path = pair.real or pair.image
        key = (pair.face if pair.face in self.labelled else str(path), size)
        if key not in self._known:
            self._known[key] = self._labels(pair.face, path, size)
        labels = self._known[key]
        if not has_face(labels, _FACE_SHARE):
            return np.ones((size, size), np.float32)
        return attention_map(labels, self.weights)

    def _labels(self, face: str, path: Path, size: int) -> Labels:
        if face in self.labelled:
            return squeeze_labels(read_face(self.labelled[face]).labels, size)
        assert self.parser is not None, "check ran before"
        return squeeze_labels(
            parse_face(self.parser, read_image(path).pixels, what=str(path)), size
        )


def face_labels(weights: Mapping[str, float], *, labels: Path | None, parser: str) -> FaceLabels:
    """What ``fakelocator.labels`` and ``fakelocator.parser`` say.

    Raises:
        DataError: no labelled faces in that folder. WeightsError: no such parser.
    """
    found = find_faces(labels)[0] if labels is not None else []
    return FaceLabels(
        weights, {face.id: face for face in found}, load_parser(parser) if parser else None
    )
