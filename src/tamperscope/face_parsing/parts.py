"""The parts of a face, numbered as in CelebAMask-HQ (Lee et al., CVPR 2020), and regions of them.

Left and right are the image's own names in that set.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from tamperscope.errors import DataError, unknown

PARTS: tuple[str, ...] = (
    "background",
    "skin",
    "nose",
    "eye_g",
    "l_eye",
    "r_eye",
    "l_brow",
    "r_brow",
    "l_ear",
    "r_ear",
    "mouth",
    "u_lip",
    "l_lip",
    "hair",
    "hat",
    "ear_r",
    "neck_l",
    "neck",
    "cloth",
)
"""Part names; the position is the label. `mouth` is what lies between the lips."""

_INNER = ("skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "mouth", "u_lip", "l_lip")

REGIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "skin": ("skin",),
        "face": _INNER,
        "hair": ("hair",),
        "eyes": ("l_eye", "r_eye"),
        "brows": ("l_brow", "r_brow"),
        "nose": ("nose",),
        "mouth": ("mouth", "u_lip", "l_lip"),
        "lips": ("u_lip", "l_lip"),
        "glasses": ("eye_g",),
        "ears": ("l_ear", "r_ear"),
        "earrings": ("ear_r",),
        "hat": ("hat",),
        "neck": ("neck",),
        "necklace": ("neck_l",),
        "cloth": ("cloth",),
    }
)
"""Regions people name -> parts. The region `mouth` is the lips and what lies between them."""

DEFAULT_REGIONS: tuple[str, ...] = (
    "skin",
    "face",
    "hair",
    "eyes",
    "nose",
    "mouth",
    "brows",
    "glasses",
    "eyes+brows",
    "eyes+nose+mouth",
)

# The other numbering in wide use, of the BiSeNet face parsers trained on CelebAMask-HQ.
_BISENET = (
    *("background", "skin", "l_brow", "r_brow", "l_eye", "r_eye", "eye_g", "l_ear", "r_ear"),
    *("ear_r", "nose", "mouth", "u_lip", "l_lip", "neck", "neck_l", "cloth", "hair", "hat"),
)

NUMBERINGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"celebamask": PARTS, "bisenet": _BISENET}
)
"""Name of a numbering -> part names in the order of their numbers."""


@dataclass(frozen=True, kw_only=True)
class Region:
    """A union of parts under one name, such as ``eyes+brows``."""

    name: str
    parts: tuple[str, ...]

    def mask(self, labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """(h, w) bool: where a label map in the numbering of `PARTS` holds one of the parts."""
        inside = np.zeros(256, bool)
        inside[[PARTS.index(part) for part in self.parts]] = True
        mask: NDArray[np.bool_] = inside[labels]
        return mask

    def parts_in(self, labels: NDArray[np.uint8]) -> list[str]:
        """The parts that a label map really holds."""
        return [part for part in self.parts if (labels == PARTS.index(part)).any()]


def parse_region(text: str) -> Region:
    """The region of a name of `REGIONS`, a part of `PARTS`, or several of them joined by ``+``.

    Raises:
        UnknownNameError: another name.
    """
    names = [name.strip().lower() for name in text.split("+")]
    chosen: set[str] = set()
    for name in names:
        if name in REGIONS:
            chosen.update(REGIONS[name])
        elif name in PARTS[1:]:
            chosen.add(name)
        else:
            raise unknown("face region", name, {*REGIONS, *PARTS[1:]})
    return Region(name="+".join(names), parts=tuple(p for p in PARTS if p in chosen))


def renumber(labels: NDArray[np.uint8], numbering: str, *, what: str) -> NDArray[np.uint8]:
    """A label map of another numbering in that of `PARTS`; ``what`` names it in the error.

    Raises:
        UnknownNameError: no such numbering.
        DataError: a number without a part.
    """
    if numbering not in NUMBERINGS:
        raise unknown("label numbering", numbering, NUMBERINGS)
    names = NUMBERINGS[numbering]
    if labels.size and int(labels.max()) >= len(names):
        raise DataError(
            f"{what}: label {int(labels.max())} is none of the {len(names)} parts of the "
            f"{numbering} numbering: give maps of 0..{len(names) - 1}, or another numbering"
        )
    table = np.array([PARTS.index(name) for name in names], np.uint8)
    renumbered: NDArray[np.uint8] = table[labels]
    return renumbered


def present(labels: NDArray[np.uint8], regions: Iterable[Region], least: int) -> list[Region]:
    """The regions that cover at least ``least`` pixels of a label map, in the order given."""
    counts = np.bincount(labels.ravel(), minlength=len(PARTS))
    return [
        region
        for region in regions
        if sum(int(counts[PARTS.index(part)]) for part in region.parts) >= least
    ]
