"""Models of what social networks do to an uploaded picture: scale it down, compress it as JPEG.

The networks publish none of this and change it without notice, by client, account and picture.
These models keep the two steps that every study of them agrees on and fix the numbers at typical
values of their photo uploads; they stand for the kind of damage and its order of strength, and are
no transcripts. Enhancement filters, which some networks apply now and then, are left out.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tamperscope.perturb import ops

# ITU-T T.81, annex K: the tables libjpeg scales, in row order.
_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    (99,) * 8,
    (99,) * 8,
    (99,) * 8,
    (99,) * 8,
)


@cache
def standard_tables(luminance: int, chrominance: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The quantization tables of annex K (64 values each, row order), scaled as libjpeg does.

    Args:
        luminance, chrominance: qualities 1 to 100, which encoders of networks set apart.
    """
    return _scale(_LUMINANCE, luminance), _scale(_CHROMINANCE, chrominance)


def _scale(table: tuple[tuple[int, ...], ...], quality: int) -> tuple[int, ...]:
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return tuple(min(max((v * percent + 50) // 100, 1), 255) for row in table for v in row)


def fit_box(size: tuple[int, ...], box: tuple[int, int], *, enlarge: bool) -> tuple[int, int]:
    """(h, w) scaled to fit into ``box`` (h, w), its shape kept; made larger only where asked."""
    scale = min(box[0] / size[0], box[1] / size[1])
    if scale >= 1 and not enlarge:
        return size[0], size[1]
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


@dataclass(frozen=True, kw_only=True)
class Network:
    """One network's model.

    Attributes:
        longest: pixels of the longer side; larger pictures are scaled down by area averaging.
        luminance, chrominance: JPEG qualities of the two quantization tables.
        subsampling: of chroma, 0 = 4:4:4, 2 = 4:2:0.
    """

    name: str
    title: str
    longest: int
    luminance: int
    chrominance: int
    subsampling: Literal[0, 1, 2] = 2

    def size(self, size: tuple[int, ...]) -> tuple[int, int]:
        """The size (h, w) a picture of ``size`` comes out with."""
        return fit_box(size, (self.longest, self.longest), enlarge=False)

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Scale and compress RGB uint8 (h, w, 3)."""
        size = self.size(image.shape)
        small = image if size == image.shape[:2] else ops.resize(image, size, "area")
        tables = [list(t) for t in standard_tables(self.luminance, self.chrominance)]
        return ops.jpeg(small, 75, subsampling=self.subsampling, tables=tables)

    def summary(self) -> str:
        """What it does, for people."""
        return (
            f"a model of an upload to {self.title}: longer side at most {self.longest} pixels, "
            f"JPEG 4:2:0 with tables of quality {self.luminance} (luminance) and "
            f"{self.chrominance} (chrominance)"
        )

    def describe(self) -> dict[str, Any]:
        """Its numbers, tables included, for records."""
        luminance, chrominance = standard_tables(self.luminance, self.chrominance)
        return {
            "longest": self.longest,
            "luminance_table": list(luminance),
            "chrominance_table": list(chrominance),
            "subsampling": "4:2:0",
        }


NETWORKS = (
    Network(name="facebook", title="Facebook", longest=2048, luminance=85, chrominance=80),
    Network(name="weibo", title="Weibo", longest=2048, luminance=82, chrominance=76),
    Network(name="whatsapp", title="WhatsApp", longest=1600, luminance=75, chrominance=70),
    Network(name="wechat", title="WeChat", longest=1280, luminance=68, chrominance=60),
)
