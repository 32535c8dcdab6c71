"""From TOML tables to frozen dataclasses, strict about every key, and the checks of their values.

This module needs neither torch nor numpy.
"""

import dataclasses
import difflib
import tomllib
import types
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from tamperscope.errors import ConfigError


def build(cls: type, table: Any, prefix: str) -> Any:
    if not isinstance(table, Mapping):
        raise ConfigError(f"{prefix.rstrip('.')} must be a table, got {table!r}")
    hints = get_type_hints(cls)
    for key in table:
        if key not in hints:
            raise ConfigError(
                f"unknown key '{prefix}{key}' in the recipe{did_you_mean(str(key), hints)};"
                f" known here: {', '.join(hints)}"
            )
    values = {key: _convert(hints[key], value, f"{prefix}{key}") for key, value in table.items()}
    return cls(**values)


def _convert(hint: Any, value: Any, name: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return build(hint, value, f"{name}.")
    origin = get_origin(hint)
    if origin is Literal:
        choices = get_args(hint)
        if value not in choices:
            listed = ", ".join(map(str, choices))
            hint_text = did_you_mean(str(value), [str(c) for c in choices])
            raise ConfigError(f"{name} = {value!r} is not a choice{hint_text}; known: {listed}")
        return value
    if origin is tuple:
        items = get_args(hint)
        if items[-1] is Ellipsis:
            if not isinstance(value, (list, tuple)):
                raise ConfigError(f"{name} must be a list, got {value!r}")
            return tuple(_convert(items[0], v, f"{name}[{i}]") for i, v in enumerate(value))
        if not isinstance(value, (list, tuple)) or len(value) != len(items):
            raise ConfigError(f"{name} must be a list of {len(items)} values, got {value!r}")
        return tuple(_convert(h, v, name) for h, v in zip(items, value, strict=True))
    if origin in (Union, types.UnionType):
        raise TypeError(f"recipe fields have one type each, {name} has {hint}")
    return _convert_plain(origin or hint, value, name)


def _convert_plain(kind: Any, value: Any, name: str) -> Any:
    if isinstance(kind, type) and issubclass(kind, Mapping):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{name} must be a table, got {value!r}")
        return dict(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    # A bool is an int to Python; as a number in a recipe it is a mistake.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ConfigError(f"{name} must be {_KIND_NAMES[kind]}, got {value!r}")
    return value


_KIND_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a string"}


def set_value(tables: dict[str, Any], keys: list[str], value: Any) -> None:
    *parents, last = keys
    table = tables
    for depth, key in enumerate(parents):
        if depth == 0 and key not in tables:
            raise ConfigError(
                f"unknown key '{key}' in the recipe{did_you_mean(key, tables)};"
                f" known here: {', '.join(tables)}"
            )
        child = table.setdefault(key, {})
        if not isinstance(child, dict):
            raise ConfigError(f"'{'.'.join(keys[: depth + 1])}' is a value, not a table")
        table = child
    table[last] = value


def parse_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def did_you_mean(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean '{close[0]}'?" if close else ""


def require(ok: bool, name: str, value: object, condition: str) -> None:
    if not ok:
        raise ConfigError(f"{name} must be {condition}, got {value}")
