"""Problems as HTTP answers; every error of the service has this one shape."""

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from tamperscope.web.problems import ProblemError

log = logging.getLogger("tamperscope.web")

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}

_OF_STATUS = {404: "not_found", 405: "method_not_allowed"}


def secure(headers: MutableHeaders) -> None:
    """Add what every answer carries."""
    headers.update(SECURITY_HEADERS)
    headers.setdefault("Cache-Control", "no-store")


def problem_response(problem: ProblemError) -> JSONResponse:
    """The answer for a problem."""
    body = {"error": {"code": problem.code, "message": problem.message}}
    response = JSONResponse(body, status_code=problem.status)
    if problem.retry_after is not None:
        response.headers["Retry-After"] = str(problem.retry_after)
    if problem.code == "unauthorized":
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def add_handlers(app: FastAPI) -> None:
    """Make the app answer every exception in that shape."""
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return problem_response(error)


async def _validation(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(step) for step in first["loc"][1:]) or "request"
    return problem_response(ProblemError("invalid_request", f"{where}: {first['msg']}"))


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _OF_STATUS.get(error.status_code, "invalid_request")
    response = problem_response(ProblemError(code, f"{error.detail}; see /openapi.json"))
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    return response


async def _unexpected(_: Request, error: Exception) -> Response:
    log.error("a request failed", exc_info=error)
    message = "something went wrong in the service; its log says more"
    response = problem_response(ProblemError("internal_error", message))
    # Starlette answers these outside of all middleware, `Guard` included.
    secure(response.headers)
    return response
