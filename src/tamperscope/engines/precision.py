"""In which arithmetic PyTorch runs a network."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch


class _TrueFloat32:
    """Switches TF32 off in convolutions while anyone is inside. PyTorch has one switch for all
    threads, so the last one out puts it back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = True

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = torch.backends.cudnn.allow_tf32
                torch.backends.cudnn.allow_tf32 = False
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                torch.backends.cudnn.allow_tf32 = self._before


_TRUE_FLOAT32 = _TrueFloat32()


@contextmanager
def computing(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Networks on ``device`` compute in ``dtype`` meanwhile: float32, or reduced by autocast.

    On CUDA PyTorch's convolutions take float32 for TF32, whose products have ten bits: too few for
    phases of DCT coefficients, and other masks than a processor's. Here float32 is float32.
    """
    exact = dtype == torch.float32
    with (
        torch.autocast(device.type, dtype=dtype, enabled=not exact),
        _TRUE_FLOAT32 if exact and device.type == "cuda" else nullcontext(),
    ):
        yield
