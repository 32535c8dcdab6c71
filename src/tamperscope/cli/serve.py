"""``tamperscope serve``: the page and the REST service."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from tamperscope.cli import _console

if TYPE_CHECKING:
    from tamperscope.web.config import MethodChoice, ServeConfig

EPILOG = (
    "The token may also be in the environment as TAMPERSCOPE_TOKEN, where other users of the "
    "machine do not see it. Exit codes: 0 stopped in order, 1 could not run, 2 wrong usage."
)
_MIB = 1 << 20


def serve(
    host: Annotated[
        str,
        typer.Option("--host", help="Address to listen on; any but this machine's needs a token."),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", "-p", min=0, max=65535, help="Port; 0 takes a free one.")
    ] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            help="Clients must send it as 'Authorization: Bearer TOKEN'; the page asks for it.",
            show_default=False,
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host",
            metavar="NAME",
            help="A name by which clients may address the service; may be repeated.",
            show_default=False,
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            "-m",
            help="A method to serve, the default one first; may be repeated. Without it, all "
            "whose weights are here.",
            show_default=False,
        ),
    ] = None,
    preset: Annotated[
        list[str] | None,
        typer.Option(
            "--preset",
            metavar="METHOD=NAME",
            help="The preset of a method that --method names.",
            show_default=False,
        ),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            "--weights",
            metavar="METHOD=FILE",
            help="The weights of a method that --method names.",
            show_default=False,
        ),
    ] = None,
    device: Annotated[
        str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")
    ] = "auto",
    precision: Annotated[str, typer.Option("--precision", help="auto, fp32 or bf16.")] = "auto",
    workers: Annotated[
        int,
        typer.Option("--workers", min=0, help="Processes that examine pictures; 0: one per core."),
    ] = 0,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads of each worker.")] = 1,
    queue: Annotated[
        int, typer.Option("--queue", min=1, help="Pictures that may wait; more get a 503.")
    ] = 32,
    max_batch: Annotated[
        int,
        typer.Option(
            "--max-batch",
            min=1,
            help="Small pictures of one method a worker may take at once when several wait.",
        ),
    ] = 1,
    spare: Annotated[
        int,
        typer.Option(
            "--spare",
            min=0,
            help="Loaded processes beside the workers, for when one is lost; each takes the "
            "memory of an idle worker.",
        ),
    ] = 1,
    max_megabytes: Annotated[
        int, typer.Option("--max-megabytes", min=1, help="Refuse longer files (MiB).")
    ] = 64,
    max_pixels: Annotated[
        int, typer.Option("--max-pixels", min=1, help="Refuse pictures with more pixels.")
    ] = 50_000_000,
    time_limit: Annotated[
        float, typer.Option("--time-limit", min=1, help="Seconds a picture may take.")
    ] = 300.0,
    memory: Annotated[
        int,
        typer.Option("--memory", min=64, help="MiB a worker may take beside its loaded methods."),
    ] = 4096,
    open_page: Annotated[
        bool, typer.Option("--open", help="Open the page in the browser.")
    ] = False,
) -> None:
    """Serve a page for people and a REST API for programs, from this machine.

    The page takes pictures by drop, paste or choice and shows what was found. The API is described
    at /openapi.json; /healthz, /readyz and /metrics are for machines that watch. Pictures are
    examined in worker processes with limits on memory and time, and forgotten.
    """
    config = _config(
        methods=_choices(method or [], preset or [], weights or []),
        host=host,
        port=port,
        token=token or os.environ.get("TAMPERSCOPE_TOKEN") or None,
        allowed_hosts=tuple(allow_host or ()),
        device=device,
        precision=precision,
        workers=workers,
        threads=threads,
        queue_size=queue,
        batch_size=max_batch,
        spare_workers=spare,
        max_bytes=max_megabytes * _MIB,
        max_pixels=max_pixels,
        time_limit=time_limit,
        memory_limit=memory * _MIB,
    )
    from tamperscope.web.server import serve as run

    run(config, announce=lambda address: _announce(address, open_page))


def _config(**options: object) -> "ServeConfig":
    from tamperscope.errors import missing_extra

    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError:
        raise missing_extra("tamperscope serve", "web") from None
    from tamperscope.web.config import ServeConfig

    return ServeConfig(**options)  # type: ignore[arg-type]


def _choices(
    names: Sequence[str], presets: Sequence[str], weights: Sequence[str]
) -> "tuple[MethodChoice, ...]":
    """What to serve, checked as far as can be without loading anything: no address is announced
    for a service that cannot be.
    """
    from tamperscope import catalog
    from tamperscope.web.config import MethodChoice
    from tamperscope.weights import resolve

    by_preset, by_weights = _pairs("--preset", presets, names), _pairs("--weights", weights, names)
    for name in names:
        catalog.preset_of(name, by_preset.get(name))
    for file in by_weights.values():
        resolve(file)
    return tuple(
        MethodChoice(name=name, preset=by_preset.get(name), weights=by_weights.get(name))
        for name in names
    )


def _pairs(option: str, texts: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (equals and name and value):
            _console.usage_error(f"{option} takes METHOD=VALUE, got {text!r}")
        if name not in names:
            _console.usage_error(f"{option} {text}: say --method {name} as well")
        pairs[name] = value
    return pairs


def _announce(address: str, open_page: bool) -> None:
    import webbrowser

    console = _console.stdout()
    console.print(f"tamperscope is at {address} (Ctrl-C stops it)", soft_wrap=True, markup=False)
    if open_page:
        webbrowser.open(address)
