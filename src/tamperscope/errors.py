"""Every error tamperscope raises on purpose.

Each message is one line: what is wrong, with what, and what to do about it. The command line
prints that line and nothing else; a program catches the class it can act on::

    TamperscopeError
    ├── ImageError (ValueError)            a picture cannot be read
    │   ├── EmptyImageError                no bytes, or no pixels
    │   ├── TruncatedImageError            cut off or damaged
    │   ├── NotAnImageError                some other kind of file
    │   ├── ImageTooLargeError             more pixels than the limit
    │   └── ImageValueError                an array of the wrong type, shape or range
    ├── WeightsError                       a checkpoint cannot be used
    │   ├── WeightsNotFoundError           no such name or file
    │   ├── WeightsMismatchError           keys or shapes differ from the network's
    │   ├── WeightsHashError               not the bytes the card promises
    │   └── UnsafeWeightsError             would run code while loading
    ├── UnknownNameError (KeyError)        no method, preset, metric... of that name
    ├── ConfigError (ValueError)           an option has a value it cannot have
    ├── MissingExtraError (ImportError)    an optional dependency is not installed
    ├── ResultError                        a result is inconsistent, or its file is unreadable
    ├── DataError                          a dataset or manifest is not as described
    ├── TrainingError                      a training run cannot start, go on or resume
    └── ClusteringError (ValueError)       features that cannot be clustered
"""

import difflib
from collections.abc import Iterable


class TamperscopeError(Exception):
    """Base of all of them; ``str(error)`` is one line that names the remedy."""


class ImageError(TamperscopeError, ValueError):
    """A picture cannot be read."""


class EmptyImageError(ImageError):
    """The file has no bytes, or the picture has no pixels."""


class TruncatedImageError(ImageError):
    """The file starts as a picture and is then cut off or damaged."""


class NotAnImageError(ImageError):
    """The bytes are not a picture in any format tamperscope reads."""


class ImageTooLargeError(ImageError):
    """The picture has more pixels than the limit."""


class ImageValueError(ImageError):
    """An array or a decoded picture has a type, shape or value range with no defined meaning."""


class WeightsError(TamperscopeError):
    """A checkpoint cannot be used."""


class WeightsNotFoundError(WeightsError):
    """Neither a known weights name nor a file."""


class WeightsMismatchError(WeightsError):
    """The checkpoint's keys or shapes differ from the network's."""


class WeightsHashError(WeightsError):
    """The file's sha256 is not the one on its card."""


class UnsafeWeightsError(WeightsError):
    """Reading the file would execute code stored in it."""


class UnknownNameError(TamperscopeError, KeyError):
    """A name that is not in the catalogue it was looked up in."""

    # KeyError's own str() is the repr of its argument: quotes and escapes around a sentence.
    __str__ = Exception.__str__


class ConfigError(TamperscopeError, ValueError):
    """An option has a value it cannot have."""


class MissingExtraError(TamperscopeError, ImportError):
    """An optional dependency is needed and not installed."""


class ResultError(TamperscopeError):
    """A result contradicts itself, or its file cannot be read back."""


class DataError(TamperscopeError):
    """A dataset, pairing or manifest is not as described."""


class TrainingError(TamperscopeError):
    """A training run cannot start, go on or resume."""


class ClusteringError(TamperscopeError, ValueError):
    """Features that cannot be clustered."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """The error for a name that was not found, with the nearest known one and the whole list.

    >>> print(unknown("method", "fcal", ["focal"]))
    unknown method 'fcal'; did you mean 'focal'? known: focal
    """
    names = sorted(known)
    close = difflib.get_close_matches(str(name).lower(), [n.lower() for n in names], n=1)
    nearest = next((n for n in names if close and n.lower() == close[0]), None)
    hint = f"did you mean {nearest!r}? " if nearest is not None else ""
    return UnknownNameError(f"unknown {kind} {name!r}; {hint}known: {', '.join(names) or 'none'}")


def missing_extra(what: str, extra: str) -> MissingExtraError:
    """The error for an optional dependency, naming the extra that brings it.

    >>> print(missing_extra("reading HEIC", "heif"))
    reading HEIC needs an optional dependency: pip install 'tamperscope[heif]'
    """
    return MissingExtraError(
        f"{what} needs an optional dependency: pip install 'tamperscope[{extra}]'"
    )
