"""A worker: loads the method once, examines inputs until its pipe is closed.

``python -m tamperscope.batch.worker``; messages as in `tamperscope.workers.frames`. For each task
it says what it read, is told whether to go on, and answers.
"""

import dataclasses
import gc
import hashlib
from typing import Any, BinaryIO

from tamperscope.batch.work import Answer, Task, told
from tamperscope.errors import TamperscopeError
from tamperscope.workers import frames
from tamperscope.workers.child import die_with_parent, limit_memory, own_pipes


def main() -> None:
    """Serve the process that started this one until it closes the pipe."""
    source, sink = own_pipes()
    die_with_parent()
    first = frames.read(source)
    if first is None:
        return
    from tamperscope.batch.unit import Unit

    settings = first[0]
    try:
        unit = Unit(settings)
    except TamperscopeError as error:
        _send(sink, told(error))
        return
    _warm_up()
    introduction = unit.introduce()
    limit_memory(settings["memory_limit"], [str(introduction["describe"].get("device", "cpu"))])
    _send(sink, introduction)
    while (message := frames.read(source)) is not None:
        _serve(unit, Task.from_head(*message), source, sink)
        # Pictures are large and tracebacks hold on to them.
        gc.collect(0)


def _serve(unit: Any, task: Task, source: BinaryIO, sink: BinaryIO) -> None:
    data = unit.read(task)
    if isinstance(data, Answer):
        _send(sink, {"answer": dataclasses.asdict(data)})
        return
    _send(sink, {"sha256": hashlib.sha256(data).hexdigest()})
    decision = frames.read(source)
    if decision is not None and decision[0]["wanted"]:
        answer, mask = unit.examine(data, task)
        _send(sink, {"answer": dataclasses.asdict(answer)}, mask)


def _warm_up() -> None:
    """Import now what the first picture would need, before memory is limited."""
    import cv2

    from tamperscope.report import masks, overlay  # noqa: F401

    cv2.setNumThreads(1)


def _send(sink: BinaryIO, head: dict[str, Any], body: bytes = b"") -> None:
    sink.write(frames.pack(head, body))
    sink.flush()


if __name__ == "__main__":
    main()
