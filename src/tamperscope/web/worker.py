"""A worker: loads the methods once, examines pictures until its input ends.

``python -m tamperscope.web.worker``; messages on standard input and output as in
`tamperscope.workers.frames`.
"""

import dataclasses
import gc
import importlib
import json
import re
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

from tamperscope.workers import frames
from tamperscope.workers.child import die_with_parent, limit_memory, own_pipes

if TYPE_CHECKING:
    from tamperscope.image import Image
    from tamperscope.localizer import Localizer
    from tamperscope.result import Localization

BATCH_PIXELS = 4_000_000
"""Pictures of more pixels than these are not held decoded together."""


def main() -> None:
    """Serve the process that started this one until it closes the pipe."""
    source, sink = own_pipes()
    die_with_parent()
    first = frames.read(source)
    if first is None:
        return
    settings = first[0]
    methods, failures = _load(settings)
    _warm_up()
    devices = {str(method.describe().get("device", "cpu")) for method in methods.values()}
    limit_memory(settings["memory_limit"], devices)
    _send(
        sink,
        {
            "cards": [_card(name, method) for name, method in methods.items()],
            "failures": failures,
        },
    )
    while (message := frames.read(source)) is not None:
        head, body = message
        # From here on, if this process dies, it is because of these pictures.
        _send(sink, {"begun": True})
        name = head["method"]
        if name in methods:
            replies = _examine(methods[name], head["jobs"], body, settings)
        else:
            replies = _refusals(failures.get(name, f"method {name!r} is not here"), head["jobs"])
        for reply, answer in replies:
            _send(sink, reply, answer)
        # Pictures are large and tracebacks hold on to them.
        gc.collect(0)


def _send(sink: BinaryIO, head: dict[str, Any], body: bytes = b"") -> None:
    sink.write(frames.pack(head, body))
    sink.flush()


def _load(settings: dict[str, Any]) -> tuple[dict[str, "Localizer"], dict[str, str]]:
    """The methods that load, and why the others do not."""
    from tamperscope.errors import TamperscopeError

    room, _, function = settings["loader"].partition(":")
    load = getattr(importlib.import_module(room), function)
    methods: dict[str, Localizer] = {}
    failures: dict[str, str] = {}
    for choice in settings["methods"]:
        try:
            methods[choice["name"]] = load(
                choice["name"],
                preset=choice["preset"],
                weights=choice["weights"],
                device=settings["device"],
                precision=settings["precision"],
                max_pixels=settings["max_pixels"],
            )
        except TamperscopeError as error:
            failures[choice["name"]] = " ".join(str(error).split())
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(settings["threads"])
    return methods, failures


def _card(name: str, method: "Localizer") -> dict[str, Any]:
    return {**dataclasses.asdict(method.card), "name": name}


def _warm_up() -> None:
    """Import now what the first picture would need, before memory is limited."""
    from tamperscope.web import rendering  # noqa: F401


def _examine(
    method: "Localizer", jobs: Sequence[dict[str, Any]], body: bytes, settings: dict[str, Any]
) -> Iterator[tuple[dict[str, Any], bytes]]:
    """One reply per job, in order: an answer as JSON text, or a failure."""
    files = _split(body, [job["length"] for job in jobs])
    group: list[tuple[dict[str, Any], Any]] = []  # emptied by `_answers`
    pixels = 0
    for job, data in zip(jobs, files, strict=True):
        image = _guarded(_read, job, data, settings)
        full = isinstance(image, MemoryError) or pixels + _pixels(image) > BATCH_PIXELS
        if group and full:
            yield from _answers(method, group)
            pixels = 0
            if isinstance(image, MemoryError):
                # The pictures before it were in the way.
                image = _guarded(_read, job, data, settings)
        group.append((job, image))
        pixels += _pixels(image)
    yield from _answers(method, group)


def _refusals(
    reason: str, jobs: Sequence[dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], bytes]]:
    """The replies where the method did not load here, though it did in another worker."""
    for job in jobs:
        yield {"id": job["id"], "code": "method_unavailable", "message": reason}, b""


def _answers(
    method: "Localizer", group: list[tuple[dict[str, Any], Any]]
) -> Iterator[tuple[dict[str, Any], bytes]]:
    """The replies to decoded pictures that may be in memory together; takes them from the list."""
    jobs, images = [job for job, _ in group], [image for _, image in group]
    group.clear()
    results = _localize_together(method, images)
    for i, job in enumerate(jobs):
        reply = {"id": job["id"]}
        outcome = _guarded(_answer, method, images[i], results[i], job)
        # Answers are large: nothing of a finished picture is kept while the next one is made.
        images[i] = results[i] = None
        if isinstance(outcome, Exception):
            yield {**reply, **_failure(outcome)}, b""
        else:
            yield reply, outcome


def _pixels(image: Any) -> int:
    return 0 if isinstance(image, Exception) else image.height * image.width


def _split(body: bytes, lengths: Sequence[int]) -> list[bytes]:
    files, start = [], 0
    for length in lengths:
        files.append(body[start : start + length])
        start += length
    return files


def _guarded(function: Any, *arguments: Any) -> Any:
    """What the function returns, or the exception it raised."""
    try:
        return function(*arguments)
    except Exception as error:
        # The frames of the traceback hold pictures.
        return error.with_traceback(None)


def _read(job: dict[str, Any], data: bytes, settings: dict[str, Any]) -> "Image":
    from tamperscope.image import read_image

    return read_image(data, max_pixels=settings["max_pixels"], id=job["name"])


def _localize_together(method: "Localizer", images: Sequence[Any]) -> list[Any]:
    """Results by position; one call where there are several pictures, else one by one."""
    readable = [i for i, image in enumerate(images) if not isinstance(image, Exception)]
    if len(readable) > 1:
        results = _guarded(method.localize_batch, [images[i] for i in readable])
        if isinstance(results, list) and len(results) == len(readable):
            placed: list[Any] = [None] * len(images)
            for i, result in zip(readable, results, strict=True):
                placed[i] = result
            return placed
    return [
        _guarded(method.localize, image) if i in readable else None
        for i, image in enumerate(images)
    ]


def _answer(method: "Localizer", image: Any, result: Any, job: dict[str, Any]) -> bytes:
    from tamperscope.web.rendering import Wanted, answer

    for step in (image, result):
        if isinstance(step, Exception):
            raise step
    found: Localization = result
    wanted = Wanted(mask=job["mask"], include=tuple(job["include"]), max_side=job.get("max_side"))
    values = answer(image, found, method.card, wanted)
    return json.dumps(values, ensure_ascii=True, allow_nan=False).encode()


def _failure(error: Exception) -> dict[str, str]:
    from tamperscope.errors import TamperscopeError
    from tamperscope.web.problems import code_of

    if isinstance(error, MemoryError):
        message = "the picture does not fit in the memory of a worker; make it smaller first"
    elif isinstance(error, TamperscopeError):
        # Of bytes the reader knows the digest at best; the service says which picture it was.
        message = " ".join(str(error).split())
        message = re.sub(r"^bytes:[0-9a-f]{12}: (?=is )", "the file ", message)
        message = re.sub(r"^bytes:[0-9a-f]{12}: ", "", message)
    else:
        # Details may hold what is nobody's business; they go to the log.
        print(f"tamperscope: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        message = (
            f"the method failed on this picture ({type(error).__name__}); "
            "the log of the service says more"
        )
    return {"code": code_of(error), "message": message}


if __name__ == "__main__":
    main()
