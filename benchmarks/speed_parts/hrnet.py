"""FOCAL as published on a graphics card: HRNet-W32 at 1024 x 1024 and exact clustering."""

import dataclasses
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from engines_parts.turns import take_turns
from safetensors.torch import save_file

from speed_parts.pictures import Picture
from tamperscope import catalog
from tamperscope.backbones import create_backbone, preprocess
from tamperscope.errors import WeightsNotFoundError
from tamperscope.image import read_image
from tamperscope.weights import card_for
from tamperscope.weights.cards import format_card, sidecar

RELEASED = "focal-hrnet-released"
SIDE = 1024
PRECISIONS = ("fp32", "bf16")


def random_weights(path: Path, picture: Picture, *, side: int = SIDE) -> Path:
    """Random numbers for HRNet-W32, with the statistics of one picture in its batch norms: left as
    they are made, features would hardly differ from place to place."""
    card = card_for(RELEASED)
    if card is None:
        raise WeightsNotFoundError(f"no card {RELEASED}: reinstall tamperscope")
    torch.manual_seed(0)
    backbone = create_backbone(card.backbone, **card.options).train()
    for module in backbone.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean over what was seen
    x = preprocess(read_image(picture.data).pixels, "focal", size=side)[None]
    with torch.no_grad():
        backbone(x)
    save_file(backbone.state_dict(), path)
    notes = {"kind": "native", "terms": "random numbers", "data": "none", "source": ""}
    named = dataclasses.replace(card, name="random numbers", published_file=None, **notes)
    sidecar(path).write_text(format_card(named), encoding="utf-8")
    return path


def measure_hrnet(
    pictures: Sequence[Picture],
    weights: Path,
    repeats: int,
    *,
    device: str,
    settle: Callable[[], None],
    **settings: Any,
) -> dict[str, Any]:
    """Precision -> pictures per second of `localize`, preset ``as-published``, and the seconds of
    its stages; precisions take turns on every picture.

    Args:
        settings: of the method, in place of the preset's.
    """
    localizers = {
        precision: catalog.load(
            "focal",
            preset="as-published",
            weights=weights,
            device=device,
            precision=precision,
            **settings,
        )
        for precision in PRECISIONS
    }
    seconds: dict[str, list[list[float]]] = {name: [] for name in localizers}
    stages: dict[str, list[dict[str, float]]] = {name: [] for name in localizers}
    for picture in pictures:
        results, taken = take_turns(localizers, picture.data, repeats, settle=settle)
        for name, result in results.items():
            seconds[name].append(taken[name])
            stages[name].append(result.provenance.seconds)
    return {name: _numbers(seconds[name], stages[name]) for name in localizers}


def _numbers(
    seconds: Sequence[Sequence[float]], stages: Sequence[dict[str, float]]
) -> dict[str, Any]:
    means = [statistics.fmean(turn) for turn in zip(*seconds, strict=True)]
    return {
        "pictures_per_second": 1 / statistics.median(means),
        "seconds": statistics.median(means),
        "repeats": len(means),
        "pictures": len(seconds),
        "stages_of_the_last_round": {
            stage: statistics.fmean(one[stage] for one in stages) for stage in stages[0]
        },
    }
