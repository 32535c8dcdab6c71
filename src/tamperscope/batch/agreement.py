"""settings.json: what all rows of a run have in common, and whether a command asks for that."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tamperscope.batch import parts
from tamperscope.batch.config import BatchConfig
from tamperscope.batch.sources import Source
from tamperscope.batch.state import stopped
from tamperscope.data.manifest import hash_file
from tamperscope.errors import ConfigError, ResultError, TamperscopeError
from tamperscope.provenance import config_digest, tool_version
from tamperscope.result import write_atomic
from tamperscope.weights import resolve

SETTINGS = "settings.json"

_ASKED = "asked"
_SHOWN = {"engine": "runtime"}


class Agreement:
    """The settings of a run, which must be those it began with.

    Args:
        config: of this call.
        source: of this call.
    """

    def __init__(self, config: BatchConfig, source: Source) -> None:
        self._config = config
        self._source = source
        self._path = config.output / SETTINGS

    def known(self) -> dict[str, Any] | None:
        """The settings of a run that was begun, where this call plainly asks for the same: in the
        same words, with weights of the same sha256. None where the method has to say so itself.

        Raises:
            ConfigError: the call asks for something else.
            ResultError: the file cannot be read.
        """
        begun, asked = _read(self._path), self._asked()
        if begun is None or begun.get(_ASKED) != asked or None in asked["onnx"]:
            return None
        method = begun.get("method")
        if not isinstance(method, dict) or not _same_files(self._config, method):
            return None
        settings = self._settings(method, begun.get("preset"))
        self._compare(begun, settings)
        return settings

    def settle(self, introduction: Mapping[str, Any]) -> dict[str, Any]:
        """The settings with a loaded method; written where the run begins with them.

        Raises:
            ConfigError: they differ from those the run began with.
            ResultError: the folder holds rows of something else, or cannot be written.
        """
        settings = self._settings(introduction["describe"], introduction["preset"])
        begun = _read(self._path)
        if begun is not None:
            self._compare(begun, settings)
            return settings
        folder = self._config.output
        if next((folder / "rows").glob("part-*"), None) is not None:
            raise ResultError(f"{folder} holds rows of an unknown run; choose another --output")
        save(self._path, {**settings, _ASKED: self._asked()}, folder)
        return settings

    def _settings(self, method: Any, preset: Any) -> dict[str, Any]:
        config = self._config
        settings = {
            "method": method,
            "preset": preset,
            "masks": config.masks,
            "max_pixels": config.max_pixels,
            "source": self._source.fingerprint(),
            "columns": [config.column, config.id_column],
            "allow_outside": config.allow_outside,
            "shards": config.shard.count,
        }
        return {**settings, "digest": config_digest(settings)}

    def _asked(self) -> dict[str, Any]:
        """What was asked for, in the words of the call."""
        config = self._config
        names = ("method", "preset", "weights", "device", "precision", "runtime", "loader")
        values = {name: getattr(config, name) for name in names}
        files = [_digest(Path(file).expanduser()) for file in config.onnx]
        return {**values, "options": config_digest(dict(config.options)), "onnx": files}

    def _compare(self, begun: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        if begun.get("digest") == settings["digest"]:
            return
        names = [name for name in settings if name != "digest"]
        changed = [part for name in names for part in _changes(name, begun, settings)] or ["digest"]
        raise ConfigError(
            f"{self._config.output} holds a run with other settings ({', '.join(changed)}); "
            "choose another --output, or give those it began with (settings.json)"
        )


def save(path: Path, values: Mapping[str, Any], folder: Path) -> None:
    """Write JSON values into the folder of a run.

    Raises:
        ResultError: the disk takes no more.
    """
    text = json.dumps(values, indent=1, ensure_ascii=True, allow_nan=False)
    try:
        write_atomic(path, (text + "\n").encode())
    except ResultError as error:
        raise stopped(folder, parts.reason(error)) from error


def _read(path: Path) -> dict[str, Any] | None:
    try:
        settings = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ResultError(f"{path} cannot be read ({error}); choose another --output") from error
    if not isinstance(settings, dict):
        raise ResultError(f"{path} holds no settings; choose another --output")
    return settings


def _changes(name: str, begun: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs under a name: of the method and its configuration, the parts that do."""
    old, new = begun.get(name), now.get(name)
    if old == new:
        return []
    old, new = (value if value is not None else {} for value in (old, new))
    if name not in ("method", "config") or not isinstance(old, dict) or not isinstance(new, dict):
        return [_SHOWN.get(name, name)]
    return [part for key in sorted({*old, *new}) for part in _changes(key, old, new)]


def _same_files(config: BatchConfig, method: Mapping[str, Any]) -> bool:
    """Whether what would be loaded has the sha256 that the method told when it was loaded."""
    if method.get("version", tool_version()) != tool_version():
        return False
    held = method.get("weights", {})
    given = [name.strip() for name in config.weights.split(",")] if config.weights else []
    found = {_weights(name) for name in given}
    if not found <= set(held.values()):
        return False
    return all(digest in found or _weights(name) == digest for name, digest in held.items())


def _weights(name: str) -> str | None:
    try:
        return _digest(resolve(name))
    except TamperscopeError:
        return None


def _digest(path: Path) -> str | None:
    try:
        return hash_file(path)
    except TamperscopeError:
        return None
