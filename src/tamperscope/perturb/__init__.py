"""Image operations that leave traces: compression, resampling, blur, noise and tone changes.

The functions take and return RGB uint8 arrays (h, w, 3) and draw nothing themselves: the amount is
an argument, randomness is a ``numpy.random.Generator`` handed in where an operation needs it.

`parse` turns a text such as ``resize:0.5+jpeg:80`` into a `Perturbation`: exact parameters, a seed,
and the truth mask moved along. `PERTURBATIONS` lists the names, `GRID` is the robustness grid.
"""

from tamperscope.perturb.kinds import PERTURBATIONS, Kind
from tamperscope.perturb.ops import (
    add_noise,
    adjust_tone,
    blur,
    blur_kernel,
    jpeg,
    local_median,
    resize,
    sharpen,
    webp,
)
from tamperscope.perturb.spec import GRID, GRIDS, IDENTITY, Perturbation, parse, parse_all

__all__ = [
    "GRID",
    "GRIDS",
    "IDENTITY",
    "PERTURBATIONS",
    "Kind",
    "Perturbation",
    "add_noise",
    "adjust_tone",
    "blur",
    "blur_kernel",
    "jpeg",
    "local_median",
    "parse",
    "parse_all",
    "resize",
    "sharpen",
    "webp",
]
