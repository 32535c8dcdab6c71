"""Running the service: a socket, uvicorn, and an orderly end."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn
from fastapi import FastAPI

from tamperscope.errors import TamperscopeError
from tamperscope.web.app import create_app
from tamperscope.web.config import ServeConfig


class ServiceError(TamperscopeError):
    """The service cannot run."""


class Server(uvicorn.Server):
    """uvicorn, told to send the queue away when it is asked to stop."""

    def __init__(self, config: ServeConfig) -> None:
        self.fatal: str | None = None
        self.on_started: Callable[[], None] = lambda: None
        self.app = create_app(config, on_fatal=self._on_fatal)
        super().__init__(_uvicorn_config(config, self.app))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, and say so: signals are handled from here on."""
        await super().startup(sockets)
        if self.started:
            self.on_started()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal stops in order, a second Ctrl-C at once."""
        super().handle_exit(sig, frame)
        service = getattr(self.app.state, "service", None)
        if service is not None:
            service.pool.drain()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but an orderly end is no death by signal."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {
            sig: signal.signal(sig, self._from_signal) for sig in (signal.SIGINT, signal.SIGTERM)
        }
        self._loop = asyncio.get_running_loop()
        try:
            yield
        finally:
            for sig, handler in before.items():
                signal.signal(sig, handler)

    def _from_signal(self, sig: int, frame: FrameType | None) -> None:
        # The queue belongs to the event loop; a signal may interrupt it anywhere.
        self._loop.call_soon_threadsafe(self.handle_exit, sig, frame)

    def _on_fatal(self, message: str) -> None:
        self.fatal = message
        self.should_exit = True


def serve(config: ServeConfig, *, announce: Callable[[str], None] = lambda address: None) -> None:
    """Run the service until it is told to stop (Ctrl-C, SIGTERM); running work is finished first.

    Args:
        config: its settings.
        announce: called with its address once it can be reached.

    Raises:
        ServiceError: the address is taken, or no method can be served.
    """
    server = Server(config)
    with listen(config) as listener:
        server.on_started = lambda: announce(address_of(listener))
        server.run(sockets=[listener])
    if server.fatal is not None:
        raise ServiceError(server.fatal)


def address_of(listener: socket.socket) -> str:
    """The URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def listen(config: ServeConfig) -> socket.socket:
    """A socket on the address of the settings.

    Raises:
        ServiceError: the address is taken, or not of this machine.
    """
    host = config.host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, config.port), family=family, backlog=128)
    except OSError as error:
        # strerror has the address in it as well.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise ServiceError(
            f"cannot listen on {config.host}:{config.port}: {reason}; choose another --port"
        ) from error


def _uvicorn_config(config: ServeConfig, app: FastAPI) -> uvicorn.Config:
    logging.getLogger("tamperscope.web").setLevel(logging.INFO)
    return uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="on",
        ws="none",
        timeout_keep_alive=15,
        timeout_graceful_shutdown=max(1, round(config.grace)),
        proxy_headers=False,
    )
