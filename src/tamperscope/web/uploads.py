"""From a request to the bytes of a picture, in memory and within limits. Nothing is decoded."""

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from tamperscope.report.plain import printable
from tamperscope.web.config import ServeConfig
from tamperscope.web.problems import ProblemError, client_left

_ENVELOPE = 64 * 1024
"""What multipart headers, or the JSON around the picture, may take."""
_MOST_JSON_MARKS = 256
"""Brackets and commas in a JSON body, which bound its values; a name may hold some."""
_LONGEST_NAME = 200
_DRAIN_SECONDS = 5.0


@dataclass(frozen=True)
class Upload:
    """A picture as it was sent."""

    data: bytes
    name: str
    """What the sender calls it: shown, never opened."""


class _InMemoryParser(MultiPartParser):
    # Pictures are examined and forgotten; they must not pass through a disk.
    spool_max_size = 1 << 62


async def read_upload(request: Request, config: ServeConfig) -> Upload:
    """The picture of a ``POST``: a multipart field ``file``, or JSON with base64.

    Raises:
        ProblemError: another content type, too long, too slow, or not what it says it is; or the
            client has left.
    """
    kind = parse_options_header(request.headers.get("content-type", ""))[0].decode("latin-1")
    readers = {"multipart/form-data": _from_form, "application/json": _from_json}
    if kind not in readers:
        raise ProblemError(
            "unsupported_content_type",
            f"content type {printable(kind) or 'none'!r} is not taken: send multipart/form-data "
            "with a field 'file', or application/json with a field 'image'",
        )
    try:
        async with asyncio.timeout(config.upload_limit):
            return await readers[kind](request, config)
    except TimeoutError:
        raise ProblemError(
            "upload_too_slow",
            f"the upload took longer than {config.upload_limit:g} s; send a smaller file",
        ) from None
    except ClientDisconnect:
        raise client_left() from None


async def drain(request: Request, most: int) -> None:
    """Read and drop the body of a refused request, so that its sender hears the refusal."""
    left = most
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for chunk in request.stream():
                left -= len(chunk)
                if left < 0:
                    return
    except Exception:  # gone, slow, or already read: the answer is sent all the same
        return


async def _limited(request: Request, most: int, config: ServeConfig) -> AsyncIterator[bytes]:
    """The body in pieces; stops where it exceeds the limit."""
    try:
        announced = int(request.headers.get("content-length", 0))
    except ValueError:
        announced = 0
    taken = 0
    if announced > most:
        raise _too_large(config)
    async for chunk in request.stream():
        taken += len(chunk)
        if taken > most:
            raise _too_large(config)
        yield chunk


async def _from_form(request: Request, config: ServeConfig) -> Upload:
    body = _limited(request, config.max_bytes + _ENVELOPE, config)
    parser = _InMemoryParser(request.headers, body, max_files=1, max_fields=4, max_part_size=1024)  # type: ignore[arg-type]
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise _unreadable(error.message) from error
    except (ValueError, LookupError) as error:  # such as from a charset that decodes nothing
        raise _unreadable(str(error)) from error
    try:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise _invalid("the multipart body has no file in its field 'file'; send one")
        data = await file.read()
        return _checked(data, file.filename or "", config)
    finally:
        await form.close()


async def _from_json(request: Request, config: ServeConfig) -> Upload:
    most = (config.max_bytes + 2) // 3 * 4 + _ENVELOPE
    body = b"".join([chunk async for chunk in _limited(request, most, config)])
    if sum(body.count(mark) for mark in (b"[", b"{", b",")) > _MOST_JSON_MARKS:
        # Parsed, small values take many times their own size.
        raise _invalid(
            "the JSON body has more in it than fields 'image' and 'name'; send only those"
        )
    try:
        values = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _invalid("the body is not JSON") from error
    if not isinstance(values, dict) or not isinstance(values.get("image"), str):
        raise _invalid("the JSON body needs a field 'image' with the file in base64")
    if unknown := sorted(set(values) - {"image", "name"}):
        raise _invalid(f"the JSON body has unknown fields {unknown}; known: image, name")
    name = values.get("name", "")
    if not isinstance(name, str):
        raise _invalid("field 'name' must be text")
    try:
        data = base64.b64decode(values["image"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise _invalid(f"field 'image' is not base64 ({error})") from error
    return _checked(data, name, config)


def _checked(data: bytes, name: str, config: ServeConfig) -> Upload:
    if len(data) > config.max_bytes:
        raise _too_large(config)
    # Browsers of old sent whole paths; nobody needs the folders.
    last = name.replace("\\", "/").rpartition("/")[2]
    return Upload(data, printable(last)[:_LONGEST_NAME] or "picture")


def _too_large(config: ServeConfig) -> ProblemError:
    return ProblemError(
        "file_too_large",
        f"files of at most {config.max_bytes:,} bytes are taken; send a smaller one",
    )


def _unreadable(reason: str) -> ProblemError:
    return _invalid(f"the multipart body cannot be read ({printable(reason)})")


def _invalid(message: str) -> ProblemError:
    return ProblemError("invalid_request", message)
