"""A service with toy methods, running in a thread, and pictures to send to it."""

import base64
import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import numpy as np
from PIL import Image as PILImage

from hostile import encode
from tamperscope.web import schemas
from tamperscope.web.config import MIB, MethodChoice, ServeConfig
from tamperscope.web.problems import STATUS
from tamperscope.web.server import Server, address_of, listen

TOYS = (MethodChoice(name="bright"), MethodChoice(name="dark"))


def config(**changes: Any) -> ServeConfig:
    """Settings for toys: small limits, so that tests meet them soon."""
    usual: dict[str, Any] = {
        "methods": TOYS,
        "loader": "web.toys:load",
        "port": 0,
        "workers": 1,
        "max_bytes": 2 * MIB,
        "max_pixels": 1_000_000,
        "queue_size": 8,
        "time_limit": 20.0,
        "memory_limit": 512 * MIB,
        "grace": 5.0,
        "spare_workers": 0,
    }
    return ServeConfig(**{**usual, **changes})


class Running:
    """A service in a thread of its own, and a client for it."""

    def __init__(self, server: Server, address: str) -> None:
        self.server = server
        self.address = address
        self.client = httpx.Client(base_url=address, timeout=60, trust_env=False)

    @property
    def pool(self) -> Any:
        return self.server.app.state.service.pool

    def send(self, data: bytes, name: str = "picture.png", **query: Any) -> httpx.Response:
        return self.client.post("/v1/localize", files={"file": (name, data)}, params=query)

    def wait_until_ready(self) -> None:
        self.wait(lambda: self.client.get("/readyz").status_code == 200)

    def wait(self, condition: Callable[[], bool], seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it did not happen in time"
            time.sleep(0.02)

    def number(self, name: str) -> float:
        """A sample of /metrics, labels included as Prometheus writes them."""
        lines = self.client.get("/metrics").text.splitlines()
        values = [line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} ")]
        return float(values[0]) if values else 0.0


@contextmanager
def running(settings: ServeConfig) -> Iterator[Running]:
    """Run a service while the block runs; it has stopped by itself afterwards."""
    server = Server(settings)
    with listen(settings) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        service = Running(server, address_of(listener))
        try:
            yield service
        finally:
            service.client.close()
            server.handle_exit(15, None)
            thread.join(30)
            assert not thread.is_alive(), "the service did not stop"


def picture(
    size: tuple[int, int] = (48, 64), first: tuple[int, int, int] | None = None, kind: str = "PNG"
) -> bytes:
    """A dark file with a bright square; `first` is the color of its first pixel."""
    pixels = np.full((*size, 3), 40, np.uint8)
    pixels[size[0] // 4 : size[0] // 2, size[1] // 4 : size[1] // 2] = 250
    if first is not None:
        pixels[0, 0] = first
    return encode(pixels, kind)


def truth(size: tuple[int, int] = (48, 64)) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """What `bright` finds in `picture`."""
    mask = np.zeros(size, bool)
    mask[size[0] // 4 : size[0] // 2, size[1] // 4 : size[1] // 2] = True
    return mask


def problem(response: httpx.Response) -> tuple[str, str]:
    """Code and message of an error, whose shape and status are checked on the way."""
    error = schemas.Error.model_validate(response.json()).error
    assert STATUS[error.code] == response.status_code
    assert "\n" not in error.message
    return error.code, error.message


def pixels_of(text: str) -> Any:
    return np.asarray(PILImage.open(io.BytesIO(base64.b64decode(text))))
