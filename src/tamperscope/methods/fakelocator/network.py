"""The network of FakeLocator: an encoder and decoder of segmentation_models_pytorch that regress a
fakeness map, a label from the encoder's features, and attention multiplied into one of its stages.
"""

import contextvars
import inspect
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tamperscope.errors import ConfigError, WeightsError, WeightsMismatchError, unknown
from tamperscope.face_parsing.attention import DEFAULT_WEIGHTS, part_weights
from tamperscope.weights import (
    LoadedWeights,
    find,
    list_weights,
    load_state,
    load_weights,
)

Attention = Literal["none", "parts"]
AttentionMode = Literal["multiply", "residual"]

INPUT_SIZE = 256
STRIDE = 32
_UNET_WIDTHS = (256, 128, 64, 32, 16)

_DEFAULTS: dict[str, Any] = {
    "architecture": "deeplabv3plus",
    "encoder": "resnet50",
    "encoder_depth": 5,
    "encoder_weights": "",
    "decoder_channels": (),
    "attention": "parts",
    "attention_stage": 1,
    "attention_mode": "multiply",
    "attention_weights": dict(DEFAULT_WEIGHTS),
}


class FakeLocatorNetwork(nn.Module):
    """Fakeness map, label and embedding of faces.

    Args:
        segmentation: a model of segmentation_models_pytorch with one class.
        values: every option of `build_network`.

    Attributes:
        input_size: side in pixels of the pictures it was designed for; others work too.
        uses_attention: whether `forward` does anything with an attention map.
        attention_weights: part or region -> weight, for `tamperscope.face_parsing.attention`.
    """

    input_size = INPUT_SIZE
    name = "fakelocator"

    def __init__(self, segmentation: nn.Module, values: Mapping[str, Any]) -> None:
        super().__init__()
        self.encoder = cast(nn.Module, segmentation.encoder)
        _drop_unused(self.encoder)
        self.decoder = cast(nn.Module, segmentation.decoder)
        self.map_head = cast(nn.Module, segmentation.segmentation_head)
        channels = cast(Sequence[int], self.encoder.out_channels)
        self.label_head = nn.Linear(2 * channels[-1], 2)
        self.uses_attention = values["attention"] == "parts"
        self.attention_weights: dict[str, float] = dict(values["attention_weights"])
        if self.uses_attention:
            gate = _multiply if values["attention_mode"] == "multiply" else _multiply_residual
            _stage_module(self.encoder, values).register_forward_hook(gate)

    def forward(self, x: Tensor, attention: Tensor | None = None) -> dict[str, Tensor]:
        """Map and label of a batch.

        Args:
            x: floating point (B, 3, h, w) in [-1, 1]; see `tamperscope.methods.fakelocator
                .preprocess`.
            attention: (B, 1, h, w) in [0, 1]; None is the same as one everywhere. Networks without
                attention ignore it.

        Returns:
            ``map_logits`` (B, 1, h, w): the sigmoid is the fakeness; ``label_logits`` (B, 2) of
            real and fake; ``embedding`` (B, D): means and maxima over places of the encoder's last
            features. The mean alone drowns a small region.
        """
        h, w = x.shape[-2:]
        padding = (0, -w % STRIDE, 0, -h % STRIDE)
        padded = F.pad(x, padding, mode="replicate") if any(padding) else x
        features = self._encode(padded, attention, padding)
        last = features[-1]
        embedding = torch.cat([last.mean((2, 3)), last.amax((2, 3))], dim=1)
        map_logits = self.map_head(self.decoder(features))
        if map_logits.shape[-2:] != padded.shape[-2:]:
            map_logits = F.interpolate(map_logits, size=padded.shape[-2:], mode="bilinear")
        return {
            "map_logits": map_logits[..., :h, :w],
            "label_logits": self.label_head(embedding),
            "embedding": embedding,
        }

    def _encode(
        self, x: Tensor, attention: Tensor | None, padding: tuple[int, ...]
    ) -> list[Tensor]:
        if not self.uses_attention:
            features: list[Tensor] = self.encoder(x)
            return features
        if attention is None:
            attention = x.new_ones((x.shape[0], 1, *x.shape[-2:]))
        elif any(padding):
            attention = F.pad(attention, padding, mode="replicate")
        token = _ATTENTION.set(attention)
        try:
            features = self.encoder(x)
        finally:
            _ATTENTION.reset(token)
        return features


# A hook reads it instead of an argument: the encoders are not ours. A context variable, so that
# threads sharing a network do not see each other's.
_ATTENTION: contextvars.ContextVar[Tensor | None] = contextvars.ContextVar(
    "attention", default=None
)


def _multiply(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
    attention = _ATTENTION.get()
    return output if attention is None else output * _resized(attention, output)


def _multiply_residual(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
    attention = _ATTENTION.get()
    return output if attention is None else output * (1 + _resized(attention, output))


def _resized(attention: Tensor, like: Tensor) -> Tensor:
    # Reduced by averaging, so that parts smaller than a cell keep their share of it.
    resized = F.interpolate(
        attention.float(), size=like.shape[-2:], mode="bilinear", antialias=True
    )
    return resized.to(like.dtype)


def build_network(config: Mapping[str, Any]) -> FakeLocatorNetwork:
    """A network with its starting weights, in training mode, from plain values.

    Args:
        config: ``architecture``: a name of segmentation_models_pytorch, such as
            ``"deeplabv3plus"`` (default), ``"unet"``, ``"fpn"``, ``"linknet"``.
            ``encoder``: a name of one of its encoders (default ``"resnet50"``).
            ``encoder_depth``: number of halvings of the resolution, up to 5 (default).
            ``encoder_weights``: ``""`` (default) for random weights; a name of our weights list or
            a weights file whose network begins with this encoder, such as ``"dolos-patches"`` for
            ``encoder="xception"`` and ``encoder_depth=3``; or a name such as ``"imagenet"``, which
            that library downloads.
            ``decoder_channels``: one number or one per step, as the architecture takes them; empty
            or 0 for its own.
            ``attention``: ``"parts"`` (default) or ``"none"``.
            ``attention_stage``: where it is multiplied in: stage s has a stride of 2^(s+1), so that
            1 (default) is behind the first residual stage of a ResNet and 0 behind its stem.
            ``attention_mode``: ``"multiply"`` (F A, default) or ``"residual"`` (F (1 + A)).
            ``attention_weights``: part or region -> weight; see
            `tamperscope.face_parsing.attention.part_weights`.

    Random weights are drawn from PyTorch's global generator.

    Raises:
        UnknownNameError: another key, architecture, encoder, part or region.
        ConfigError: a value that cannot be.
        WeightsError: or a subclass: weights of ours that do not fit the encoder.
    """
    for key in config:
        if key not in _DEFAULTS:
            raise unknown("option of the fakelocator network", key, _DEFAULTS)
    values = _DEFAULTS | dict(config)
    for key, kind in (("attention", Attention), ("attention_mode", AttentionMode)):
        if values[key] not in get_args(kind):
            known = ", ".join(get_args(kind))
            raise ConfigError(f"fakelocator has no {key} {values[key]!r}; known: {known}")
    depth = values["encoder_depth"]
    if type(depth) is not int or not 1 <= depth <= 5:
        raise ConfigError(f"fakelocator: encoder_depth must be from 1 to 5, not {depth!r}")
    part_weights(values["attention_weights"])
    ours = _is_ours(values["encoder_weights"])
    network = FakeLocatorNetwork(_segmentation(values, download=not ours), values)
    if ours:
        _start_encoder(network.encoder, values["encoder_weights"])
    return network


def _is_ours(weights: str) -> bool:
    return weights in {card.name for card in list_weights()} or os.path.isfile(weights)


def _start_encoder(encoder: nn.Module, name_or_path: str) -> None:
    """Fill an encoder, in place, with the network of ours that begins with the same layers."""
    path, card = find(name_or_path)
    state = load_state(path, sha256=None if card is None else card.sha256)
    own = encoder.state_dict()
    prefixes = {"", *(key.partition(".")[0] + "." for key in state)}
    for prefix in sorted(prefixes):
        found = {key: state.get(prefix + key) for key in own}
        if all(v is not None and v.shape == own[key].shape for key, v in found.items()):
            encoder.load_state_dict(cast(Mapping[str, Any], found))
            return
    raise WeightsMismatchError(
        f"{name_or_path} does not begin with this encoder: choose the encoder and encoder_depth "
        "that it was trained with, such as xception and 3 for dolos-patches, or encoder_weights=''"
    )


def _segmentation(values: Mapping[str, Any], *, download: bool) -> nn.Module:
    import segmentation_models_pytorch as smp

    architectures = smp.MODEL_ARCHITECTURES_MAPPING
    name, encoder = str(values["architecture"]).lower(), str(values["encoder"])
    if name not in architectures:
        raise unknown("segmentation architecture", name, architectures)
    if not encoder.startswith("tu-") and encoder not in smp.encoders.encoders:
        raise unknown("segmentation encoder", encoder, smp.encoders.encoders)
    model = architectures[name]
    options = _decoder_options(model, values)
    try:
        built: nn.Module = model(
            encoder_name=encoder,
            encoder_depth=values["encoder_depth"],
            encoder_weights=(values["encoder_weights"] or None) if download else None,
            classes=1,
            **options,
        )
    except OSError as error:
        raise ConfigError(
            f"fakelocator: the weights {values['encoder_weights']!r} of {encoder} could not be "
            "downloaded: check the connection, or start from encoder_weights=''"
        ) from error
    except (ValueError, RuntimeError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"fakelocator: {name} with encoder {encoder} and depth {values['encoder_depth']} "
            f"cannot be built ({reason}): choose another encoder, depth or decoder_channels"
        ) from error
    return built


def _decoder_options(model: type, values: Mapping[str, Any]) -> dict[str, Any]:
    given = values["decoder_channels"]
    known = inspect.signature(model.__init__).parameters  # type: ignore[misc]
    if "decoder_channels" not in known:
        if given:
            raise ConfigError(
                f"fakelocator: {values['architecture']} has no decoder_channels: leave them out"
            )
        return {}
    per_step = not isinstance(known["decoder_channels"].default, int)
    if not given:
        return {"decoder_channels": _UNET_WIDTHS[-values["encoder_depth"] :]} if per_step else {}
    widths = [given] if isinstance(given, int) else list(given)
    if per_step:
        return {"decoder_channels": tuple(widths)}
    if len(widths) != 1:
        raise ConfigError(
            f"fakelocator: {values['architecture']} takes one number of decoder_channels, "
            f"not {widths}"
        )
    return {"decoder_channels": widths[0]}


def _stage_module(encoder: nn.Module, values: Mapping[str, Any]) -> nn.Module:
    """The module of an encoder whose output is the feature of a stage."""
    stage, depth = values["attention_stage"], values["encoder_depth"]
    if type(stage) is not int or not 0 <= stage < depth:
        raise ConfigError(
            f"fakelocator: attention_stage must be from 0 to {depth - 1}, not {stage!r}"
        )
    with _evaluating(encoder):
        found = _find(encoder, stage + 1)
    if found is None:
        raise ConfigError(
            f"fakelocator: {values['encoder']} has no module that ends with stage {stage}: "
            "choose another attention_stage or encoder, or attention='none'"
        )
    return found


def _find(encoder: nn.Module, index: int) -> nn.Module | None:
    calls, features = _calls(encoder)
    feature = features[index]
    # Outer modules end after the inner ones that they return the output of.
    candidates = dict.fromkeys(m for m, output in reversed(calls) if output is feature)
    return next((m for m in candidates if _gates(encoder, m, index)), None)


def _gates(encoder: nn.Module, module: nn.Module, index: int) -> bool:
    """Whether nothing of the feature is left when the module's output is erased."""
    probe = _probe(encoder)
    if probe.is_meta:
        return True
    handle = module.register_forward_hook(lambda _m, _inputs, output: torch.zeros_like(output))
    try:
        return not bool(encoder(probe)[index].any())
    finally:
        handle.remove()


def _drop_unused(encoder: nn.Module) -> None:
    """Take the stages off an encoder that its depth never reaches, in place."""
    with _evaluating(encoder):
        calls, _ = _calls(encoder)
        used = {module for module, _ in calls}
        for name, child in list(encoder.named_children()):
            if used.isdisjoint(child.modules()):
                delattr(encoder, name)


def _calls(encoder: nn.Module) -> tuple[list[tuple[nn.Module, Any]], list[Tensor]]:
    """The modules inside an encoder with their outputs, in the order they end, and its features."""
    calls: list[tuple[nn.Module, Any]] = []
    handles = [
        module.register_forward_hook(lambda m, _inputs, output: calls.append((m, output)))
        for module in encoder.modules()
        if module is not encoder
    ]
    try:
        return calls, encoder(_probe(encoder))
    finally:
        for handle in handles:
            handle.remove()


def _probe(encoder: nn.Module) -> Tensor:
    device = next(encoder.parameters()).device
    return torch.linspace(-1, 1, 3 * 64 * 64, device=device).reshape(1, 3, 64, 64)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients, and every part back in its own mode afterwards."""
    training = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, mode in training.items():
            part.training = mode


def module_for(**options: Any) -> FakeLocatorNetwork:
    """What a weights card of FakeLocator describes, freshly initialised; nothing is downloaded.

    Raises:
        UnknownNameError, ConfigError: see `build_network`.
    """
    return build_network({**options, "encoder_weights": ""})


def network_for(
    name_or_path: str | os.PathLike[str],
) -> tuple[FakeLocatorNetwork, LoadedWeights]:
    """A network with trained weights.

    Args:
        name_or_path: a name of the weights list, or a file with its card beside it.

    Raises:
        WeightsError: not found, damaged, without a card, or for another method.
        UnknownNameError: no such name.
    """
    path, card = find(name_or_path)
    if card is None:
        raise WeightsError(
            f"{path} has no card beside it, so its network is unknown: "
            "keep the .toml that was exported with it"
        )
    if card.backbone != "fakelocator":
        raise WeightsError(f"{name_or_path} is for {card.method!r}, not for fakelocator")
    network = module_for(**card.options)
    return network, load_weights(network, name_or_path)
