"""The messages of `tamperscope.workers.frames`."""

from tamperscope.workers.frames import (
    LONGEST_BODY,
    BrokenFrameError,
    pack,
    read,
    read_async,
)

__all__ = ["LONGEST_BODY", "BrokenFrameError", "pack", "read", "read_async"]
