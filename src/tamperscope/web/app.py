"""The HTTP side: routes, and nothing that decodes a picture."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, FastAPI, Query, Request
from starlette.responses import JSONResponse, Response

from tamperscope import __version__, catalog
from tamperscope.errors import unknown
from tamperscope.report.wording import explain_map
from tamperscope.result import MapKind
from tamperscope.web import schemas
from tamperscope.web.answers import add_handlers
from tamperscope.web.assets import add_page
from tamperscope.web.config import ServeConfig
from tamperscope.web.guard import Guard
from tamperscope.web.jobs import Examined, stopping
from tamperscope.web.pool import Pool
from tamperscope.web.problems import STATUS, ProblemError, client_left
from tamperscope.web.process import choices
from tamperscope.web.telemetry import CONTENT_TYPE, Counted, Telemetry
from tamperscope.web.uploads import drain, read_upload

DESCRIPTION = (
    "Where was this picture manipulated? Pictures are examined in memory and forgotten; nothing is "
    "stored or sent on. A mask is a lead for an examiner, not proof."
)

router = APIRouter()


@dataclass(frozen=True)
class Service:
    """What the routes share, as ``app.state.service``."""

    config: ServeConfig
    pool: Pool
    telemetry: Telemetry


def create_app(
    config: ServeConfig, *, on_fatal: Callable[[str], None] = lambda message: None
) -> FastAPI:
    """The service as an ASGI application; its lifespan starts and ends the workers.

    Args:
        config: its settings.
        on_fatal: called once, with a line for people, when it can never work.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        telemetry = app.state.telemetry
        pool = Pool(config, telemetry, on_fatal=on_fatal)
        app.state.service = Service(config, pool, telemetry)
        pool.start()
        try:
            yield
        finally:
            await pool.stop()

    # Without FastAPI's documentation pages: they load scripts from elsewhere.
    app = FastAPI(
        title="tamperscope",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.telemetry = Telemetry()
    app.include_router(router)
    add_page(app)
    add_handlers(app)
    # Not all versions of FastAPI list an included router's routes as the app's own.
    routes = (*app.routes, *router.routes)
    paths = {route.path for route in routes if hasattr(route, "path")}
    app.add_middleware(Guard, config=config)
    # Added last, it stands outside: whom the guard refuses is counted too.
    app.add_middleware(Counted, telemetry=app.state.telemetry, paths=frozenset(paths))
    return app


def _errors(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The error answers of a route, for its description."""
    common = ("unauthorized", "wrong_host")
    by_status: dict[int | str, list[str]] = {}
    for code in (*codes, *common):
        by_status.setdefault(STATUS[code], []).append(code)
    return {
        status: {"model": schemas.Error, "description": ", ".join(names)}
        for status, names in by_status.items()
    }


_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
            "application/json": {"schema": schemas.JsonUpload.model_json_schema()},
        },
    }
}
_NOT_OF_LOCALIZE = ("not_found", "method_not_allowed", "client_left")
LOCALIZE_QUERY = ("method", "mask", "include", "max_side")
"""The keys that a query to /v1/localize may have."""


@router.post(
    "/v1/localize",
    response_model=schemas.Localized,
    openapi_extra=_BODY,
    responses=_errors(*(code for code in STATUS if code not in _NOT_OF_LOCALIZE)),
)
async def localize(
    request: Request,
    method: Annotated[str | None, Query(description="A name from /v1/methods.")] = None,
    mask: Annotated[
        Literal["png", "rle", "none"], Query(description="How the mask is written.")
    ] = "png",
    include: Annotated[
        list[Literal["map", "overlay", "picture", "report"]] | None,
        Query(description="What else the answer should hold; may be repeated."),
    ] = None,
    max_side: Annotated[
        int | None,
        Query(ge=16, le=65535, description="Longest side of map, overlay and picture, pixels."),
    ] = None,
) -> Response:
    """Find the manipulated region of one picture: field `file` of a form, or base64 in JSON."""
    service: Service = request.app.state.service
    pool = service.pool
    try:
        _check_query(request, LOCALIZE_QUERY)
        with pool.admitted():
            _choose(service, method)
            upload = await read_upload(request, service.config)
            options = {"mask": mask, "include": include or [], "max_side": max_side}
            # Chosen again: the methods may have been loaded while the picture arrived.
            chosen, named = _choose(service, method), method is not None
            work = pool.submit(chosen, upload.name, upload.data, options, named=named)
            examined = await _unless_gone(request, asyncio.ensure_future(work))
    except ProblemError as problem:
        if problem.code != "upload_too_slow":
            await drain(request, service.config.max_bytes)
        raise
    timing = f"queue;dur={1e3 * examined.queue_seconds:.0f}, "
    timing += f"run;dur={1e3 * examined.run_seconds:.0f}"
    return Response(examined.body, headers={"Server-Timing": timing}, media_type="application/json")


async def _unless_gone(request: Request, work: "asyncio.Task[Examined]") -> Examined:
    """The answer; the work is cancelled when the client leaves first."""

    async def leaving() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    gone = asyncio.ensure_future(leaving())
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            work.cancel()
        return await work
    except asyncio.CancelledError:
        if not gone.done():
            raise stopping() from None
        raise client_left() from None
    finally:
        work.cancel()
        gone.cancel()


def _check_query(request: Request, known: Sequence[str] = ()) -> None:
    """A misspelt key would otherwise be answered as if it had not been there."""
    for key in request.query_params:
        if key not in known:
            raise ProblemError("invalid_request", str(unknown("query key", key, known)))


def _choose(service: Service, name: str | None) -> str:
    """The method to run, checked as far as it is known by now."""
    pool = service.pool
    wanted = [choice.name for choice in choices(service.config)]
    loaded = [card["name"] for card in pool.cards]
    if name is None:
        return loaded[0] if loaded else wanted[0]
    if name not in wanted:
        raise ProblemError("unknown_method", str(unknown("method", name, wanted)))
    if name in pool.failures:
        raise ProblemError("method_unavailable", pool.failures[name])
    return name


@router.get(
    "/v1/methods",
    response_model=schemas.Methods,
    responses=_errors("cross_origin", "invalid_request"),
)
async def methods(request: Request) -> JSONResponse:
    """The methods, what each is and is not, and the limits of this service."""
    _check_query(request)
    service: Service = request.app.state.service
    config, pool = service.config, service.pool
    cards = {card.name: vars(card) for card in catalog.list_methods()}
    cards |= {card["name"]: card for card in pool.cards}
    loaded = [card["name"] for card in pool.cards]
    names = ("max_bytes", "max_pixels", "queue_size", "time_limit")
    return JSONResponse(
        {
            "version": __version__,
            "default": loaded[0] if loaded else None,
            "methods": [
                _method(cards[choice.name], choice.name in loaded, pool.failures.get(choice.name))
                for choice in choices(config)
                if choice.name in cards
            ],
            "limits": {
                **{name: getattr(config, name) for name in names},
                "workers": config.worker_count,
            },
        }
    )


def _method(card: dict[str, Any], available: bool, reason: str | None) -> dict[str, Any]:
    texts = {name: card[name] for name in ("name", "title", "paper", "summary", "limits")}
    kind = MapKind(card["map_kind"])
    return {
        **texts,
        "faces": card["faces"],
        "map_kind": kind.value,
        "map_explanation": explain_map(kind),
        "available": available,
        "reason": reason if available or reason else "it is being loaded",
    }


@router.get("/healthz", response_model=schemas.Health)
async def health() -> dict[str, str]:
    """Whether the process answers at all."""
    return {"status": "ok"}


@router.get(
    "/readyz",
    response_model=schemas.Health,
    responses={503: {"model": schemas.Health, "description": "starting or stopping"}},
)
async def readiness(request: Request) -> JSONResponse:
    """Whether a picture sent now finds a worker."""
    pool: Pool = request.app.state.service.pool
    if pool.ready:
        return JSONResponse({"status": "ok"})
    status = "stopping" if pool.draining else "starting"
    return JSONResponse({"status": status}, status_code=503, headers={"Retry-After": "2"})


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}, **_errors()},
)
async def metrics(request: Request) -> Response:
    """Counters and histograms in Prometheus' text format."""
    service: Service = request.app.state.service
    return Response(service.telemetry.text(), media_type=CONTENT_TYPE)
