"""For all tests: no network, few threads, and a safe place for whatever gets written."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Before torch or OpenBLAS is imported: with several pytest workers each would otherwise start
# one thread per core, and together they are slower than one worker alone.
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_THREADS = str(max(1, (os.cpu_count() or 1) // _WORKERS))
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, _THREADS)
for _name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
    os.environ[_name] = "1"


# The same examples every time: a failure must be the change's, not the dice's.
settings.register_profile(
    "steady",
    deadline=None,
    derandomize=True,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("steady")


class NetworkBlockedError(AssertionError):
    """A test tried to reach another machine."""


def _is_local(address: object) -> bool:
    if not isinstance(address, tuple):  # a Unix socket's path
        return True
    return str(address[0]) in ("localhost", "::1") or str(address[0]).startswith("127.")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def guard(name: str) -> None:
        original = getattr(socket.socket, name)

        def guarded(self: socket.socket, *args: Any) -> Any:
            if not _is_local(args[-1]):
                raise NetworkBlockedError(f"socket.{name}{args}: tests run without a network")
            return original(self, *args)

        monkeypatch.setattr(socket.socket, name, guarded)

    for name in ("connect", "connect_ex", "sendto"):
        guard(name)
    resolve = socket.getaddrinfo

    def resolve_local(host: Any, *args: Any, **options: Any) -> Any:
        if host is not None and not _is_local((host,)):
            raise NetworkBlockedError(f"looking up {host!r}: tests run without a network")
        return resolve(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_local)


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run the test inside an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
