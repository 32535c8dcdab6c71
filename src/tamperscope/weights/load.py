"""Weights files into networks: hash first, run nothing, account for every key, write nothing."""

import hashlib
import os
import pickle
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from tamperscope.errors import (
    UnsafeWeightsError,
    WeightsError,
    WeightsHashError,
    WeightsMismatchError,
    WeightsNotFoundError,
)
from tamperscope.weights.cards import WeightsCard, find
from tamperscope.weights.keys import detect_kind, native_state

WRAPPERS = ("state_dict", "model", "net")
_SHOWN = 4


def sha256_of(path: str | os.PathLike[str]) -> str:
    """sha256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_state(path: str | os.PathLike[str], *, sha256: str | None = None) -> dict[str, Tensor]:
    """The tensors of a weights file, on the CPU, by the keys it uses.

    Reads safetensors and PyTorch files, told apart by their content. PyTorch files are read with
    ``weights_only``, so that nothing stored in them runs, and wrapping dicts under
    ``state_dict``, ``model`` or ``net`` are taken off. Half-precision tensors come back as float32.

    Args:
        path: The file.
        sha256: Expected hash; checked before anything is parsed. None or empty checks nothing.

    Raises:
        WeightsNotFoundError: no such file.
        WeightsHashError: the hash differs.
        UnsafeWeightsError: loading would execute code.
        WeightsError: empty, truncated, a web page, or anything else that is not weights.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsNotFoundError(f"no weights file {path}: check the path")
    if sha256:
        _check_hash(path, sha256, found=sha256_of(path))
    return {key: _upcast(tensor) for key, tensor in _read(path).items()}


def _upcast(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _check_hash(path: Path, expected: str, *, found: str) -> None:
    if found != expected.lower():
        raise WeightsHashError(
            f"{path} has sha256 {found[:12]}..., its card says {expected[:12]}...: "
            "the file was changed or damaged; download or convert it again"
        )


def _read(path: Path) -> dict[str, Tensor]:
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise WeightsError(f"{path} is empty (0 bytes): download it again")
    # The first eight bytes of safetensors are a length: as text they would be a gigantic one.
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size:
        return _read_safetensors(path, size)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
        raise WeightsError(
            f"{path} is a web page, not weights: the download link answered with a page; "
            "open it in a browser, confirm the download and save the file itself"
        )
    if head[8:9] == b"{":
        return _read_safetensors(path, size)
    if head[:4] == b"PK\x03\x04" or head[:1] == b"\x80":
        return _read_torch(path, size)
    raise WeightsError(
        f"{path} is neither a safetensors nor a PyTorch file ({size} bytes starting with "
        f"{head[:8]!r}): download it again"
    )


def _damaged(path: Path, size: int, error: Exception) -> WeightsError:
    # PyTorch puts its general advice first and what happened last.
    text = str(error).rpartition("WeightsUnpickler error:")[2]
    reason = " ".join(text.split())[:120] or type(error).__name__
    return WeightsError(
        f"{path} ({size} bytes) is truncated or damaged ({reason}): download or convert it again"
    )


def _read_safetensors(path: Path, size: int) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load_file(path, device="cpu")
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, size, error) from error
    return tensors


def _read_torch(path: Path, size: int) -> dict[str, Tensor]:
    try:
        _check_archive(path, size)
        with warnings.catch_warnings(action="ignore"):  # about old pickle protocols
            stored = torch.load(path, map_location="cpu", weights_only=True)
    # damaged bytes are read as instructions until one fails, so any exception may come out
    except Exception as error:
        unsafe = isinstance(error, pickle.UnpicklingError) and "GLOBAL" in str(error)
        if unsafe or "TorchScript" in str(error):
            raise UnsafeWeightsError(
                f"{path} holds Python objects or code, not only tensors, and reading them could "
                "run code: nothing was loaded; ask its author for a state_dict or safetensors file"
            ) from error
        raise _damaged(path, size, error) from error
    tensors = _tensors(path, stored)
    _check_extent(path, size, tensors)
    return tensors


def _check_archive(path: Path, size: int) -> None:
    """PyTorch stores without compressing: what unpacks to more than the file holds is a bomb."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > size:
        raise ValueError(f"unpacks to {unpacked:,} bytes")


def _check_extent(path: Path, size: int, tensors: Mapping[str, Tensor]) -> None:
    """A stored tensor can claim any shape over a few bytes, by strides of zero."""
    claimed = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    # Tied weights stand in the file once and count twice.
    if claimed > 8 * size or any(map(_unusual, tensors.values())):
        raise WeightsError(
            f"{path} ({size} bytes) claims tensors of {claimed:,} bytes, or of a kind that weights "
            "are not: download or convert it again"
        )


def _unusual(tensor: Tensor) -> bool:
    return tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized


def _tensors(path: Path, stored: Any) -> dict[str, Tensor]:
    for wrapper in WRAPPERS:
        if isinstance(stored, Mapping) and isinstance(stored.get(wrapper), Mapping):
            stored = stored[wrapper]
    if not isinstance(stored, Mapping) or not stored:
        raise WeightsError(
            f"{path} holds {_describe(stored)}, not named tensors: save the network's state_dict()"
        )
    other = [str(key) for key, value in stored.items() if not isinstance(value, Tensor)]
    if other:
        raise WeightsError(
            f"{path} holds {len(other)} entries that are not tensors ({_some(other)}): "
            "save only the network's state_dict()"
        )
    return {str(key): value for key, value in stored.items()}


def _describe(stored: Any) -> str:
    return "an empty dict" if isinstance(stored, Mapping) else f"a {type(stored).__name__}"


def _some(names: list[str]) -> str:
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def check_state(module: nn.Module, state: Mapping[str, Tensor], *, what: str) -> None:
    """Compare keys and shapes with those of a network, which may be on the meta device.

    Args:
        what: What the weights are called in the message.

    Raises:
        WeightsMismatchError: naming missing, unexpected and mis-shaped keys, the first few of each
            and how many there are.
    """
    wanted = module.state_dict()
    missing = [key for key in wanted if key not in state]
    unexpected = [key for key in state if key not in wanted]
    shaped = [
        f"{key} is {tuple(state[key].shape)}, needs {tuple(tensor.shape)}"
        for key, tensor in wanted.items()
        if key in state and state[key].shape != tensor.shape
    ]
    found = {"missing": missing, "unexpected": unexpected, "mis-shaped": shaped}
    parts = [f"{len(names)} {label}: {_some(names)}" for label, names in found.items() if names]
    if parts:
        name = getattr(module, "name", type(module).__name__)
        raise WeightsMismatchError(
            f"{what} does not fit {name} ({len(wanted)} tensors): {'; '.join(parts)}. "
            "Use the complete file for this network"
        )


def load_strict(module: nn.Module, state: Mapping[str, Tensor], *, what: str) -> None:
    """Copy tensors into a network in place; all or nothing.

    Raises:
        WeightsMismatchError: see `check_state`; the network is unchanged then.
    """
    check_state(module, state, what=what)
    module.load_state_dict(dict(state), strict=True)


@dataclass(frozen=True, kw_only=True)
class LoadedWeights:
    """What `load_weights` put into a network."""

    path: Path
    sha256: str
    card: WeightsCard | None

    @property
    def name(self) -> str:
        """What a record calls them: by their card, else by their file."""
        return self.card.name if self.card is not None else self.path.name


def load_weights(module: nn.Module, name_or_path: str | os.PathLike[str]) -> LoadedWeights:
    """Load weights by name or path into a network, whichever keys they are written with.

    Published checkpoints and their converted form are both accepted. The hash is checked
    against the card, if there is one that states it.

    Raises:
        WeightsError: or a subclass; see `resolve`, `load_state` and `load_strict`.
        UnknownNameError: no such name.
    """
    path, card = find(name_or_path)
    sha256 = sha256_of(path)
    if card is not None and card.sha256:
        _check_hash(path, card.sha256, found=sha256)
    state = load_state(path)
    if state.keys() != module.state_dict().keys():
        state = native_state(state, card.kind if card is not None else detect_kind(state))
    load_strict(module, state, what=str(name_or_path))
    return LoadedWeights(path=path, sha256=sha256, card=card)


@dataclass(frozen=True, kw_only=True)
class VerifyReport:
    """What `verify` found; it exists only if everything held.

    Attributes:
        name: As asked for.
        path: The file.
        sha256: Its hash.
        pinned: Whether a card states the hash, so that it was compared.
        tensors: Number of tensors.
        values: Number of numbers in them.
        output_shape: Shape of the features of one 64 x 64 picture, or of a network's first output
            where it does not return features.
    """

    name: str
    path: Path
    sha256: str
    pinned: bool
    tensors: int
    values: int
    output_shape: tuple[int, ...]


def verify(
    name_or_path: str | os.PathLike[str], *, build: Callable[..., nn.Module]
) -> VerifyReport:
    """Hash, strict load, and a forward pass whose output must be finite.

    Args:
        name_or_path: A name of `list_weights`, or a file with its card beside it.
        build: Makes a network from ``(card.backbone, **card.options)``:
            `tamperscope.catalog.build_network`.

    Raises:
        WeightsError: or a subclass, for whatever did not hold; also for a file without a card.
        UnknownNameError: no such name.
    """
    path, card = find(name_or_path)
    if card is None:
        raise WeightsError(
            f"{path} has no card beside it, so its network is unknown: "
            f"run 'tamperscope weights convert {path.name} NAME.safetensors'"
        )
    module = build(card.backbone, **card.options)
    loaded = load_weights(module, name_or_path)
    state = module.state_dict()
    infinite = [key for key, value in state.items() if not bool(torch.isfinite(value).all())]
    if infinite:
        raise WeightsError(
            f"{path} has NaN or infinity in {len(infinite)} tensors ({_some(infinite)}): "
            "train or convert it again"
        )
    return VerifyReport(
        name=str(name_or_path),
        path=path,
        sha256=loaded.sha256,
        pinned=bool(card.sha256),
        tensors=len(state),
        values=sum(value.numel() for value in state.values()),
        output_shape=_finite_forward(module, path),
    )


def _finite_forward(module: nn.Module, path: Path) -> tuple[int, ...]:
    picture = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        output = module.eval()(picture)
    outputs = output if isinstance(output, Mapping) else {"features": output}
    if not all(bool(torch.isfinite(value).all()) for value in outputs.values()):
        raise WeightsError(f"{path} gives NaN or infinity on a plain picture: train it again")
    return tuple(outputs.get("features", next(iter(outputs.values()))).shape)
