"""Published checkpoints into safetensors with a card beside them."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tamperscope.errors import WeightsError, WeightsNotFoundError, unknown
from tamperscope.weights.cards import WeightsCard, format_card, list_weights, sidecar
from tamperscope.weights.keys import detect_kind, native_state, published_options
from tamperscope.weights.load import check_state, load_state, sha256_of

_SCORED = re.compile(r"best_model_(\d+)_neg-loss=(-?\d+(?:\.\d+)?)\.pth?")


@dataclass(frozen=True, kw_only=True)
class ConvertReport:
    """What `convert` wrote."""

    path: Path
    card_path: Path
    card: WeightsCard


def _published() -> dict[str, WeightsCard]:
    return {card.kind: card for card in list_weights() if card.published_file is not None}


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
        source: A published file, as downloaded; see `load_state` for what is read. A folder of
            checkpoints named ``best_model_<epoch>_neg-loss=<score>.pt``, as DOLOS's training leaves
            them, stands for the one with the highest score.
        target: The file to write, ``.safetensors``; its card becomes ``.toml``.
        build: Makes a network from ``(card.backbone, **card.options)``:
            `tamperscope.catalog.build_network`. It is called on the meta device, so it costs no
            memory.
        kind: A published card's kind, or ``"auto"`` to tell from the keys. Patches trained from
            labels have the keys of those trained from masks: only ``"dolos-patches-weak"`` tells.
        overwrite: Replace existing files.

    Raises:
        WeightsMismatchError: naming the keys that are missing, unexpected or mis-shaped.
        WeightsError: or a subclass: the source cannot be read, its kind is not known, or the target
            exists or is not named ``.safetensors``.
        UnknownNameError: no such kind.
    """
    source, target = best_checkpoint(source), Path(target)
    _check_target(target, overwrite)
    state = load_state(source)
    published = _published()[_choose_kind(kind, state, source)]
    options = {**published.options, **published_options(state, published.kind)}
    state = native_state(state, published.kind)
    with torch.device("meta"):
        network = build(published.backbone, **options)
    check_state(network, state, what=str(source))
    _write_tensors(state, target)
    card = WeightsCard(
        name=target.stem,
        summary=f"{published.summary}; converted from {source.name}",
        method=published.method,
        kind=published.kind,
        backbone=published.backbone,
        options=options,
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


def best_checkpoint(source: str | os.PathLike[str]) -> Path:
    """A file as it is; of a folder, the checkpoint whose name states the highest score.

    Raises:
        WeightsNotFoundError: a folder without files named ``best_model_<epoch>_neg-loss=<score>``.
    """
    path = Path(source)
    if not path.is_dir():
        return path
    scored = [
        (float(found[2]), int(found[1]), file)
        for file in sorted(path.iterdir())
        if (found := _SCORED.fullmatch(file.name))
    ]
    if not scored:
        raise WeightsNotFoundError(
            f"{path} is a folder without files named best_model_<epoch>_neg-loss=<score>.pt: name "
            "the weights file in it"
        )
    return max(scored)[2]


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
