"""Faces with parsing labels, the regions chosen in them, and sets of locally manipulated faces."""

from tamperscope.data.faces.build import BuildConfig, build_dolos
from tamperscope.data.faces.celebamask import Face, find_faces, read_face
from tamperscope.data.faces.parser import FaceParser
from tamperscope.data.faces.parts import PARTS, REGIONS
from tamperscope.data.faces.splits import SPLITS, split_of

__all__ = [
    "PARTS",
    "REGIONS",
    "SPLITS",
    "BuildConfig",
    "Face",
    "FaceParser",
    "build_dolos",
    "find_faces",
    "read_face",
    "split_of",
]
