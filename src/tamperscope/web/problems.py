"""Errors as the API reports them: a stable code, one line with a remedy, a status."""

from dataclasses import dataclass

from tamperscope.errors import (
    EmptyImageError,
    ImageError,
    ImageTooLargeError,
    ImageValueError,
    MissingExtraError,
    NotAnImageError,
    TamperscopeError,
    TruncatedImageError,
)


@dataclass
class ProblemError(Exception):
    """Ends a request; becomes ``{"error": {"code": ..., "message": ...}}``."""

    code: str
    message: str
    retry_after: int | None = None
    """Seconds after which it makes sense to try again."""

    def __str__(self) -> str:
        return self.message

    @property
    def status(self) -> int:
        """The HTTP status of the code."""
        return STATUS[self.code]


STATUS = {
    "invalid_request": 422,
    "unsupported_content_type": 415,
    "image_empty": 422,
    "image_damaged": 422,
    "image_unsupported": 415,
    "image_value": 422,
    "image_too_large": 413,
    "file_too_large": 413,
    "upload_too_slow": 408,
    "client_left": 499,
    "unknown_method": 404,
    "method_unavailable": 409,
    "not_found": 404,
    "method_not_allowed": 405,
    "unauthorized": 401,
    "wrong_host": 421,
    "cross_origin": 403,
    "queue_full": 503,
    "shutting_down": 503,
    "time_limit": 504,
    "worker_died": 500,
    "examination_failed": 500,
    "internal_error": 500,
}
"""Code -> HTTP status. Codes are part of the API: they are added to, never changed.

Nobody hears ``client_left``: it ends the request, and metrics tell it from our own failures."""

_CODES: tuple[tuple[type[TamperscopeError], str], ...] = (
    (EmptyImageError, "image_empty"),
    (TruncatedImageError, "image_damaged"),
    (NotAnImageError, "image_unsupported"),
    (MissingExtraError, "image_unsupported"),
    (ImageTooLargeError, "image_too_large"),
    (ImageValueError, "image_value"),
    (ImageError, "image_damaged"),
)


def code_of(error: Exception) -> str:
    """The code for an exception raised while a picture was examined."""
    if isinstance(error, MemoryError):
        return "image_too_large"
    known = (code for kind, code in _CODES if isinstance(error, kind))
    return next(known, "examination_failed")


def client_left() -> ProblemError:
    """Nobody reads this answer; it ends the request in an orderly way."""
    return ProblemError("client_left", "the client left before the answer was there")
