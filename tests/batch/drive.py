"""A driver to be killed: ``python -m batch.drive SOURCE OUTPUT WORKERS [KINDS [STEP N]]``.

With KINDS it examines inputs again whose rows say these errors. With STEP, a method such as
``state.State.keep``, it kills itself when that is called for the Nth time.
"""

import importlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

from batch.archive import examine
from tamperscope.batch.work import parse_kinds


def kill_at(step: str, number: int) -> None:
    """Die at the so-many-th call of a method of tamperscope.batch, before it does anything."""
    room, kind, method = step.split(".")
    owner = getattr(importlib.import_module(f"tamperscope.batch.{room}"), kind)
    original, calls = getattr(owner, method), [0]

    def counted(*arguments: Any) -> Any:
        calls[0] += 1
        if calls[0] == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments)

    setattr(owner, method, counted)


if __name__ == "__main__":
    # A job started in the background of a shell inherits that SIGINT is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    source, output, workers, *more = sys.argv[1:]
    values: dict[str, Any] = {"retry_errors": parse_kinds(more[0])} if more else {}
    if more[1:]:
        kill_at(more[1], int(more[2]))
    examine(source, Path(output), workers=int(workers), **values)
