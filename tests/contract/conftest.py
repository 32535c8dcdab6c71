"""Every method of the catalogue, and a dummy that keeps the contract, for the suite beside this."""

import functools
from collections.abc import Callable

import pytest

from contract import dummy
from tamperscope import catalog
from tamperscope.localizer import Localizer

METHODS = ["dummy", *(card.name for card in catalog.list_methods())]


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A method's name, that `catalog.load` knows."""
    monkeypatch.setitem(catalog._BY_NAME, "dummy", dummy.ENTRY)
    return str(request.param)


@pytest.fixture
def load(method: str) -> Callable[..., Localizer]:
    """Load the method afresh, on the processor."""
    return functools.partial(catalog.load, method, device="cpu")


@pytest.fixture
def localizer(method: str) -> Localizer:
    """The method with its defaults on the processor; loaded once for all tests."""
    return _loaded(method)


@functools.cache
def _loaded(method: str) -> Localizer:
    return catalog.load(method, device="cpu")
