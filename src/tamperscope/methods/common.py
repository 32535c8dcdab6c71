"""What every method does alike: options from a command line, device, precision."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from tamperscope.errors import ConfigError, unknown

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Config = TypeVar("Config", bound=DataclassInstance)


def resolve_options(
    method: str, presets: Mapping[str, "Config"], preset: str, overrides: Mapping[str, Any]
) -> "Config":
    """A preset with single fields replaced; numbers may come as text, as from a command line.

    Raises:
        UnknownNameError: no such preset or field.
        ConfigError: a wrong value.
    """
    if preset not in presets:
        raise unknown(f"preset of {method}", preset, presets)
    start = presets[preset]
    known = [field.name for field in fields(start)]
    values = {}
    for name, value in overrides.items():
        if name not in known:
            raise unknown(f"option of {method}", name, known)
        values[name] = _convert(method, name, value, getattr(start, name))
    return replace(start, **values)


def _convert(method: str, name: str, value: Any, like: Any) -> Any:
    try:
        if isinstance(like, bool):
            return _boolean(value)
        if isinstance(value, bool):
            raise ValueError
        if isinstance(like, int):
            whole = int(value)
            if isinstance(value, float) and value != whole:
                raise ValueError
            return whole
        return type(like)(value)
    except (TypeError, ValueError, OverflowError):
        kind = {"bool": "true or false", "int": "a whole number", "float": "a number"}
        wanted = kind.get(type(like).__name__, "a word")
        raise ConfigError(f"{method}: {name} must be {wanted}, not {value!r}") from None


def _boolean(value: Any) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if str(value).lower() not in words:
        raise ValueError
    return words[str(value).lower()]


def choose_device(name: str) -> torch.device:
    """The device of a name; ``auto`` is the first CUDA device, else Apple's, else the processor.

    Raises:
        ConfigError: no such device, or not here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"unknown device {name!r}: use auto, cpu, cuda, cuda:1 or mps") from None
    if device.type not in ("cpu", "cuda", "mps"):
        raise ConfigError(f"unknown device {name!r}: use auto, cpu, cuda, cuda:1 or mps")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device {name!r}: no such CUDA device here; use --device cpu")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError(f"device {name!r}: no Apple GPU here; use --device cpu")
    return device


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """float32 unless asked otherwise, on every device: in bfloat16 scores change by little, but
    enough that masks lose or gain cells at the threshold (benchmarks/bf16_masks.py measures it).

    Raises:
        ConfigError: no such precision, or not on this device.
    """
    known = {"auto": torch.float32, "fp32": torch.float32, "bf16": torch.bfloat16}
    if precision not in known:
        raise ConfigError(f"unknown precision {precision!r}: use auto, fp32 or bf16")
    if precision == "bf16" and device.type == "mps":
        raise ConfigError("precision bf16 is for cpu and cuda; use fp32 on mps")
    return known[precision]


def precision_name(dtype: torch.dtype) -> str:
    """What `choose_dtype` calls it."""
    return {torch.float32: "fp32", torch.bfloat16: "bf16"}[dtype]
