"""Published checkpoints into safetensors with a card beside them."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tamperscope.errors import WeightsError, unknown
from tamperscope.weights.cards import WeightsCard, format_card, list_weights, sidecar
from tamperscope.weights.keys import detect_kind, native_state
from tamperscope.weights.load import check_state, load_state, sha256_of


@dataclass(frozen=True, kw_only=True)
class ConvertReport:
    """What `convert` wrote."""

    path: Path
    card_path: Path
    card: WeightsCard


def _published() -> dict[str, WeightsCard]:
    return {card.kind: card for card in list_weights() if not card.shipped}


def _choose_kind(kind: str, state: dict[str, Tensor], source: Path) -> str:
    known = _published()
    if kind == "auto":
        kind = detect_kind(state)
        if kind not in known:
            first = ", ".join(list(state)[:4])
            raise WeightsError(
                f"{source} is no checkpoint this knows (first keys: {first}): "
                f"expected one of {', '.join(known)}"
            )
    if kind not in known:
        raise unknown("kind of checkpoint", kind, ["auto", *known])
    return kind


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    build: Callable[..., nn.Module],
    kind: str = "auto",
    overwrite: bool = False,
) -> ConvertReport:
    """Write a published checkpoint as safetensors under our keys, with a card beside it.

    The file must hold every tensor of its network in the right shape; nothing is written otherwise.
    Values are kept, half precision as float32. The card has no date: the same source gives the same
    two files.

    Args:
        source: A published file, as downloaded; see `load_state` for what is read.
        target: The file to write, ``.safetensors``; its card becomes ``.toml``.
        build: Makes a network from ``(card.backbone, **card.options)``:
            `tamperscope.backbones.create_backbone`. It is called on the meta device, so it costs
            no memory.
        kind: ``"focal-hrnet"``, ``"focal-vit"``, or ``"auto"`` to tell from the keys.
        overwrite: Replace existing files.

    Raises:
        WeightsMismatchError: naming the keys that are missing, unexpected or mis-shaped.
        WeightsError: or a subclass: the source cannot be read, its kind is not known, or the target
            exists or is not named ``.safetensors``.
        UnknownNameError: no such kind.
    """
    source, target = Path(source), Path(target)
    _check_target(target, overwrite)
    state = load_state(source)
    published = _published()[_choose_kind(kind, state, source)]
    state = native_state(state, published.kind)
    with torch.device("meta"):
        network = build(published.backbone, **published.options)
    check_state(network, state, what=str(source))
    _write_tensors(state, target)
    card = WeightsCard(
        name=target.stem,
        summary=f"{published.summary}; converted from {source.name}",
        method=published.method,
        kind=published.kind,
        backbone=published.backbone,
        options=published.options,
        preprocessing=published.preprocessing,
        source=published.source,
        data=published.data,
        terms=published.terms,
        sha256=sha256_of(target),
        bytes=target.stat().st_size,
        keys=len(state),
        source_sha256=sha256_of(source),
    )
    sidecar(target).write_text(format_card(card), encoding="utf-8")
    return ConvertReport(path=target, card_path=sidecar(target), card=card)


def _check_target(target: Path, overwrite: bool) -> None:
    if target.suffix != ".safetensors":
        raise WeightsError(f"{target} must be named .safetensors")
    if not target.parent.is_dir():
        raise WeightsError(f"there is no folder {target.parent} to write into: make it first")
    taken = [path for path in (target, sidecar(target)) if path.exists()]
    if taken and not overwrite:
        raise WeightsError(f"{taken[0]} exists already: choose another name, or overwrite it")


def _write_tensors(state: dict[str, Tensor], target: Path) -> None:
    """Through a temporary neighbour, so that an interrupted run leaves no half a file."""
    partial = target.with_name(target.name + ".part")
    try:
        save_file({key: value.contiguous() for key, value in state.items()}, partial)
        partial.replace(target)
    except OSError as error:
        raise WeightsError(f"{target} cannot be written: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
