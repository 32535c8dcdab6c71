"""Worker processes of a build, each of one thread."""

import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context

from tamperscope.data.faces.make import Job, Maker, Outcome, Plan
from tamperscope.data.generators.registry import GeneratorChoice
from tamperscope.errors import DataError
from tamperscope.face_parsing.parser import FaceParser

_worker: Maker | None = None


def _start(
    plan: Plan,
    choices: dict[str, GeneratorChoice],
    parser: FaceParser | None,
    device: str,
) -> None:
    import cv2

    global _worker
    cv2.setNumThreads(1)
    _worker = Maker(plan, {label: c.load(device) for label, c in choices.items()}, parser)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)


def _run(job: Job) -> Outcome:
    assert _worker is not None
    return _worker.run(job)


def in_workers(
    plan: Plan,
    choices: dict[str, GeneratorChoice],
    parser: FaceParser | None,
    workers: int,
    device: str,
    jobs: Sequence[Job],
) -> Iterator[Outcome]:
    """The outcomes of ``jobs`` as they come, from processes that each load their own generators.

    Raises:
        DataError: a picture cannot be written, or a process was ended by the system.
    """
    if not jobs:
        return
    # Not by fork: a child of a process whose libraries run threads can wait for them for ever.
    with _one_thread():
        pool = ProcessPoolExecutor(
            min(workers, len(jobs)),
            mp_context=get_context("spawn"),
            initializer=_start,
            initargs=(plan, choices, parser, device),
        )
        try:
            for future in as_completed([pool.submit(_run, job) for job in jobs]):
                yield future.result()
        except BrokenProcessPool as error:
            raise DataError(
                "a worker process ended early (out of memory?): run it again with fewer workers, "
                "it goes on from here"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Children started meanwhile compute with one thread each: they are as many as is useful."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
