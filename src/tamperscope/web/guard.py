"""What stands before every request: who may ask, from where, and what every answer carries."""

import hashlib
import hmac
import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tamperscope.report.plain import printable
from tamperscope.web.answers import problem_response, secure
from tamperscope.web.config import ServeConfig, is_loopback
from tamperscope.web.problems import ProblemError
from tamperscope.web.uploads import drain

OPEN_PATHS = frozenset({"/", "/favicon.ico", "/healthz", "/readyz", "/openapi.json"})
"""Answered without a token: they say nothing about pictures. So does everything in /static/."""

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """ASGI middleware: host, origin and token are checked before anything else is looked at."""

    def __init__(self, app: ASGIApp, config: ServeConfig) -> None:
        self._app = app
        self._config = config
        self._names = {name.lower() for name in config.allowed_hosts}
        self._digest = None if config.token is None else _digest(config.token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or refuse."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                secure(MutableHeaders(scope=message))
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send_guarded)
            return
        await drain(Request(scope, receive), self._config.max_bytes)
        await problem_response(refusal)(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> ProblemError | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._knows(host):
            return ProblemError(
                "wrong_host",
                f"this service does not answer to the name {printable(host)!r}: use its address, "
                "or start it with --allow-host",
            )
        if scope["method"] not in _READING and not _same_origin(headers, host):
            return ProblemError(
                "cross_origin", "another site's page sent this; open the service's own page"
            )
        if self._digest is not None and not self._may_pass(scope["path"], headers):
            return ProblemError(
                "unauthorized", "send the service's token as 'Authorization: Bearer TOKEN'"
            )
        return None

    def _knows(self, host: str) -> bool:
        """Whether a ``Host`` is ours: another site's name pointed at this address is not."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if is_loopback(name) or name in self._names:
            return True
        # An address cannot be made to point elsewhere; only where others may come in is it ours.
        return not self._config.is_local and _is_address(name)

    def _may_pass(self, path: str, headers: Headers) -> bool:
        if path in OPEN_PATHS or path.startswith("/static/"):
            return True
        kind, _, sent = headers.get("authorization", "").partition(" ")
        assert self._digest is not None
        # Digests have one length, so that the time taken says nothing about the token.
        return kind.lower() == "bearer" and hmac.compare_digest(_digest(sent), self._digest)


def _same_origin(headers: Headers, host: str) -> bool:
    """Whether a browser says that our own page sent it; programs say nothing, and may."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    try:
        return origin is None or urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
