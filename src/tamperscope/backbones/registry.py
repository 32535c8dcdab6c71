"""The literal list of feature networks; each builder imports its own file."""

from collections.abc import Callable
from typing import Any

from tamperscope.backbones.base import Backbone
from tamperscope.errors import ConfigError, unknown

_TIMM = "timm:"


def _hrnet(**options: Any) -> Backbone:
    from tamperscope.backbones.hrnet import HRNetBackbone

    return HRNetBackbone(**options)


def _sam_vit(**options: Any) -> Backbone:
    from tamperscope.backbones.sam_vit import SamViTBackbone

    return SamViTBackbone(**options)


def _compact(**options: Any) -> Backbone:
    from tamperscope.backbones.compact import CompactBackbone

    return CompactBackbone(**options)


_BUILDERS: dict[str, Callable[..., Backbone]] = {
    "focal-hrnet-w32": _hrnet,
    "focal-vit-l": _sam_vit,
    "compact": _compact,
}


def list_backbones() -> list[str]:
    """Names that `create_backbone` knows; ``timm:<model>`` stands for any timm feature network."""
    return [*_BUILDERS, f"{_TIMM}<model>"]


def create_backbone(name: str, **options: Any) -> Backbone:
    """A feature network with fresh weights, in training mode, on the CPU. Nothing is downloaded.

    Args:
        name: One of `list_backbones`: ``"focal-hrnet-w32"``, ``"timm:convnext_tiny"``, ...
        **options: The network's own options; see its class.

    Raises:
        UnknownNameError: no such backbone, or timm has no such model.
        ConfigError: an option that the network does not have, or a value it cannot have.
    """
    if name.startswith(_TIMM):
        from tamperscope.backbones.timm_features import TimmBackbone

        return TimmBackbone(name.removeprefix(_TIMM), **options)
    if name not in _BUILDERS:
        raise unknown("backbone", name, list_backbones())
    try:
        return _BUILDERS[name](**options)
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        raise ConfigError(f"backbone {name} has no such option: {error}") from error
