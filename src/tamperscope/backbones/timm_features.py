"""Any timm network that can give feature maps, as a backbone: ``timm:<model>``."""

import difflib
import math
from typing import Any

import timm
import torch
from torch import Tensor

from tamperscope.backbones.base import Backbone
from tamperscope.errors import ConfigError, UnknownNameError, WeightsNotFoundError

# How timm's families are told to take pictures of any size; each refuses the others' words.
_ANY_SIZE: tuple[dict[str, Any], ...] = ({"dynamic_img_size": True}, {"strict_img_size": False}, {})


def _build(model: str, *, pretrained: bool, **options: Any) -> Any:
    """timm's features-only network; tells a wrong option from a missing download."""
    config: Any = timm.get_pretrained_cfg(model)
    if pretrained and not (config and config.has_weights):
        raise WeightsNotFoundError(
            f"timm has no pretrained weights for {model}: leave out pretrained=True"
        )
    for any_size in _ANY_SIZE:
        try:
            return timm.create_model(
                model, pretrained=pretrained, features_only=True, **any_size, **options
            )
        except TypeError as error:
            if any(key in str(error) for key in any_size):
                continue
            raise ConfigError(f"timm:{model} does not take these options: {error}") from error
        except OSError as error:
            raise WeightsNotFoundError(
                f"pretrained weights of timm:{model} could not be downloaded ({error}): "
                "connect to the network once, or leave out pretrained=True"
            ) from error
    raise AssertionError("unreachable: the last attempt adds no option")


def _unknown_model(model: str) -> UnknownNameError:
    close = difflib.get_close_matches(model, timm.list_models(), n=3)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    return UnknownNameError(f"unknown timm model {model!r}; {hint}timm.list_models() has them all")


def _levels(model: str, options: dict[str, Any]) -> list[dict[str, Any]]:
    with torch.device("meta"):
        info: list[dict[str, Any]] = _build(model, pretrained=False, **options).feature_info.info
    return info


def _choose_level(model: str, levels: list[dict[str, Any]], level: int | None) -> int:
    strides = [int(entry["reduction"]) for entry in levels]
    if level is None:
        finest = min((stride for stride in strides if stride >= 4), default=max(strides))
        return max(index for index, stride in enumerate(strides) if stride == finest)
    if not -len(levels) <= level < len(levels):
        raise ConfigError(
            f"timm:{model} has levels 0..{len(levels) - 1} with strides {strides}, not {level}"
        )
    return level % len(levels)


class TimmBackbone(Backbone):
    """One feature level of a timm network, convolutional or transformer.

    Args:
        model: timm's model name, for example ``hrnet_w18``, ``convnext_tiny``,
            ``vit_small_patch16_dinov3``.
        level: Which of timm's feature levels, negative from the end. By default the finest one of
            stride 4 or more, and of several with that stride the deepest: levels finer than 4 are
            only a stem, and all levels of a plain ViT have one stride.
        pretrained: Load timm's weights. The first use of a model downloads them, so it needs the
            network; everything else here works without.
        normalize: Subtract the model's own mean and divide by its standard deviation first. By
            default exactly when ``pretrained``, because those weights expect it.
        **options: Passed to timm, for example ``drop_path_rate=0.1``.

    Sides that do not divide by the network's coarsest stride are mirrored up to it. A few
    families (MLP-Mixer, MaxViT) take only the size they were made for, and say so.

    Raises:
        UnknownNameError: timm has no such model.
        ConfigError: no such level, an option that timm refuses, or, in `forward`, a size.
        WeightsNotFoundError: pretrained weights do not exist or cannot be downloaded.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        model: str,
        *,
        level: int | None = None,
        pretrained: bool = False,
        normalize: bool | None = None,
        **options: Any,
    ) -> None:
        if not timm.is_model(model):
            raise _unknown_model(model)
        levels = _levels(model, options)
        chosen = _choose_level(model, levels, level)
        super().__init__(
            name=f"timm:{model}",
            stride=int(levels[chosen]["reduction"]),
            channels=int(levels[chosen]["num_chs"]),
            multiple=math.lcm(*(int(entry["reduction"]) for entry in levels)),
        )
        self.level = chosen
        self.net: Any = _build(model, pretrained=pretrained, out_indices=(chosen,), **options)
        self.normalize = pretrained if normalize is None else normalize
        config: Any = timm.get_pretrained_cfg(model)
        mean, std = (config.mean, config.std) if config else ((0.5,) * 3, (0.5,) * 3)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def features(self, x: Tensor) -> Tensor:
        if self.normalize:
            x = (x - self.mean) / self.std
        try:
            features: Tensor = self.net(x)[0]
        except AssertionError as error:
            raise ConfigError(
                f"{self.name} does not take pictures of {tuple(x.shape[2:])} ({error}): "
                "resize them, pass img_size, or choose a network without a fixed size"
            ) from error
        if str(getattr(self.net, "output_fmt", "NCHW")).endswith("NHWC"):
            return features.permute(0, 3, 1, 2)
        return features
