"""The networks of DOLOS: Patches, Attention and Grad-CAM, each for labels or for masks.

All are an Xception with something small added. Key names below ``xception.`` are timm's.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast, get_args

from torch import Tensor, nn

from tamperscope.backbones.xception import (
    BLOCKS,
    MIDDLE_CHANNELS,
    SeparableConv2d,
    Xception,
    init_normal,
    init_xavier,
)
from tamperscope.errors import (
    ConfigError,
    WeightsError,
    WeightsMismatchError,
    unknown,
)
from tamperscope.methods.dolos.preprocess import INPUT_SIZE
from tamperscope.weights import (
    LoadedWeights,
    detect_kind,
    find,
    load_state,
    load_weights,
    native_state,
    published_options,
)

Method = Literal["patches", "attention", "gradcam"]
Supervision = Literal["weak", "full"]
Init = Literal["paper", "scratch", "normal", "pretrained", "trunk"]

MAP_BLOCK = 7
"""Attention's map is computed on this block's output and multiplied into it."""
CAM_BLOCK = 11
"""Grad-CAM explains this block's output; the fully convolutional head sits on it."""

METHODS: dict[str, dict[str, str]] = {
    f"dolos-{method}" + ("-weak" if supervision == "weak" else ""): {
        "method": method,
        "supervision": supervision,
    }
    for method in get_args(Method)
    for supervision in ("full", "weak")
}
"""The six methods of the catalogue, and what their networks are."""

_DEFAULTS: dict[str, Any] = {
    "method": "patches",
    "supervision": "full",
    "block": 2,
    "init": "paper",
    "pretrained": "",
    "map_only": False,
}


class DolosNetwork(nn.Module):
    """What the networks share.

    Attributes:
        method: ``"patches"``, ``"attention"`` or ``"gradcam"``.
        supervision: ``"weak"`` (image labels) or ``"full"`` (masks).
        input_size: side in pixels of the pictures it was designed for; others work too.
        feature_block: number of the block whose output `features_and_outputs` returns.
    """

    input_size = INPUT_SIZE
    feature_block: int

    def __init__(self, method: Method, supervision: Supervision, xception: Xception) -> None:
        super().__init__()
        self.method = method
        self.supervision = supervision
        self.xception = xception

    @property
    def name(self) -> str:
        """The method's name in the catalogue."""
        return f"dolos-{self.method}" + ("-weak" if self.supervision == "weak" else "")

    def features_and_outputs(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The output (B, C, h, w) of ``feature_block``, and what `forward` returns."""
        features = self.xception.features(x, until=self.feature_block)
        return features, self.outputs(features)

    def outputs(self, features: Tensor) -> dict[str, Tensor]:
        """What `forward` returns, for the output of ``feature_block``."""
        raise NotImplementedError

    def deciding(self, x: Tensor) -> dict[str, Tensor]:
        """What the method decides by: ``features``, and of `forward`'s outputs those that count."""
        features, outputs = self.features_and_outputs(x)
        return {"features": features, **outputs}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Logits by name; fake is class 1.

        Args:
            x: floating point (B, 3, h, w) in [-1, 1]; see `tamperscope.methods.dolos.preprocess`.
        """
        return self.features_and_outputs(x)[1]


class PatchesNetwork(DolosNetwork):
    """Patches: a truncated Xception and a linear classifier for every cell of its last block.

    ``forward`` gives ``map_logits`` (B, 2, h, w): for 299 x 299 pixels 74, 37 or 19 cells a side
    after block 1, 2 or 3.
    """

    def __init__(self, supervision: Supervision, *, block: int = 2) -> None:
        if block not in (1, 2, 3):
            raise ConfigError(f"dolos: patches end after block 1, 2 or 3, not {block}")
        super().__init__("patches", supervision, Xception(blocks=block))
        self.feature_block = block
        self.head = nn.Conv2d(self.xception.channels, 2, 1)

    def outputs(self, features: Tensor) -> dict[str, Tensor]:
        """``map_logits``."""
        return {"map_logits": self.head(features)}


class GradCamNetwork(DolosNetwork):
    """Grad-CAM, from labels: a classifier; ``forward`` gives ``label_logits`` (B, 2)."""

    feature_block = CAM_BLOCK

    def __init__(self) -> None:
        super().__init__("gradcam", "weak", Xception(classes=2))

    def outputs(self, features: Tensor) -> dict[str, Tensor]:
        """``label_logits``."""
        rest = self.xception.run_blocks(features, CAM_BLOCK + 1, BLOCKS)
        return {"label_logits": self.xception.classify(rest)}


class FcnNetwork(DolosNetwork):
    """Grad-CAM's counterpart for masks: a fully convolutional head on block 11; ``forward`` gives
    ``map_logits`` (B, 2, 19, 19) for 299 x 299 pixels.
    """

    feature_block = CAM_BLOCK

    def __init__(self) -> None:
        super().__init__("gradcam", "full", Xception(blocks=CAM_BLOCK))
        channels = self.xception.channels
        inner = channels // 4
        self.head = nn.Sequential(
            nn.Conv2d(channels, inner, 3, padding=1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(inplace=True),
            nn.Dropout(0.1),
            nn.Conv2d(inner, 2, 1),
        )

    def outputs(self, features: Tensor) -> dict[str, Tensor]:
        """``map_logits``."""
        return {"map_logits": self.head(features)}


class AttentionNetwork(DolosNetwork):
    """Attention (FFD, Dang et al., arXiv:1910.01717): a map that gates the features it is made of.

    ``forward`` gives ``mask_logits`` (B, 1, 19, 19) for 299 x 299 pixels, and ``label_logits``
    (B, 2) unless ``map_only``.

    Args:
        supervision: ``"weak"`` or ``"full"``.
        map_only: leave out everything behind the map, which training from masks never uses.
    """

    feature_block = MAP_BLOCK

    def __init__(self, supervision: Supervision, *, map_only: bool = False) -> None:
        if map_only and supervision == "weak":
            raise ConfigError(
                "dolos: weakly supervised attention learns its map through the label behind it: "
                "map_only needs supervision='full'"
            )
        xception = Xception(blocks=MAP_BLOCK) if map_only else Xception(classes=2)
        super().__init__("attention", supervision, xception)
        self.map_only = map_only
        self.map = SeparableConv2d(MIDDLE_CHANNELS, 1, 3, 1, 1)

    def mask_logits(self, features: Tensor) -> Tensor:
        """The map alone, which needs nothing behind it."""
        logits: Tensor = self.map(features)
        return logits

    def deciding(self, x: Tensor) -> dict[str, Tensor]:
        """See `DolosNetwork.deciding`."""
        if self.supervision == "weak":
            return super().deciding(x)
        # Training from masks leaves the label behind the map as it was: not worth computing.
        features = self.xception.features(x, until=self.feature_block)
        return {"features": features, "mask_logits": self.mask_logits(features)}

    def outputs(self, features: Tensor) -> dict[str, Tensor]:
        """``mask_logits`` and, unless ``map_only``, ``label_logits``."""
        logits = self.mask_logits(features)
        if self.map_only:
            return {"mask_logits": logits}
        gated = features * logits.sigmoid()
        rest = self.xception.run_blocks(gated, MAP_BLOCK + 1, BLOCKS)
        return {"label_logits": self.xception.classify(rest), "mask_logits": logits}


def build_network(config: Mapping[str, Any]) -> DolosNetwork:
    """A network with its starting weights, in training mode, from plain values.

    Args:
        config: ``method``: ``"patches"`` (default), ``"attention"``, ``"gradcam"``.
            ``supervision``: ``"full"`` (masks, default) or ``"weak"`` (image labels).
            ``block``: of patches: the last block, 1, 2 (default) or 3.
            ``map_only``: of attention from masks: nothing behind the map.
            ``init``: ``"paper"`` (default): Patches from small Xavier-normal weights if weak and
            from PyTorch's own if full, the others from the file ``pretrained``; ``"scratch"``:
            PyTorch's own; ``"normal"``: N(0, 0.01), FFD's ``random``; ``"pretrained"``: the file;
            ``"trunk"``: what the file has of the network, the rest as ``"scratch"``, to put a
            deeper network on the first blocks of a trained shallower one.
            ``pretrained``: a file with an Xception: ImageNet weights of timm or Cadene, FFD's
            ``xcp_reg.tar`` (what DOLOS starts Attention from), or any DOLOS checkpoint.

    Random weights are drawn from PyTorch's global generator.

    Raises:
        UnknownNameError: another key.
        ConfigError: a value that cannot be.
        WeightsError: or a subclass: the file cannot be used.
    """
    for key in config:
        if key not in _DEFAULTS:
            raise unknown("option of the dolos network", key, _DEFAULTS)
    values = _DEFAULTS | dict(config)
    for key, kind in (("method", Method), ("supervision", Supervision), ("init", Init)):
        if values[key] not in get_args(kind):
            known = ", ".join(get_args(kind))
            raise ConfigError(f"dolos has no {key} {values[key]!r}; known: {known}")
    network = _assemble(values)
    _initialise(network, values["init"], values["pretrained"])
    return network


def _assemble(values: Mapping[str, Any]) -> DolosNetwork:
    method, supervision = values["method"], cast(Supervision, values["supervision"])
    if values["map_only"] and method != "attention":
        raise ConfigError(f"dolos: map_only is for attention, not for {method}")
    if method == "patches":
        return PatchesNetwork(supervision, block=int(values["block"]))
    if method == "attention":
        return AttentionNetwork(supervision, map_only=bool(values["map_only"]))
    return GradCamNetwork() if supervision == "weak" else FcnNetwork()


def _initialise(network: DolosNetwork, init: Init, pretrained: str | os.PathLike[str]) -> None:
    from_paper = init == "paper"
    wants_file = init in ("pretrained", "trunk") or (from_paper and network.method != "patches")
    if wants_file and not pretrained:
        raise ConfigError(
            f"dolos: {network.method} starts from pretrained weights: name a file with an Xception "
            "as pretrained (timm's or Cadene's ImageNet weights, or FFD's xcp_reg.tar), or use "
            "init='scratch'"
        )
    if pretrained and not wants_file:
        raise ConfigError(
            f"dolos: pretrained is given, but init={init!r} of {network.method} does not use it: "
            "use init='pretrained'"
        )
    if wants_file:
        load_pretrained(network, pretrained, whole=init != "trunk")
    elif init == "normal":
        init_normal(network)
    elif from_paper and network.supervision == "weak":
        init_xavier(network)


def load_pretrained(
    network: DolosNetwork, name_or_path: str | os.PathLike[str], *, whole: bool = True
) -> None:
    """Start a network from a file with an Xception, in place.

    Every tensor of the network's Xception must be in the file, but for a classifier of other
    classes and the counters of batch normalisation, which stay as they are; what the file has
    beyond the network is left out. An attention map is taken over where the file has one.

    Args:
        network: to fill.
        name_or_path: of the file.
        whole: whether the file must have all of the Xception, not only its first layers.

    Raises:
        WeightsError: or a subclass; the network is unchanged then.
    """
    path, card = find(name_or_path)
    state = load_state(path, sha256=None if card is None else card.sha256)
    state = native_state(state, detect_kind(state))
    own = network.state_dict()
    found = {k: v for k, v in state.items() if k in own and v.shape == own[k].shape}
    optional = ("xception.fc.", "head.", "map.")
    first = next(key for key in own if key.startswith("xception."))
    missing = [
        key
        for key in (own if whole else [first])
        if key not in found
        and not key.startswith(optional)
        and not key.endswith("num_batches_tracked")
    ]
    if missing:
        raise WeightsMismatchError(
            f"{path} holds no Xception that {network.name} can start from: {len(missing)} tensors "
            f"are missing or of another shape, such as {missing[0]}; give timm's or Cadene's "
            "ImageNet weights, FFD's xcp_reg.tar or a DOLOS checkpoint"
        )
    network.load_state_dict(own | found)


class XceptionFile(nn.Module):
    """A whole classifier under the keys that our networks use: what ImageNet weights fill."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.name = f"xception with {classes} classes"
        self.xception = Xception(classes=classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes)."""
        logits: Tensor = self.xception(x)
        return logits


def module_for(**options: Any) -> DolosNetwork | XceptionFile:
    """What a weights card of DOLOS describes and its file holds, freshly initialised.

    Args:
        options: ``classes``, for weights that only start other networks; or keys of
            `build_network`, of which ``init`` and ``pretrained`` do not matter here.

    Raises:
        UnknownNameError, ConfigError: see `build_network`.
    """
    if "classes" in options:
        return XceptionFile(int(options["classes"]))
    kept = {key: value for key, value in options.items() if key not in ("init", "pretrained")}
    return build_network({**kept, "init": "scratch"})


def network_for(
    name_or_path: str | os.PathLike[str], method: str
) -> tuple[DolosNetwork, LoadedWeights]:
    """A network with trained weights, for one of the six methods of the catalogue.

    Args:
        name_or_path: a name of the weights list, a file with its card, or a checkpoint of the
            official code: Patches, Attention, Grad-CAM, or FFD's ``xcp_reg.tar``.
        method: ``"dolos-patches"``, ``"dolos-patches-weak"``...

    Raises:
        WeightsError: not found, damaged, or for another method.
        UnknownNameError: no such name.
    """
    path, card = find(name_or_path)
    if card is not None:
        if not card.method.startswith("dolos"):
            raise WeightsError(f"{name_or_path} is for the method {card.method!r}, not {method}")
        network = module_for(**card.options)
    else:
        network = module_for(**_published(path, method))
    if isinstance(network, XceptionFile):
        raise WeightsError(
            f"{name_or_path} classifies objects: {method} can be trained from it "
            "(pretrained = this file), but not run with it"
        )
    if network.name != method:
        raise WeightsError(f"{name_or_path} was trained for {network.name}: run it as that method")
    return network, load_weights(network, name_or_path)


def _published(path: Path, method: str) -> dict[str, Any]:
    """Options of the network in a file without a card, as far as its keys tell them."""
    state = load_state(path)
    kind = detect_kind(state)
    options = {**METHODS[method], **published_options(state, kind)}
    if kind == "xception-imagenet":
        return {"classes": 1000}
    # Which of the two a checkpoint of Patches or Attention was trained as, its keys do not tell.
    fits = {
        "dolos-patches": ("dolos-patches", "dolos-patches-weak"),
        "ffd-xcp-reg": ("dolos-attention", "dolos-attention-weak"),
        "dolos-gradcam": ("dolos-gradcam",),
        "dolos-gradcam-weak": ("dolos-gradcam-weak",),
    }.get(kind)
    if fits is None:
        raise WeightsError(
            f"{path} has no card beside it and is no published DOLOS or FFD checkpoint: "
            "keep the .toml that was exported with it"
        )
    if method not in fits:
        raise WeightsError(f"{path} is a checkpoint for {' or '.join(fits)}, not for {method}")
    return options
