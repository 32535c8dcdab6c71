"""The network of FOCAL: a backbone, a projection to contrastive features, and (ours) an evidence
head.

FOCAL's published networks are a backbone alone. Clustering says which pixels belong together, but
neither which cluster is the forged one nor whether there is a forgery at all; the evidence head,
trained beside the features, answers these two questions.
"""

import os
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from tamperscope.backbones import create_backbone
from tamperscope.backbones.base import Backbone
from tamperscope.errors import WeightsError, unknown
from tamperscope.weights import (
    LoadedWeights,
    detect_kind,
    find,
    load_state,
    load_weights,
)

_KEYS = ("backbone", "options", "dim", "evidence")

# What a card calls the published networks, and the backbone each one is.
_PUBLISHED = {"focal-hrnet": "focal-hrnet-w32", "focal-vit": "focal-vit-l"}


class FocalNetwork(nn.Module):
    """Backbone with heads.

    Args:
        backbone: any feature network.
        dim: channels of the contrastive features; 0 = the backbone's own, without a projection (as
            published).
        evidence: add the evidence head.
    """

    def __init__(self, backbone: Backbone, *, dim: int = 64, evidence: bool = True) -> None:
        super().__init__()
        self.backbone = backbone
        self.stride = backbone.stride
        self.channels = dim or backbone.channels
        c = backbone.channels
        self.projection: nn.Module = (
            nn.Sequential(
                nn.Conv2d(c, c, 1, bias=False),
                nn.BatchNorm2d(c),
                nn.ReLU(inplace=True),
                nn.Conv2d(c, dim, 1),
            )
            if dim
            else nn.Identity()
        )
        self.evidence: nn.Module | None = None
        if evidence:
            self.evidence = nn.Sequential(
                nn.Conv2d(c, c, 3, padding=1, bias=False),
                nn.BatchNorm2d(c),
                nn.ReLU(inplace=True),
                nn.Conv2d(c, 1, 1),
            )

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Features and evidence of a batch.

        Args:
            x: (B, 3, h, w) in [0, 1].

        Returns:
            ``features`` (B, channels, h / stride, w / stride), not normalised, and, with an
            evidence head, ``evidence`` (B, 1, h / stride, w / stride): logits, positive = forged.
        """
        return self.heads(self.backbone(x))

    def heads(self, shared: Tensor) -> dict[str, Tensor]:
        """What `forward` returns, for the backbone's output."""
        out = {"features": self.projection(shared)}
        if self.evidence is not None:
            out["evidence"] = self.evidence(shared)
        return out


def build_network(config: Mapping[str, Any]) -> FocalNetwork:
    """A freshly initialised network from plain values: ``backbone`` (name), ``options`` (of the
    backbone), ``dim``, ``evidence``.

    Raises:
        UnknownNameError: another key, or no such backbone.
        ConfigError: an option that the backbone does not have.
    """
    for key in config:
        if key not in _KEYS:
            raise unknown("option of the focal network", key, _KEYS)
    options = dict(config.get("options", {}))
    for key, value in options.items():
        if isinstance(value, list):
            options[key] = tuple(value)
    backbone = create_backbone(str(config.get("backbone", "compact")), **options)
    return FocalNetwork(
        backbone, dim=int(config.get("dim", 64)), evidence=bool(config.get("evidence", True))
    )


def module_for(backbone: str, **options: Any) -> FocalNetwork | Backbone:
    """What a weights card describes and its file holds.

    With ``dim`` or ``evidence`` among the options that is a `FocalNetwork`; a published checkpoint
    holds a backbone alone, under the backbone's own keys.
    """
    if "dim" in options or "evidence" in options:
        return build_network({"backbone": backbone, **options})
    return create_backbone(backbone, **options)


def network_for(name_or_path: str | os.PathLike[str]) -> tuple[FocalNetwork, LoadedWeights]:
    """A network with trained weights: a name of the weights list, a file with its card, or a
    published checkpoint.

    Raises:
        WeightsError: not found, damaged, not for this network, or of no known kind.
        UnknownNameError: no such name.
    """
    path, card = find(name_or_path)
    if card is not None and card.method != "focal":
        raise WeightsError(f"{name_or_path} is for the method {card.method!r}, not for focal")
    if card is not None:
        module = module_for(card.backbone, **card.options)
    else:
        kind = detect_kind(load_state(path))
        if kind not in _PUBLISHED:
            raise WeightsError(
                f"{path} has no card beside it and is no published FOCAL checkpoint: "
                "keep the .toml that was exported with it"
            )
        module = module_for(_PUBLISHED[kind])
    loaded = load_weights(module, name_or_path)
    if isinstance(module, FocalNetwork):
        return module, loaded
    return FocalNetwork(module, dim=0, evidence=False), loaded
