"""One service for the tests of the page and the API; workers that find the toy methods."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from web.service import Running, config, running

TESTS = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def _toys_for_workers() -> Iterator[None]:
    """Workers are processes of their own: they find the toys on their path."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(TESTS), *([before] if before else [])])
    yield
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


@pytest.fixture(scope="session")
def shared() -> Iterator[Running]:
    """One service for all tests that leave it as they found it."""
    with running(config(workers=2)) as service:
        service.wait_until_ready()
        yield service


@pytest.fixture
def service(shared: Running) -> Running:
    """`shared`, ready."""
    shared.wait_until_ready()
    return shared
