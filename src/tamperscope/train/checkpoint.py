"""Checkpoints that survive a kill at any moment, and the export of finished weights.

A run folder holds::

    recipe.json                          the resolved recipe
    environment.json                     versions, device, commit
    log.jsonl                            one line per log interval and per validation
    checkpoints/samples-000000012800/    everything needed to go on: network.safetensors,
                                         ema.safetensors (with an average), state.pt
    best.safetensors                     weights of the best validation so far
    tensorboard/                         events, when TensorBoard is installed

A checkpoint folder is written under another name and renamed when complete, so one that has its
final name is whole. ``state.pt`` holds tensors and plain values only and is read with
``weights_only=True``.
"""

import json
import os
import pickle
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from tamperscope.errors import ConfigError, TrainingError
from tamperscope.train.card_details import card_details
from tamperscope.weights import WeightsCard, card_for, load_state, sha256_of
from tamperscope.weights.cards import format_card, sidecar

FOLDER = "checkpoints"
BEST = "best.safetensors"
_NETWORK, _EMA, _STATE = "network.safetensors", "ema.safetensors", "state.pt"
_PREFIX = "samples-"
_REPLACED = "-replaced"

Weights = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a checkpoint folder holds; tensors are on the CPU."""

    network: Weights
    ema: Weights | None
    state: dict[str, Any]


def save_checkpoint(
    run_dir: Path, *, samples: int, network: Weights, ema: Weights | None, state: Mapping[str, Any]
) -> Path:
    """Write a complete checkpoint and return its folder.

    Args:
        run_dir: the run folder.
        samples: samples done; names the checkpoint.
        network, ema: weights by name.
        state: tensors, numbers, strings, lists and dicts of these.
    """
    final = run_dir / FOLDER / f"{_PREFIX}{samples:012d}"
    partial = final.with_name(f"partial-{final.name}-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    _save_weights(partial / _NETWORK, network)
    if ema is not None:
        _save_weights(partial / _EMA, ema)
    torch.save(dict(state), partial / _STATE)
    for file in partial.iterdir():
        _flush(file)
    # Renamed, and removed when the new one is in its place: `checkpoints` finds it after a kill in
    # between.
    old = _set_aside(final, _REPLACED) if final.exists() else None
    partial.rename(final)
    _flush(final.parent)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)
    return final


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint folder.

    Raises:
        TrainingError: it is not one, or it is damaged.
    """
    try:
        state = torch.load(folder / _STATE, map_location="cpu", weights_only=True)
        ema = load_file(folder / _EMA) if (folder / _EMA).exists() else None
        return Checkpoint(network=load_file(folder / _NETWORK), ema=ema, state=state)
    except FileNotFoundError as error:
        raise TrainingError(
            f"{folder} is not a training checkpoint ({Path(str(error.filename)).name} is missing);"
            f" give a folder like <run>/{FOLDER}/{_PREFIX}000000012800"
        ) from error
    except (pickle.UnpicklingError, EOFError) as error:
        # torch's own message advises loading it unsafely.
        raise TrainingError(
            f"cannot read the checkpoint {folder}: {_STATE} is damaged or holds more than tensors"
            " and plain values; resume from an older one"
        ) from error
    except (OSError, RuntimeError, SafetensorError) as error:
        first = str(error).splitlines()[0]
        raise TrainingError(
            f"cannot read the checkpoint {folder}: {first}; resume from an older one"
        ) from error


def checkpoints(run_dir: Path) -> list[Path]:
    """Complete checkpoints of a run, oldest first.

    One that a kill left between its old name and its successor's gets the name back.
    """
    for aside in (run_dir / FOLDER).glob(f"partial-{_PREFIX}*{_REPLACED}"):
        final = aside.with_name(aside.name.removeprefix("partial-").removesuffix(_REPLACED))
        if not final.exists():
            aside.rename(final)
    return sorted((run_dir / FOLDER).glob(f"{_PREFIX}*"))


def prune(run_dir: Path, keep: int) -> None:
    """Remove all but the newest ``keep`` checkpoints and what interrupted writes left."""
    for folder in checkpoints(run_dir)[:-keep]:
        _discard(folder)
    for leftover in (run_dir / FOLDER).glob("partial-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def save_best(run_dir: Path, weights: Weights, notes: Mapping[str, Any]) -> None:
    """Replace ``best.safetensors`` in one move; ``notes`` go into its header as JSON."""
    write_weights(run_dir / BEST, weights, {"training": json.dumps(dict(notes))})


def write_weights(path: Path, weights: Weights, header: Mapping[str, str]) -> None:
    """Write a safetensors file that is never seen half written."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    _save_weights(partial, weights, header)
    _flush(partial)
    partial.replace(path)


def write_text(path: Path, text: str) -> None:
    """Write a text file that is never seen half written."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def plain(weights: Mapping[str, Tensor]) -> Weights:
    """Detached contiguous CPU copies: what safetensors can store whatever the memory layout."""
    return {name: value.detach().cpu().contiguous().clone() for name, value in weights.items()}


# --------------------------------------------------------------------------- export


def export_weights(
    run_dir: str | Path,
    out: str | Path,
    *,
    dtype: str = "float16",
    card_fields: Mapping[str, Any] | None = None,
    which: str = "best",
    average: str | Path | None = None,
    share: float = 0.5,
) -> Path:
    """Turn a run's weights into one file to ship, with a card beside it (``out`` with ``.toml``).

    Floating-point parameters are stored as ``dtype``. Buffers keep their type: batch-norm
    variances can lie outside the range of half precision and cost next to nothing. The file's
    header carries the recipe and the training notes as JSON.

    Args:
        run_dir: a run folder.
        out: the ``.safetensors`` file to write.
        dtype: ``float16``, ``bfloat16`` or ``float32``.
        card_fields: fields of the card (`WeightsCard`) that only a person knows (name, data,
            terms, ...); they replace computed ones of the same name.
        which: ``best`` (``best.safetensors``), ``latest`` (averaged weights of the newest
            checkpoint, raw ones when the run has no average) or ``latest-raw``.
        average: a weights file of the same network, mostly the one the run started from: its
            weights are averaged with the run's, as in Wortsman et al., "Robust fine-tuning of
            zero-shot models" (2022).
        share: of the run's weights in that average, in (0, 1].

    Returns:
        The path of the card.

    Raises:
        ConfigError: unknown ``dtype`` or ``which``, or a share outside (0, 1].
        TrainingError: the run has no such weights yet, or those to average are of another network.
    """
    run_dir, out = Path(run_dir), Path(out)
    kinds = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
    if dtype not in kinds:
        raise ConfigError(f"cannot export as {dtype!r}; known: {', '.join(kinds)}")
    if not 0 < share <= 1:
        raise ConfigError(f"share {share}: give a part of one, above 0")
    weights, notes = _pick(run_dir, which)
    if average is not None:
        card = card_for(average)
        other = load_state(average, sha256=None if card is None else card.sha256)
        weights = _averaged(weights, other, share)
        notes = {**notes, "averaged_with": sha256_of(average), "share": share}
    recipe_file = run_dir / "recipe.json"
    if not recipe_file.is_file():
        raise TrainingError(f"{run_dir} is not a run folder: it has no recipe.json")
    recipe = json.loads(recipe_file.read_text(encoding="utf-8"))
    buffers = set(notes.get("buffers", ()))
    cast = {
        name: value.to(kinds[dtype]) if value.is_floating_point() and name not in buffers else value
        for name, value in weights.items()
    }
    public = {k: v for k, v in notes.items() if k != "buffers"}
    header = {"recipe": json.dumps(without_folders(recipe)), "training": json.dumps(public)}
    out.parent.mkdir(parents=True, exist_ok=True)
    write_weights(out, cast, header)
    fields = _card(out, run_dir, recipe, public, len(cast)) | dict(card_fields or {})
    try:
        card = WeightsCard(**fields)
    except TypeError as error:
        raise ConfigError(f"card_fields: {error}; see tamperscope.weights.WeightsCard") from error
    path = sidecar(out)
    write_text(path, format_card(card))
    return path


def without_folders(value: Any) -> Any:
    """A recipe as plain values, its absolute paths cut down to their last part: a file that is
    given away must not tell how the folders of a machine are called.
    """
    if isinstance(value, Mapping):
        return {key: without_folders(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(one) for one in value]
    if not isinstance(value, str):
        return value
    kinds = (PurePosixPath(value), PureWindowsPath(value))
    return next((path.name for path in kinds if path.is_absolute()), value)


def _averaged(weights: Weights, others: Mapping[str, Tensor], share: float) -> Weights:
    """``share`` of the first and the rest of the second; whole numbers are the first's."""
    apart = [k for k, v in weights.items() if k not in others or others[k].shape != v.shape]
    if apart or len(others) != len(weights):
        named = apart or sorted(set(others) - set(weights))
        raise TrainingError(
            f"the weights to average with are of another network ({', '.join(named[:3])}): give a "
            "file of the network that was trained"
        )
    return {
        k: torch.lerp(others[k].to(v.dtype), v, share) if v.is_floating_point() else v
        for k, v in weights.items()
    }


def _pick(run_dir: Path, which: str) -> tuple[Weights, dict[str, Any]]:
    if which == "best":
        path = run_dir / BEST
        if not path.is_file():
            raise TrainingError(
                f"{run_dir} has no {BEST}: no validation has run yet; export which='latest'"
            )
        with safe_open(path, framework="pt") as file:
            notes = json.loads(file.metadata()["training"])
        return load_file(path), notes
    if which not in ("latest", "latest-raw"):
        raise ConfigError(f"cannot export {which!r}; known: best, latest, latest-raw")
    found = checkpoints(run_dir)
    if not found:
        raise TrainingError(f"{run_dir} has no checkpoint to export; train first")
    checkpoint = load_checkpoint(found[-1])
    state = checkpoint.state
    notes = {"samples": state["samples"], "steps": state["steps"], "buffers": state["buffers"]}
    averaged = checkpoint.ema if which == "latest" else None
    return averaged or checkpoint.network, notes


def _card(
    out: Path, run_dir: Path, recipe: Mapping[str, Any], notes: Mapping[str, Any], keys: int
) -> dict[str, Any]:
    environment = run_dir / "environment.json"
    about = json.loads(environment.read_text("utf-8")) if environment.is_file() else {}
    return {
        "name": out.stem,
        "kind": "native",
        "terms": "those of the photos",
        "file": None,
        "sha256": sha256_of(out),
        "bytes": out.stat().st_size,
        "keys": keys,
        "recipe": str(about.get("recipe") or "in the file's header"),
        "commit": str(about.get("commit") or ""),
        "numbers": {k: float(v) for k, v in notes.get("metrics", {}).items() if "/" not in k},
        **card_details(recipe, int(notes.get("samples", 0))),
    }


# --------------------------------------------------------------------------- files


def _save_weights(path: Path, weights: Weights, header: Mapping[str, str] | None = None) -> None:
    save_file(plain(weights), path, metadata={"format": "pt", **(header or {})})
    # safetensors makes its files private; a run folder follows the user's umask like any other.
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(0o666 & ~umask)


def _flush(path: Path) -> None:
    """Make sure the bytes are on disk before the rename that announces them."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _set_aside(folder: Path, ending: str) -> Path:
    aside = folder.with_name(f"partial-{folder.name}{ending}")
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)
    return aside


def _discard(folder: Path) -> None:
    # Renamed first: a kill in the middle must not leave a half-removed folder with a valid name.
    shutil.rmtree(_set_aside(folder, "-old"), ignore_errors=True)
