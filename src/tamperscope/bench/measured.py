"""Measured sets of pictures, kept on disk so that nothing is measured twice."""

import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from tamperscope.bench.documents import read_document, write_document
from tamperscope.bench.predictor import Method, name_of, settings_of
from tamperscope.bench.progress import Tick
from tamperscope.provenance import config_digest, tool_commit
from tamperscope.result import write_atomic

Features = NDArray[np.float32] | None


class Scored(Protocol):
    """A picture with an image score, None where it was refused."""

    @property
    def score(self) -> float | None: ...


class PictureNumbers(Scored, Protocol):
    """A dataclass of one picture's numbers."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def id(self) -> str: ...


Numbers = TypeVar("Numbers", bound=PictureNumbers)


@dataclass(frozen=True, kw_only=True)
class Measured(Generic[Numbers]):
    """A measured set: its pictures in id order, the commit of the code that measured it, and
    features float32 (n, D) with NaN rows for refused pictures, or None."""

    pictures: tuple[Numbers, ...]
    commit: str | None
    features: Features = field(default=None, compare=False)


@dataclass(frozen=True, kw_only=True)
class Shelf(Generic[Numbers]):
    """Measured sets in one folder, each in a file called by the digest of everything its content
    depends on; a damaged one is measured anew.

    Attributes:
        folder: made when something is written.
        format, version: of the files.
        numbers: the dataclass of a picture.
    """

    folder: Path
    format: str
    version: int
    numbers: type[Numbers]

    def get(
        self, key: str, tick: Tick, measure: Callable[[], tuple[Sequence[Numbers], Features]]
    ) -> Measured[Numbers]:
        """What is kept under ``key``, or measured now and kept.

        ``measure`` gives pictures and features as of `Measured`, and calls ``tick`` itself.

        Raises:
            ResultError: the folder cannot be written.
        """
        path = self.folder / f"{key}.json"
        if (known := self._read(path)) is not None:
            for picture in known.pictures:
                tick(picture.id)
            return known
        pictures, features = measure()
        found = Measured(pictures=tuple(pictures), commit=tool_commit(), features=features)
        if features is not None:
            buffer = io.BytesIO()
            np.save(buffer, features)
            write_atomic(path.with_suffix(".npy"), buffer.getbuffer())
        values = {
            "pictures": [asdict(picture) for picture in pictures],
            "commit": found.commit,
            "features": features is not None,
        }
        write_document(path, values, format=self.format, version=self.version)
        return found

    def _read(self, path: Path) -> Measured[Numbers] | None:
        stored = read_document(path, format=self.format, version=self.version)
        try:
            if stored is None:
                return None
            features = None
            if stored.get("features"):
                features = np.load(path.with_suffix(".npy"), allow_pickle=False)
            pictures = tuple(self.numbers(**picture) for picture in stored["pictures"])
            return Measured(pictures=pictures, features=features, commit=stored["commit"])
        except (OSError, ValueError, EOFError, KeyError, TypeError):
            return None


def key_of(method: Method, ids: Sequence[str], **parts: Any) -> str:
    """sha256 over everything numbers depend on, but the code itself.

    Args:
        method: its name and settings count.
        ids: of the pictures: the same pictures under other names draw other dice.
        parts: version, protocol, sha256 of the pictures, and what is done to them.
    """
    own = {"method": name_of(method), "settings": settings_of(method), "ids": list(ids)}
    return config_digest({**own, **parts})


def scores_of(pictures: Sequence[Scored]) -> list[float]:
    """Image scores in order; refused pictures take the lowest of the others (0 without any)."""
    known = [picture.score for picture in pictures if picture.score is not None]
    least = min(known, default=0.0)
    return [least if picture.score is None else picture.score for picture in pictures]
