"""Weights cards: what a weights file is, where it comes from, and how pictures are prepared for it.

Needs neither torch nor numpy.
"""

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from tamperscope.errors import WeightsError, WeightsNotFoundError, unknown

SEARCH_VARIABLE = "TAMPERSCOPE_WEIGHTS"


@dataclass(frozen=True, kw_only=True)
class WeightsCard:
    """One weights file.

    Attributes:
        name: What users call it.
        summary: One line about it.
        method: The method it is for.
        kind: How its keys are written: ``"native"`` for ours, or a kind of `convert`.
        backbone: Name for `tamperscope.backbones.create_backbone`.
        options: The network's options.
        preprocessing: Mode for `tamperscope.backbones.preprocess`.
        side: Pixels; of the squares that pictures were squeezed into for training, where that is
            not the network's own input size; else 0.
        file: File in this package, or None for weights that do not ship.
        published_file: Name under which somebody else publishes them, or None. With neither this
            nor ``file`` the card describes weights that ``recipe`` trains.
        source: Where they come from, in words.
        sha256: Of the file; empty where the file is not ours to pin.
        bytes: Its size; 0 where unknown.
        keys: Number of tensors; 0 where unknown.
        source_sha256: Of the file this one was converted from, or empty.
        data: What the network was trained on.
        terms: Under which terms the file may be used.
        recipe: Training recipe, or empty.
        commit: Commit of tamperscope that trained it, or empty.
        numbers: Measured quality, each under the name of its benchmark.
        decision: Calibrated parameters of the method's decision, for the method to read.
    """

    name: str
    summary: str
    method: str
    kind: str
    backbone: str
    preprocessing: str
    data: str
    terms: str
    options: Mapping[str, Any] = field(default_factory=dict)
    side: int = 0
    file: str | None = None
    published_file: str | None = None
    source: str = ""
    sha256: str = ""
    bytes: int = 0
    keys: int = 0
    source_sha256: str = ""
    recipe: str = ""
    commit: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)
    decision: Mapping[str, float] = field(default_factory=dict)

    @property
    def shipped(self) -> bool:
        """Whether the file comes with the package."""
        return self.file is not None


_FIELDS = {entry.name: entry for entry in fields(WeightsCard)}
_TYPES: dict[str, type] = {
    "bytes": int, "keys": int, "side": int, "options": dict, "numbers": dict, "decision": dict,
}  # fmt: skip


def parse_cards(text: str, *, where: str) -> dict[str, WeightsCard]:
    """Cards from TOML: one table per card, its heading the name.

    Raises:
        WeightsError: not TOML, or a card with a missing, unknown or wrongly typed key.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise WeightsError(f"{where} is not valid TOML: {error}") from error
    return {name: _parse_card(name, table, where) for name, table in tables.items()}


def _parse_card(name: str, table: Any, where: str) -> WeightsCard:
    if not isinstance(table, dict):
        raise WeightsError(f"{where}: {name!r} is outside a card; start one with [{name}]")
    extra = sorted(set(table) - (set(_FIELDS) - {"name"}))
    if extra:
        raise WeightsError(f"{where}: card {name!r} has unknown keys {', '.join(extra)}")
    for key, value in table.items():
        expected = _TYPES.get(key, str)
        if not isinstance(value, expected):
            raise WeightsError(f"{where}: card {name!r} needs {key} as {expected.__name__}")
    try:
        return WeightsCard(name=name, **table)
    except TypeError as error:
        raise WeightsError(f"{where}: card {name!r} is incomplete: {error}") from error


@cache
def _shipped_cards() -> dict[str, WeightsCard]:
    text = resources.files(__package__).joinpath("cards.toml").read_text(encoding="utf-8")
    return parse_cards(text, where="tamperscope/weights/cards.toml")


def list_weights() -> list[WeightsCard]:
    """Every card that comes with the package, in the order of the file."""
    return list(_shipped_cards().values())


def sidecar(path: str | os.PathLike[str]) -> Path:
    """Where the card of a converted weights file lies: beside it, as ``.toml``."""
    return Path(path).with_suffix(".toml")


def card_for(name_or_path: str | os.PathLike[str]) -> WeightsCard | None:
    """The card of a known name, or the one beside a converted file; None for a file without one.

    Raises:
        WeightsError: the card beside the file cannot be read.
    """
    if str(name_or_path) in _shipped_cards():
        return _shipped_cards()[str(name_or_path)]
    beside = sidecar(name_or_path)
    if Path(name_or_path).suffix == ".toml" or not beside.is_file():
        return None
    try:
        cards = parse_cards(beside.read_text(encoding="utf-8"), where=str(beside))
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"{beside} cannot be read ({error}): convert them again") from error
    if len(cards) != 1:
        raise WeightsError(f"{beside} must hold exactly one card, not {len(cards)}")
    return next(iter(cards.values()))


def resolve(name_or_path: str | os.PathLike[str]) -> Path:
    """The file behind a name of `list_weights` or a path. Nothing is downloaded.

    A name whose weights do not ship is looked for, as ``<name>.safetensors`` or under the name it
    is published with, in the folder that the environment variable TAMPERSCOPE_WEIGHTS names.

    Raises:
        WeightsNotFoundError: no such file; for published weights, with what to download.
        UnknownNameError: neither a known name nor anything like a path.
    """
    name = os.fspath(name_or_path)
    if name in _shipped_cards():
        return _resolve_card(_shipped_cards()[name])
    path = Path(name).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        raise WeightsNotFoundError(f"{path} is a folder: name the weights file in it")
    if path.suffix or len(path.parts) > 1:
        raise WeightsNotFoundError(
            f"no weights file {path}: give an existing one, or one of {', '.join(_shipped_cards())}"
        )
    raise unknown("weights", name, _shipped_cards())


def _resolve_card(card: WeightsCard) -> Path:
    if card.file is not None:
        path = Path(str(resources.files(__package__).joinpath(card.file)))
        if not path.is_file():
            raise WeightsNotFoundError(
                f"{card.file} of weights {card.name!r} is missing from the installed package: "
                "reinstall tamperscope"
            )
        return path
    folder = os.environ.get(SEARCH_VARIABLE, "")
    for candidate in (f"{card.name}.safetensors", card.published_file):
        # A pattern stands for files of any network trained so: converted, it has a card and a name.
        if not folder or candidate is None or "*" in candidate:
            continue
        path = Path(folder).expanduser() / candidate
        if path.is_file():
            return path
    if card.published_file is None:
        raise WeightsNotFoundError(
            f"weights {card.name!r} do not come with tamperscope: train them with 'tamperscope "
            f"train {card.recipe} --data SET --output RUN', export them with 'tamperscope weights "
            f"export RUN {card.name}.safetensors', and pass that file, or put it in the folder "
            f"that {SEARCH_VARIABLE} names"
        )
    # Networks trained from labels and from masks have the same keys.
    kind = f" --kind {card.kind}" if "*" in card.published_file else ""
    raise WeightsNotFoundError(
        f"weights {card.name!r} do not come with tamperscope: download {card.published_file} "
        f"({card.source}), then run 'tamperscope weights convert {card.published_file} "
        f"{card.name}.safetensors{kind}' and pass that file, or put it in the folder that "
        f"{SEARCH_VARIABLE} names"
    )


def find(name_or_path: str | os.PathLike[str]) -> tuple[Path, WeightsCard | None]:
    """The file behind a name or a path, as by `resolve`, and its card.

    What ships has the card of its name. For any other file the card beside it comes first: it was
    written with it, and the card of a name only says what to train or download.

    Raises:
        WeightsError: as `resolve` and `card_for`.
        UnknownNameError: neither a known name nor anything like a path.
    """
    path, card = resolve(name_or_path), card_for(name_or_path)
    if card is None or card.file is None:
        card = card_for(path) or card
    return path, card


def format_card(card: WeightsCard) -> str:
    """The card as TOML that `parse_cards` reads back; empty values are left out."""
    lines = [f"[{_toml(card.name)}]"]
    for name in _FIELDS:
        value = getattr(card, name)
        if name != "name" and value not in ("", None, 0) and value != {}:
            lines.append(f"{name} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_toml(str(k))} = {_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    # JSON's strings, numbers and booleans are TOML's too, but for a raw DEL character
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
