"""What the plans of all studies have in common: TOML tables become frozen dataclasses, and every
key or value that does not belong is named."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tamperscope.errors import ConfigError, unknown


class Planned(Protocol):
    """One trained localizer of a plan.

    name: unique in the study, also the name of its weights' file. weights: a file below the folder
    of runs; empty for the weights the method ships. recipe: how it is trained, or empty.
    """

    @property
    def name(self) -> str: ...
    @property
    def weights(self) -> str: ...
    @property
    def recipe(self) -> str: ...


Row = TypeVar("Row", bound=Planned)


def read_plan(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The table of a study file without its localizers, and the tables ``[[localizer]]``.

    Raises:
        ConfigError: unreadable, no TOML, or no localizers.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the study {path} ({error.strerror}): check it") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML ({error}): correct it") from error
    rows = table.pop("localizer", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows) or not rows:
        raise ConfigError(f"{path} has no localizers: give each its table [[localizer]]")
    return table, rows


def checked(
    cls: type[Any], table: Mapping[str, Any], where: str, *, made: Iterable[str] = ()
) -> dict[str, Any]:
    """The values of a table with lists as tuples, or an error that names the key.

    Args:
        cls: the dataclass the table is for.
        table: its values.
        where: what the table is called in an error.
        made: fields of ``cls`` that no table gives.

    Raises:
        UnknownNameError: a key that ``cls`` has not. ConfigError: a missing or mistyped value.
    """
    left_out = set(made)
    known = {field.name: field for field in fields(cls) if field.name not in left_out}
    for key in table:
        if key not in known:
            raise unknown(f"key of the {where}", key, known)
    for name, field in known.items():
        if name not in table and field.default is MISSING:
            raise ConfigError(f"the {where} has no {name!r}: add it")
    return {key: _value(known[key].type, value, f"{where}: {key}") for key, value in table.items()}


def check_choice(what: str, chosen: Sequence[str]) -> None:
    """ConfigError unless something is named, and nothing twice."""
    if not chosen or len(set(chosen)) < len(chosen):
        raise ConfigError(f"{what} is {list(chosen)}: name at least one, none of them twice")


def check_measures(*, jpeg_quality: int, limit: int | None) -> None:
    """ConfigError for a JPEG quality or a limit of pictures out of range."""
    if not 1 <= jpeg_quality <= 100:
        raise ConfigError(f"jpeg_quality is {jpeg_quality}: give 1 to 100")
    if limit is not None and limit < 1:
        raise ConfigError(f"limit is {limit}: give at least 1")


def check_names(entries: Iterable[Planned]) -> None:
    """ConfigError where two localizers have one name."""
    names = [entry.name for entry in entries]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"two localizers are called {twice[0]!r}: give each its own name")


def in_words(generators: Sequence[str], universe: Set[str]) -> str:
    """A generator, ``all but`` one of the universe, or all that there are joined by ``+``."""
    left_out = sorted(universe - set(generators))
    if len(generators) > 1 and len(left_out) == 1:
        return f"all but {left_out[0]}"
    return " + ".join(generators)


def split_pair(text: str) -> tuple[str, str]:
    """``NAME=FILE`` as (name, file); ConfigError for anything else."""
    name, equals, file = text.partition("=")
    if not equals or not name or not file:
        raise ConfigError(f"cannot read the weights {text!r}: write NAME=FILE")
    return name, file


def weights_files(
    entries: Iterable[Planned], runs: Path, chosen: Mapping[str, Path]
) -> dict[str, Path]:
    """Weights file of each localizer that has one: the chosen one, else its own below ``runs``.

    Raises:
        UnknownNameError: weights chosen for a name that is not in the study.
    """
    entries = list(entries)
    names = [entry.name for entry in entries]
    for name in chosen:
        if name not in names:
            raise unknown("localizer of the study", name, names)
    files = {entry.name: runs / entry.weights for entry in entries if entry.weights}
    return {**files, **chosen}


def with_weights(
    entries: Sequence[Row], files: Mapping[str, Path], *, partial: bool
) -> tuple[tuple[Row, ...], list[str]]:
    """The localizers whose weights are there, and the names of the others.

    Raises:
        ConfigError: some are missing, and ``partial`` does not allow that.
    """
    kept = tuple(e for e in entries if e.name not in files or files[e.name].is_file())
    missing = [entry.name for entry in entries if entry not in kept]
    if missing and not partial:
        raise ConfigError(
            f"no weights for {len(missing)} localizers, first {missing[0]!r} "
            f"({files[missing[0]]}): train them, name their file by --weights, or leave them out "
            "by --partial"
        )
    return kept, missing


def _value(kind: Any, value: Any, where: str) -> Any:
    if kind == tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ConfigError(f"{where} must be a list of names, got {value!r}")
        return tuple(value)
    expected: Any = str if kind is str else int
    if not isinstance(value, expected) or isinstance(value, bool):
        what = "a string" if expected is str else "a whole number"
        raise ConfigError(f"{where} must be {what}, got {value!r}")
    return value
