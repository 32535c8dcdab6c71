"""tamperscope: where was this picture manipulated?

>>> import tamperscope
>>> result = tamperscope.load("focal").localize("photo.jpg")  # doctest: +SKIP
>>> result.mask.shape, result.image_score  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from tamperscope.catalog import list_methods, load, localize
    from tamperscope.errors import TamperscopeError
    from tamperscope.image import Image, read_image
    from tamperscope.localizer import Localizer, MethodCard
    from tamperscope.provenance import Provenance
    from tamperscope.result import Localization, MapKind

__all__ = [
    "Image",
    "Localization",
    "Localizer",
    "MapKind",
    "MethodCard",
    "Provenance",
    "TamperscopeError",
    "__version__",
    "list_methods",
    "load",
    "localize",
    "read_image",
]

_HOME = {
    "Image": "image",
    "Localization": "result",
    "Localizer": "localizer",
    "MapKind": "result",
    "MethodCard": "localizer",
    "Provenance": "provenance",
    "TamperscopeError": "errors",
    "list_methods": "catalog",
    "load": "catalog",
    "localize": "catalog",
    "read_image": "image",
}


def __getattr__(name: str) -> Any:
    # Imported on first use (PEP 562): `tamperscope --help` must not wait for numpy.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
