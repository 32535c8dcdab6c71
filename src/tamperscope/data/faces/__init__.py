"""Faces with parsing labels, the regions chosen in them, and sets of locally manipulated faces."""

from tamperscope.data.faces.build import build_dolos, build_fakelocator
from tamperscope.data.faces.celebamask import Face, find_faces, read_face
from tamperscope.data.faces.config import BuildConfig
from tamperscope.data.faces.pairs import load_pairs, load_reals
from tamperscope.data.faces.splits import SPLITS, split_of

__all__ = [
    "SPLITS",
    "BuildConfig",
    "Face",
    "build_dolos",
    "build_fakelocator",
    "find_faces",
    "load_pairs",
    "load_reals",
    "read_face",
    "split_of",
]
