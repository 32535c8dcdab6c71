"""``tamperscope localize``: pictures in; masks, maps, records and pages out."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tamperscope.cli import _console, _inputs, _options, _outputs
from tamperscope.report.plain import printable

if TYPE_CHECKING:
    from rich.console import Console

    from tamperscope.localizer import Localizer
    from tamperscope.report.html import IndexEntry

EPILOG = (
    "Exit codes: 0 every picture was examined, 1 some could not be, 2 wrong usage or nothing to "
    "do, 130 stopped by Ctrl-C (finished pictures stay; --resume goes on from there)."
)


def localize(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Pictures, folders of pictures, or patterns in quotes such as 'photos/*.jpg'.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where the results go.")
    ] = Path("tamperscope-out"),
    method: Annotated[
        str, typer.Option("--method", "-m", help="Method; `tamperscope methods` lists them.")
    ] = "focal",
    preset: _options.Preset = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            help="Name or file of the weights; `tamperscope weights list` lists the known ones. "
            "Several, with commas between them, are fused where the method can.",
            show_default=False,
        ),
    ] = None,
    device: _options.Device = "auto",
    precision: _options.Precision = "auto",
    engine: _options.Engine = "torch",
    onnx: _options.Onnx = None,
    recursive: _options.Recursive = False,
    max_pixels: _options.MaxPixels = 100_000_000,
    settings: _options.Settings = None,
    report: Annotated[
        bool,
        typer.Option("--report", help="Also write an HTML page per picture, and an index of all."),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Skip pictures done before: same content, same settings, same weights.",
        ),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one line of JSON per picture, and nothing else."),
    ] = False,
) -> None:
    """Find the manipulated region of pictures.

    For each picture, DIR gets NAME.mask.png (white = suspicious), NAME.heatmap.png,
    NAME.overlay.png, NAME.npz (scores), NAME.json (record) and, with --report, NAME.html;
    from a method that estimates fakeness also NAME.fakeness.png, its map in grey levels.
    Pictures of the same name from different folders get names of their own. A picture that cannot
    be read is one line on standard error, and the rest goes on.
    """
    config = _settings(settings or [])
    found = _inputs.find_pictures(paths, recursive=recursive, skip=output)
    errors = _console.stderr()
    for name, problem in found.problems:
        _console.show_error(errors, name, problem)
    if not found.pictures:
        _console.usage_error("nothing to do: no picture was found")
    localizer = _load(
        method,
        preset=preset,
        weights=weights,
        device=device,
        precision=precision,
        max_pixels=max_pixels,
        engine=engine,
        onnx=onnx,
        **config,
    )
    _make_folder(output, report)
    run = _Run(localizer, output, found.pictures, max_pixels, report=report, resume=resume)
    run.failures += [(name, _console.describe_error(error)) for name, error in found.problems]
    try:
        _examine(run, found.pictures, errors, as_json)
    except KeyboardInterrupt:
        done = f"{len(run.rows)} of {len(found.pictures)} pictures"
        errors.print(f"stopped after {done}; --resume goes on from there")
        raise typer.Exit(_console.INTERRUPTED) from None
    if report:
        run.write_index()
    if not as_json:
        _summary(run)
    raise typer.Exit(_console.SOME_FAILED if run.failures else _console.OK)


def _load(method: str, **options: Any) -> "Localizer":
    from tamperscope import catalog
    from tamperscope.errors import TamperscopeError

    try:
        return catalog.load(method, **options)
    except TamperscopeError as error:
        # Nothing can be examined, whatever the reason: that is the caller's to mend.
        _console.show_error(_console.stderr(), "tamperscope", error)
        raise typer.Exit(_console.USAGE) from None


def _make_folder(folder: Path, report: bool) -> None:
    from tamperscope.errors import DataError

    try:
        if report:
            _outputs.check_index(folder)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        _console.usage_error(f"cannot write to {folder}: {reason}; choose another with --output")
    except DataError as error:
        _console.usage_error(str(error))


# What `tamperscope.load` takes beside a method's own settings.
_OPTIONS = (
    "method",
    "name",
    "preset",
    "weights",
    "device",
    "precision",
    "max_pixels",
    "engine",
    "onnx",
)


def _settings(pairs: Sequence[str]) -> dict[str, Any]:
    config = _console.parse_settings(pairs)
    for key in _OPTIONS:
        if key in config:
            option = "--method" if key == "name" else f"--{key.replace('_', '-')}"
            _console.usage_error(f"--set {key}: is no setting of the method; use {option}")
    return config


@dataclass(frozen=True)
class _Row:
    picture: Path
    verdict: str
    seconds: float | None
    """None: done in an earlier run."""
    stem: str
    image_score: float
    flagged: bool


@dataclass
class _Run:
    """The state of one call: what is loaded, where results go, what happened so far."""

    localizer: "Localizer"
    folder: Path
    pictures: Sequence[Path]
    max_pixels: int
    report: bool = field(kw_only=True)
    resume: bool = field(kw_only=True)
    rows: list[_Row] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        from tamperscope.provenance import config_digest

        self.digest = config_digest(self.localizer.describe())
        self.names = _outputs.Names(self.folder, self.pictures)
        self.done = _outputs.finished(self.folder, self.digest) if self.resume else {}
        # What lies there under these names may yet be overwritten.
        self._to_come = {self.names[picture] for picture in self.pictures}
        self._thumbnails: dict[str, bytes] = {}

    def examine(self, picture: Path) -> dict[str, Any]:
        """Do one picture, or find it done; returns its record."""
        from tamperscope.image import read_image

        started = time.perf_counter()
        shown = self.names.shown(picture)
        image = read_image(picture, max_pixels=self.max_pixels, id=shown)
        stem = self.names[picture]
        seconds = None
        self._to_come.discard(stem)
        before = self._done_before(image, stem)
        if before is not None:
            stem, record = before
        else:
            result = self.localizer.localize(image, id=shown)
            # What lay there under this name is overwritten: no copy of it was done before.
            for copies in self.done.values():
                copies.pop(stem, None)
            record = _outputs.write_outputs(
                self.folder,
                stem,
                image,
                result,
                self.localizer.card,
                source=picture,
                run_digest=self.digest,
                report=self.report,
            )
            seconds = time.perf_counter() - started
            self._keep_thumbnail(stem, image, result)
        self.rows.append(
            _Row(
                picture,
                record["verdict"],
                seconds,
                stem,
                record["image_score"],
                record["forged_fraction"] > 0,
            )
        )
        return {**record, "skipped": seconds is None, "folder": str(self.folder)}

    def _done_before(self, image: Any, stem: str) -> tuple[str, dict[str, Any]] | None:
        """Stem and record of an earlier run's result for this picture, if there is a whole one."""
        done = self.done.get(image.sha256, {})
        # Its own result, else that of a copy: the content decides, not the name.
        for known in [stem] if stem in done else [s for s in done if s not in self._to_come]:
            record = self._completed(image, known, done[known])
            if record is not None:
                return known, record
        return None

    def _completed(self, image: Any, stem: str, record: dict[str, Any]) -> dict[str, Any] | None:
        """What a finished picture still lacks for this call: its page, its thumbnail. None where
        its scores are damaged: it has to be examined again."""
        if not self.report:
            return record
        from tamperscope.errors import ResultError
        from tamperscope.result import Localization

        try:
            result = Localization.load(self.folder / (stem + _outputs.KINDS["scores"]))
        except ResultError:
            return None
        if "report" not in record["outputs"]:
            _outputs.write_report(self.folder, stem, image, result, self.localizer.card, record)
            _outputs.write_record(self.folder, stem, record)
        self._keep_thumbnail(stem, image, result)
        return record

    def _keep_thumbnail(self, stem: str, image: Any, result: Any) -> None:
        if self.report:
            from tamperscope.report.html import thumbnail

            self._thumbnails[stem] = thumbnail(image.pixels, result)

    def write_index(self) -> None:
        """Write ``index.html`` over the pictures of this call."""
        from tamperscope.report.html import index_page
        from tamperscope.result import write_atomic

        page = index_page([self._entry(row) for row in self.rows], self.failures)
        write_atomic(self.folder / "index.html", page.encode())

    def _entry(self, row: _Row) -> "IndexEntry":
        from tamperscope.report.html import IndexEntry

        return IndexEntry(
            name=self.names.shown(row.picture),
            verdict=row.verdict,
            image_score=row.image_score,
            thumbnail=self._thumbnails[row.stem],
            page=row.stem + _outputs.KINDS["report"],
            flagged=row.flagged,
        )


def _examine(run: _Run, pictures: Sequence[Path], errors: "Console", as_json: bool) -> None:
    for picture in _with_progress(pictures, errors):
        try:
            record = run.examine(picture)
        except Exception as error:
            name = str(picture)
            _console.show_error(errors, name, error)
            message = _console.describe_error(error, name)
            run.failures.append((name, message))
            record = {"source": str(picture.resolve()), "error": message}
        if as_json:
            _console.print_json(record)


def _with_progress(pictures: Sequence[Path], console: "Console") -> Iterator[Path]:
    """The pictures one by one, with a bar on a terminal and nothing elsewhere."""
    with _console.progress_bar(console) as bar:
        task = bar.add_task("", total=len(pictures))
        for picture in pictures:
            bar.update(task, description=_console.shorten(picture.name))
            yield picture
            bar.advance(task)


def _summary(run: _Run) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("picture", "finding", "time", "results"):
        table.add_column(title, overflow="fold")
    for row in run.rows:
        seconds = "done before" if row.seconds is None else f"{row.seconds:.1f} s"
        name = printable(str(row.picture))
        where = str(run.folder / row.stem) + ".*"
        table.add_row(*(Text(cell) for cell in (name, row.verdict, seconds, where)))
    for name, message in run.failures:
        cells = (printable(name), f"failed: {printable(message)}", "", "")
        table.add_row(*(Text(cell) for cell in cells), style="red")
    console = _console.stdout()
    console.print(table)
    if run.report:
        console.print(Text(f"open {run.folder / 'index.html'}"))
