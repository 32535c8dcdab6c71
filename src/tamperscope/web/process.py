"""One worker process as the service sees it: start, ask, kill."""

import asyncio
import contextlib
import dataclasses
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from typing import Any

from tamperscope import catalog
from tamperscope.web.config import MethodChoice, ServeConfig
from tamperscope.workers import frames
from tamperscope.workers.child import THREAD_VARIABLES

TOKEN_VARIABLE = "TAMPERSCOPE_TOKEN"
_PIPE_BUFFER = 1 << 20
_LAST_WORDS = 1.0


class WorkerLostError(Exception):
    """The process ended, or broke the protocol; says how."""


class WorkerProcess:
    """A running worker. Made by `start_worker`."""

    def __init__(self, process: Process, ready: dict[str, Any]) -> None:
        self._process = process
        self.cards: list[dict[str, Any]] = ready["cards"]
        """The cards of the methods it loaded."""
        self.failures: dict[str, str] = ready["failures"]
        """Method -> why it did not load."""
        self.start_seconds: float = ready["start_seconds"]
        """What it took from nothing to ready."""
        self.exited = asyncio.ensure_future(process.wait())

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def send(self, head: dict[str, Any], bodies: Sequence[bytes]) -> None:
        """Hand over work.

        Raises:
            WorkerLostError: it has ended.
        """
        await _send(self._process, head, b"".join(bodies))

    async def receive(self) -> tuple[dict[str, Any], bytes]:
        """The next reply.

        Raises:
            WorkerLostError: it has ended, or sent what is no reply.
        """
        return await _receive(self._process)

    async def kill(self) -> None:
        """End it, whatever it does; returns when it is gone, also where that is cancelled."""
        ending = asyncio.ensure_future(self._end())
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            # Left half-way, it would outlive the event loop that knows it.
            await ending
            raise

    async def _end(self) -> None:
        await _kill(self._process)
        await self.exited


async def start_worker(config: ServeConfig) -> WorkerProcess:
    """Start a process and wait until it has loaded its methods.

    Raises:
        WorkerLostError: it ended, or did not get ready in time.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    process = await _spawn(config)
    try:
        async with asyncio.timeout(config.start_limit):
            await _send(process, _settings(config), b"")
            head, _ = await _receive(process)
    except TimeoutError:
        await _kill(process)
        raise WorkerLostError(f"it was not ready after {config.start_limit:g} s") from None
    except BaseException:
        await _kill(process)
        raise
    return WorkerProcess(process, {**head, "start_seconds": loop.time() - started})


async def _spawn(config: ServeConfig) -> Process:
    making = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            sys.executable,
            # Without the current folder on the search path: no file there may become a module.
            "-P",
            "-m",
            "tamperscope.web.worker",
            stdin=PIPE,
            stdout=PIPE,
            limit=_PIPE_BUFFER,
            env=_environment(config),
            # A Ctrl-C is for the service, which then lets the workers finish.
            start_new_session=True,
        )
    )
    try:
        return await asyncio.shield(making)
    except asyncio.CancelledError:
        # Cancelled half-way, it would leave a process behind that nobody knows.
        await _kill(await making)
        raise


def choices(config: ServeConfig) -> tuple[MethodChoice, ...]:
    """The methods to try: those asked for, else the whole catalogue."""
    if config.methods:
        return config.methods
    return tuple(MethodChoice(name=card.name) for card in catalog.list_methods())


def _settings(config: ServeConfig) -> dict[str, Any]:
    names = ("loader", "device", "precision", "max_pixels", "memory_limit", "threads")
    return {
        "methods": [dataclasses.asdict(choice) for choice in choices(config)],
        **{name: getattr(config, name) for name in names},
    }


def _environment(config: ServeConfig) -> dict[str, str]:
    environment = {name: str(config.threads) for name in THREAD_VARIABLES}
    # What decodes strangers' files need not know the key to the door.
    kept = {key: value for key, value in os.environ.items() if key != TOKEN_VARIABLE}
    return {**kept, **environment}


async def _send(process: Process, head: dict[str, Any], body: bytes) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(frames.pack(head, body))
        await process.stdin.drain()
    except (ConnectionError, RuntimeError) as error:
        raise WorkerLostError(await _how_it_ended(process)) from error


async def _receive(process: Process) -> tuple[dict[str, Any], bytes]:
    assert process.stdout is not None
    try:
        return await frames.read_async(process.stdout)
    except frames.BrokenFrameError as error:
        raise WorkerLostError(await _how_it_ended(process)) from error


async def _how_it_ended(process: Process) -> str:
    try:
        async with asyncio.timeout(_LAST_WORDS):
            code = await process.wait()
    except TimeoutError:  # it closed its pipe, or broke the protocol, and lives on
        await _kill(process)
        return "stopped answering"
    if code < 0:
        name = signal.Signals(-code).name
        return f"killed by {name}"
    return f"ended with code {code}"


async def _kill(process: Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    await process.wait()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    # Reading to the end closes the pipe; a child of the worker may hold it open.
    with contextlib.suppress(TimeoutError, RuntimeError):
        async with asyncio.timeout(_LAST_WORDS):
            while await process.stdout.read(_PIPE_BUFFER):
                pass
