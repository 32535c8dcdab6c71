"""``tamperscope batch``: a row for every picture of an archive."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from tamperscope.cli import _console, _options

if TYPE_CHECKING:
    from tamperscope.batch.config import BatchConfig
    from tamperscope.batch.summary import Progress

EPILOG = (
    "Exit codes: 0 every input has its row (inputs that could not be examined have one that says "
    "why), 1 stopped before the end, 2 wrong usage, 130 stopped by Ctrl-C or SIGTERM. After 1 and "
    "130, and after a crash, the same command goes on from there."
)
_MIB = 1 << 20
_BETWEEN_LINES = 30.0
_BETWEEN_UPDATES = 0.5


_RETRY = "--retry-errors"


class Command(TyperCommand):
    """Lets ``--retry-errors`` stand without a value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See click."""
        for i, argument in enumerate(args):
            bare = argument == _RETRY and (i + 1 == len(args) or args[i + 1].startswith("-"))
            if bare:
                args[i] = f"{_RETRY}=passing"
        return super().parse_args(ctx, args)


def batch(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A folder, a list of paths or URLs (.txt), a table (.csv, .tsv, .jsonl, "
            ".parquet), or the URL of one of these.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="DEST", help="Folder of the results.", show_default=False
        ),
    ],
    method: Annotated[
        str, typer.Option("--method", "-m", help="Method; `tamperscope methods` lists them.")
    ] = "focal",
    preset: _options.Preset = None,
    weights: Annotated[
        str | None,
        typer.Option("--weights", help="Name or file of the weights.", show_default=False),
    ] = None,
    device: _options.Device = "auto",
    precision: _options.Precision = "auto",
    max_pixels: _options.MaxPixels = 100_000_000,
    settings: _options.Settings = None,
    runtime: Annotated[
        str,
        typer.Option("--runtime", help="What runs the networks: torch, or onnx for ONNX Runtime."),
    ] = "torch",
    onnx: Annotated[
        list[Path] | None,
        typer.Option(
            "--onnx",
            metavar="FILE",
            help="For --runtime onnx: a file of `tamperscope export`; may be repeated. By default "
            "the networks are exported on first use, into the user's cache.",
            show_default=False,
        ),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option(
            "--column",
            help="Column of a table with the paths, URLs or (Parquet) encoded pictures.",
            show_default=False,
        ),
    ] = None,
    id_column: Annotated[
        str | None,
        typer.Option("--id-column", help="Column of a table with the ids.", show_default=False),
    ] = None,
    allow_outside: Annotated[
        bool,
        typer.Option(
            "--allow-outside",
            help="Follow paths and links that lead out of the folder of SOURCE.",
        ),
    ] = False,
    masks: Annotated[
        str, typer.Option("--masks", help="png (in tar files), rle (in the rows) or none.")
    ] = "png",
    shard: Annotated[
        str,
        typer.Option("--shard", metavar="I/N", help="Only share I of N, counted from 0."),
    ] = "0/1",
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="Only the first so many inputs.", show_default=False),
    ] = None,
    retry_errors: Annotated[
        str | None,
        typer.Option(
            _RETRY,
            metavar="[KINDS]",
            help="Examine inputs again whose rows say certain errors: passing (those that may go "
            "well another time; also meant where nothing is said), all, or names with commas "
            "between them such as WorkerDied,MethodFailed.",
            show_default=False,
        ),
    ] = None,
    engine: Annotated[
        str, typer.Option("--engine", help="local (this machine) or ray (a cluster).")
    ] = "local",
    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            min=0,
            help="Processes that examine pictures; 0: one per core, or per graphics device.",
        ),
    ] = 0,
    ray_address: Annotated[
        str | None,
        typer.Option(
            "--ray-address",
            help="Of a Ray cluster, such as auto; by default Ray starts on this machine.",
            show_default=False,
        ),
    ] = None,
    gpus_per_worker: Annotated[
        float, typer.Option("--gpus-per-worker", min=0, help="Share of a GPU per Ray worker.")
    ] = 0.0,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, help="Seconds a picture may take.")
    ] = 120.0,
    memory: Annotated[
        int,
        typer.Option("--memory", min=64, help="MiB a worker may take beside its loaded method."),
    ] = 4096,
    part_rows: Annotated[
        int, typer.Option("--part-rows", min=1, help="Rows in each part file.")
    ] = 1000,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as JSON, and nothing else.")
    ] = False,
) -> None:
    """Examine an archive of any size: exactly one row for every input, broken ones included.

    DEST gets rows/part-*.parquet, masks/part-*.tar and report.json. Every picture has a limit on
    time and memory; a worker that dies or hangs is replaced and the rest goes on. Inputs with the
    same bytes are examined once. A run that was stopped or killed at any moment goes on when the
    same command is given again: nothing is lost and nothing is there twice. --retry-errors has
    inputs examined again that failed, and replaces their rows.
    """
    _need_pyarrow()
    from tamperscope.batch.config import BatchConfig, Shard
    from tamperscope.batch.run import run_batch
    from tamperscope.batch.summary import text
    from tamperscope.batch.work import parse_kinds

    config = BatchConfig(
        source=source,
        output=output,
        method=method,
        preset=preset,
        weights=weights,
        device=device,
        precision=precision,
        max_pixels=max_pixels,
        options=_console.parse_settings(settings or []),
        runtime=runtime,
        onnx=tuple(onnx or ()),
        column=column,
        id_column=id_column,
        allow_outside=allow_outside,
        masks=masks,
        shard=Shard.parse(shard),
        limit=limit,
        retry_errors=frozenset() if retry_errors is None else parse_kinds(retry_errors),
        engine=engine,
        workers=workers,
        ray_address=ray_address,
        gpus_per_worker=gpus_per_worker,
        time_limit=timeout,
        memory_limit=memory * _MIB,
        part_rows=part_rows,
    )
    with _polite_end(), _shown() as tell:
        report = _run(run_batch, config, tell)
    if as_json:
        _console.print_json(report)
        return
    console = _console.stdout()
    for line in text(report):
        console.print(line, markup=False)
    if report["inputs"]:
        console.print(f"rows in {output / 'rows'}", markup=False, soft_wrap=True)
    else:
        console.print(f"no inputs: {source} holds none, or this share none", markup=False)


def _run(
    run_batch: Callable[..., dict[str, Any]],
    config: "BatchConfig",
    tell: "Callable[[Progress], None]",
) -> dict[str, Any]:
    from tamperscope.errors import DataError, WeightsError

    begun = False

    def told(progress: "Progress") -> None:
        nonlocal begun
        begun = True
        tell(progress)

    try:
        return run_batch(config, tell=told)
    except (DataError, WeightsError) as error:
        if begun:
            raise
        # Nothing can be examined: that is the caller's to mend.
        _console.usage_error(str(error))
    except KeyboardInterrupt:
        _console.stderr().print("stopped; the same command goes on from there")
        raise typer.Exit(_console.INTERRUPTED) from None


def _need_pyarrow() -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        from tamperscope.errors import missing_extra

        raise missing_extra("tamperscope batch", "batch") from None


@contextmanager
def _polite_end() -> Iterator[None]:
    """Take SIGTERM, by which schedulers end a job, for a Ctrl-C."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _shown() -> "Iterator[Callable[[Progress], None]]":
    """A line that keeps changing on a terminal; elsewhere a line now and then, for a log."""
    console = _console.stderr()
    begun = time.monotonic()
    if not console.is_terminal:
        next_line = begun + _BETWEEN_LINES

        def log(progress: "Progress") -> None:
            nonlocal next_line
            if time.monotonic() >= next_line:
                next_line = time.monotonic() + _BETWEEN_LINES
                console.print(progress.line(), markup=False)

        yield log
        return
    next_update = begun
    with console.status("starting workers") as status:

        def show(progress: "Progress") -> None:
            nonlocal next_update
            if time.monotonic() >= next_update:
                next_update = time.monotonic() + _BETWEEN_UPDATES
                status.update(progress.line())

        yield show
