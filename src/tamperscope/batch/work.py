"""The unit of work: one input, and what became of it. Plain values that any process can hold."""

import re
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from tamperscope import errors
from tamperscope.errors import TamperscopeError
from tamperscope.report.plain import printable

# Beside the names of the errors of `tamperscope.errors`, a row's `error` may be one of these.
UNREADABLE = "UnreadableFile"
CHANGED = "ChangedWhileRead"
OUTSIDE = "OutsideSource"
MALFORMED = "MalformedEntry"
TIME_LIMIT = "TimeLimitExceeded"
MEMORY = "OutOfMemory"
DIED = "WorkerDied"
KILLED = "WorkerKilled"
FAILED = "MethodFailed"

PASSING = frozenset({TIME_LIMIT, MEMORY, KILLED, UNREADABLE, CHANGED, "MissingExtraError"})
"""What may go well another time: with more time or memory, a network or a file that is back."""

_OF_THE_CONTENT = frozenset(
    {
        *(TIME_LIMIT, MEMORY, DIED, "EmptyImageError", "NotAnImageError"),
        *("TruncatedImageError", "ImageTooLargeError", "ImageValueError"),
    }
)
_LONGEST_MESSAGE = 500


@dataclass(frozen=True, kw_only=True)
class Task:
    """One input."""

    key: str
    """Tells it from all other inputs of the source."""
    id: str
    source: str
    """Where it comes from, for people."""
    path: str | None = None
    """File or URL to read; None where ``data`` or ``problem`` says all."""
    root: str | None = None
    """The folder that ``path`` must not lead out of."""
    data: bytes | None = None
    """The encoded picture itself."""
    problem: tuple[str, str] | None = None
    """Why there is nothing to examine: error and message."""

    def head(self) -> dict[str, Any]:
        """All but the data, as JSON values."""
        return {**asdict(replace(self, data=None)), "inline": self.data is not None}

    @classmethod
    def from_head(cls, head: dict[str, Any], data: bytes) -> "Task":
        """The task that `head` and its data describe."""
        values = {name: value for name, value in head.items() if name != "inline"}
        return cls(**{**values, "data": data if head["inline"] else None})


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a row says about one input, beside its name."""

    sha256: str | None = None
    width: int | None = None
    height: int | None = None
    map_kind: str | None = None
    score: float | None = None
    threshold: float | None = None
    image_threshold: float | None = None
    flagged: bool | None = None
    forged_fraction: float | None = None
    regions: int | None = None
    boxes: list[list[int]] | None = None
    seconds: float | None = None
    error: str | None = None
    error_message: str | None = None
    note: str | None = None
    retries: int = 0

    @classmethod
    def checked(cls, values: dict[str, Any]) -> "Answer":
        """An answer from values of unknown origin.

        Raises:
            TypeError, ValueError: they are no answer.
        """
        answer = cls(**values)
        for field in fields(cls):
            value = getattr(answer, field.name)
            kinds = _KINDS[field.name]
            if value is not None and (type(value) not in kinds):
                raise TypeError(f"{field.name} is a {type(value).__name__}")
        for box in answer.boxes or ():
            if len(box) != 4 or any(type(side) is not int or side >> 31 for side in box):
                raise ValueError("a box is four sides")
        if any(getattr(answer, name) and getattr(answer, name) >> 31 for name in _WHOLE):
            raise ValueError("a number is out of range")
        return answer

    @property
    def holds_for_copies(self) -> bool:
        """Whether the same bytes would be answered the same way again."""
        return holds_for_copies(self.sha256, self.error)


_WHOLE = ("width", "height", "regions", "retries")
_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(_WHOLE, (int,)),
    **dict.fromkeys(
        ("score", "threshold", "image_threshold", "forged_fraction", "seconds"), (float, int)
    ),
    **dict.fromkeys(("sha256", "map_kind", "error", "error_message", "note"), (str,)),
    "flagged": (bool,),
    "boxes": (list,),
}


@dataclass(frozen=True)
class Finished:
    """An input that an engine is done with."""

    task: Task
    answer: Answer | None
    """None: its bytes were answered before, under another name."""
    sha256: str | None
    mask: bytes = b""
    """PNG, or int32 run lengths; empty where nothing is flagged."""


def holds_for_copies(sha256: str | None, error: str | None) -> bool:
    """Whether an answer would be the same for the same bytes."""
    return sha256 is not None and (error is None or error in _OF_THE_CONTENT)


def parse_kinds(text: str) -> frozenset[str]:
    """Kinds of errors: ``passing`` (`PASSING`), ``all``, or names with commas between them.

    Raises:
        UnknownNameError: no row says that error.
    """
    known = _row_errors()
    if text in ("passing", "all"):
        return PASSING if text == "passing" else known
    kinds = [kind.strip() for kind in text.split(",")]
    for kind in kinds:
        if kind not in known:
            raise errors.unknown("kind of error", kind, {"passing", "all", *known})
    return frozenset(kinds)


def _row_errors() -> frozenset[str]:
    """Everything a row's `error` may say."""
    ours = (UNREADABLE, CHANGED, OUTSIDE, MALFORMED, TIME_LIMIT, MEMORY, DIED, KILLED, FAILED)
    raised = (
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, TamperscopeError)
    )
    return frozenset((*ours, *raised))


def failure(error: str, message: str, **values: Any) -> Answer:
    """The answer for an input that could not be examined."""
    text = printable(" ".join(message.split()))[:_LONGEST_MESSAGE]
    # Of bytes the reader knows the digest at best; the row says which input it was.
    text = re.sub(r"^bytes:[0-9a-f]{12}: ", "", text)
    return Answer(error=error, error_message=text, **values)


def told(error: TamperscopeError) -> dict[str, str]:
    """An error as plain values, for another process."""
    return {"failure": " ".join(str(error).split()), "kind": type(error).__name__}


def heard(values: dict[str, Any]) -> TamperscopeError:
    """The error that another process told."""
    kind, text = getattr(errors, str(values.get("kind")), None), str(values["failure"])
    if isinstance(kind, type) and issubclass(kind, TamperscopeError):
        return kind(text)
    return TamperscopeError(text)


def name_bytes(name: str) -> bytes:
    """A name's own bytes; its escapes where it has none, as names that JSON spells need not."""
    try:
        return name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return name.encode("utf-8", "backslashreplace")


def readable(name: str) -> str:
    r"""A name as text that is valid UTF-8: other bytes become ``\xNN``.

    >>> readable("a\udcffb")
    'a\\xffb'
    """
    return name_bytes(name).decode("utf-8", "backslashreplace")
