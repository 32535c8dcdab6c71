"""Image operations that leave traces: compression, resampling, blur, noise and tone changes.

Every function takes and returns RGB uint8 arrays (h, w, 3) and draws nothing itself: the amount is
an argument, randomness is a ``numpy.random.Generator`` handed in where an operation needs it.
"""

from tamperscope.perturb.ops import (
    add_noise,
    adjust_tone,
    blur,
    jpeg,
    local_median,
    resize,
    sharpen,
    webp,
)

__all__ = [
    "add_noise",
    "adjust_tone",
    "blur",
    "jpeg",
    "local_median",
    "resize",
    "sharpen",
    "webp",
]
