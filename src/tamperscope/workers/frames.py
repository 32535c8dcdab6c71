"""Messages between a process and its workers: a JSON head and plain bytes.

No pickle: a worker that a hostile picture took over must not be able to make its owner run code.
"""

import asyncio
import json
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO

_LENGTHS = struct.Struct(">IQ")
_LONGEST_HEAD = 1 << 20
LONGEST_BODY = 1 << 30


class BrokenFrameError(Exception):
    """The other side sent what is no message, or closed in the middle of one."""


def pack(head: Mapping[str, Any], body: bytes = b"") -> bytes:
    """One message as bytes."""
    text = json.dumps(head).encode()
    return _LENGTHS.pack(len(text), len(body)) + text + body


def read(stream: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    """The next message of a blocking stream; None at its end."""
    lengths = stream.read(_LENGTHS.size)
    if not lengths:
        return None
    head, body = _sizes(lengths)
    return _head(stream.read(head)), stream.read(body)


async def read_async(stream: asyncio.StreamReader) -> tuple[dict[str, Any], bytes]:
    """The next message of a stream.

    Raises:
        BrokenFrameError: the stream ended, or holds something else.
    """
    try:
        head, body = _sizes(await stream.readexactly(_LENGTHS.size))
        text = await stream.readexactly(head)
        return _head(text), await stream.readexactly(body)
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise BrokenFrameError("the worker closed its side") from error


class Assembler:
    """Puts messages together from whatever pieces a pipe delivers."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, piece: bytes) -> None:
        """The next bytes of the stream."""
        self._buffer += piece

    def take(self) -> tuple[dict[str, Any], bytes] | None:
        """The first message that is complete; None while there is none.

        Raises:
            BrokenFrameError: the stream holds something else.
        """
        start = _LENGTHS.size
        if len(self._buffer) < start:
            return None
        head, body = _sizes(bytes(self._buffer[:start]))
        end = start + head + body
        if len(self._buffer) < end:
            return None
        text, rest = (
            bytes(self._buffer[start : start + head]),
            bytes(self._buffer[start + head : end]),
        )
        del self._buffer[:end]
        return _head(text), rest


def _sizes(lengths: bytes) -> tuple[int, int]:
    if len(lengths) != _LENGTHS.size:
        raise BrokenFrameError("a message was cut off")
    head, body = _LENGTHS.unpack(lengths)
    if head > _LONGEST_HEAD or body > LONGEST_BODY:
        raise BrokenFrameError("a message claims an impossible length")
    return head, body


def _head(text: bytes) -> dict[str, Any]:
    try:
        head = json.loads(text)
    except ValueError as error:
        raise BrokenFrameError("the head of a message is not JSON") from error
    if not isinstance(head, dict):
        raise BrokenFrameError("the head of a message is not an object")
    return head
