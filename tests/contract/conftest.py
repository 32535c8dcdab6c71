"""Every method of the catalogue, and a dummy that keeps the contract, for the suite beside this.

Methods whose weights do not ship run with random ones; those of the deep ones on small pictures.
"""

import functools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from contract import dummy
from tamperscope import catalog
from tamperscope.localizer import Localizer
from tamperscope.weights import list_weights

SHIPPED = {card.name for card in list_weights() if card.shipped}
METHODS = ["dummy", *(card.name for card in catalog.list_methods())]


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A method's name, that `catalog.load` knows."""
    monkeypatch.setitem(catalog._BY_NAME, "dummy", dummy.ENTRY)
    return str(request.param)


@pytest.fixture(scope="session", autouse=True)
def _random_weights() -> Iterator[None]:
    """A folder for `_options`, which is asked for by fixtures of every scope."""
    with tempfile.TemporaryDirectory() as folder:
        _FOLDERS.append(Path(folder))
        yield
        _FOLDERS.clear()
        _loaded.cache_clear()
        _options.cache_clear()


_FOLDERS: list[Path] = []


@functools.cache
def _options(method: str) -> dict[str, Any]:
    """What `catalog.load` needs beside the name."""
    if method == "dummy" or catalog.card(method).weights[0] in SHIPPED:
        return {}
    if method == "fakelocator":
        from methods.fakelocator import toys

        parser = toys.save_parser(_FOLDERS[-1] / "face-parser.safetensors")
        path = toys.save_random(_FOLDERS[-1] / "fakelocator.safetensors")
        return {"weights": path, "parser": parser, "size": 64}
    from methods.dolos.toys import FAST, save_random

    path = save_random(_FOLDERS[-1] / f"{method}.safetensors", method)
    return {"weights": path} if "patches" in method else {"weights": path, "size": FAST}


@pytest.fixture
def load(method: str) -> Callable[..., Localizer]:
    """Load the method afresh, on the processor."""
    return functools.partial(catalog.load, method, device="cpu", **_options(method))


@pytest.fixture
def localizer(method: str) -> Localizer:
    """The method with its defaults on the processor; loaded once for all tests."""
    return _loaded(method)


@functools.cache
def _loaded(method: str) -> Localizer:
    return catalog.load(method, device="cpu", **_options(method))
