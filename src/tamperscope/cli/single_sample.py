"""``tamperscope single-sample``: real from fake in a folder, with the label of one picture."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tamperscope.cli import _console, _inputs, _options
from tamperscope.report.plain import printable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tamperscope.clustering.single_sample import Draws, SingleSample, SingleSampleConfig

EPILOG = (
    "Exit codes: 0 every picture was named, 1 some could not be read or there are too few, 2 wrong "
    "usage, 130 stopped by Ctrl-C."
)
FORMAT = "tamperscope single-sample"
_WORDS = {"real": False, "fake": True}
_SHOWN = 40


def single_sample(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="A folder of pictures, real and fake ones.", show_default=False
        ),
    ],
    labels: Annotated[
        list[str],
        typer.Option(
            "--label",
            metavar="PATH=real|fake",
            help="A picture, or a folder of pictures, of known label; may be repeated. One picture "
            "is enough, of several the majority decides.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where the results go.")
    ] = Path("single-sample"),
    method: Annotated[
        str, typer.Option("--method", "-m", help="Method whose features are clustered.")
    ] = "fakelocator",
    preset: Annotated[
        str | None,
        typer.Option("--preset", help="A named set of settings of the method.", show_default=False),
    ] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", help="Name or file.", show_default=False)
    ] = None,
    device: _options.Device = "auto",
    precision: _options.Precision = "auto",
    recursive: _options.Recursive = False,
    max_pixels: _options.MaxPixels = 100_000_000,
    settings: _options.Settings = None,
    grouping: Annotated[
        str, typer.Option("--grouping", help="kmeans (two clusters) or hdbscan.")
    ] = "kmeans",
    dimensions: Annotated[int, typer.Option("--dimensions", help="Of the embedding, 2 or 3.")] = 2,
    perplexity: Annotated[
        float,
        typer.Option("--perplexity", help="Of t-SNE; at most a third of the other pictures."),
    ] = 30.0,
    seed: Annotated[int, typer.Option("--seed", help="Of t-SNE, k-means and the draws.")] = 0,
    draws: Annotated[
        int,
        typer.Option(
            "--draws",
            min=1,
            help="With several known labels: how many of them are tried one at a time.",
        ),
    ] = 10,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the results as JSON instead of the table.")
    ] = False,
) -> None:
    """Tell real from fake pictures of one unknown generator, given the label of one of them.

    The method's features of all pictures are brought to a plane by t-SNE and split into two groups;
    the labelled picture names its group, the other group gets the other label. DIR gets
    single-sample.json and, with the extra plots, the scatter plot as SVG and PNG. A picture that
    cannot be read is one line on standard error, and the rest goes on. With several known labels
    each is also tried alone, to see how well one would have done.
    """
    from tamperscope.clustering.single_sample import SingleSampleConfig

    # An argument of the wrong kind should not wait for the network.
    config = SingleSampleConfig(
        dimensions=dimensions,
        perplexity=perplexity,
        grouping=grouping,  # type: ignore[arg-type]
        seed=seed,
    )
    errors = _console.stderr()
    run = _Run(output=output, config=config, draws=draws)
    pictures = run.find(folder, labels, recursive=recursive)
    for name, problem in run.failures:
        _console.show_error(errors, name, problem)
    localizer = _load(
        method,
        preset=preset,
        weights=weights,
        device=device,
        precision=precision,
        max_pixels=max_pixels,
        **_console.parse_settings(settings or []),
    )
    try:
        run.look(localizer, pictures, max_pixels=max_pixels, errors=errors)
        record, hint = run.finish(localizer)
    except KeyboardInterrupt:
        errors.print("stopped; nothing was written")
        raise typer.Exit(_console.INTERRUPTED) from None
    if as_json:
        _console.print_json(record)
    else:
        _show(record)
    if hint:
        errors.print(hint, markup=False)
    raise typer.Exit(_console.SOME_FAILED if run.failures else _console.OK)


def _load(method: str, **options: Any) -> Any:
    from tamperscope import catalog

    # A method that is not there is named before any weights are read.
    catalog.card(method)
    localizer = catalog.load(method, **options)
    if not callable(getattr(localizer, "features", None)):
        _console.usage_error(
            f"method {method!r} offers no features of whole pictures to cluster: use fakelocator"
        )
    return localizer


@dataclass
class _Run:
    """One call: what is known, what was seen, what failed."""

    output: Path
    config: "SingleSampleConfig"
    draws: int
    known: dict[Path, bool] = field(default_factory=dict)
    paths: list[Path] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    hashes: list[str] = field(default_factory=list)
    features: list["NDArray[np.float32]"] = field(default_factory=list)
    failures: list[tuple[str, Exception]] = field(default_factory=list)

    def find(self, folder: Path, labels: Sequence[str], *, recursive: bool) -> list[Path]:
        """The pictures of the folder, then those that are only known by a label."""
        found = _inputs.find_pictures([str(folder)], recursive=recursive, skip=self.output)
        self.failures += found.problems
        pictures = {path.resolve(): path for path in found.pictures}
        for label in labels:
            path, fake = _label(label)
            inside = _inputs.find_pictures([path], recursive=recursive, skip=self.output)
            self.failures += inside.problems
            for picture in inside.pictures:
                full = picture.resolve()
                if self.known.setdefault(full, fake) != fake:
                    _console.usage_error(f"{picture} is labelled both real and fake: decide")
                pictures.setdefault(full, picture)
        if not self.known:
            _console.usage_error("no labelled picture was found: check the paths after --label")
        return list(pictures.values())

    def look(
        self, localizer: Any, pictures: Sequence[Path], *, max_pixels: int, errors: Any
    ) -> None:
        """Features of every picture that can be read."""
        from tamperscope.image import read_image

        root = _inputs.common_parent(pictures)
        with _console.progress_bar(errors) as bar:
            task = bar.add_task("", total=len(pictures))
            for picture in pictures:
                bar.update(task, description=_console.shorten(picture.name))
                try:
                    image = read_image(picture, max_pixels=max_pixels)
                    features = localizer.features(image)
                except Exception as error:
                    _console.show_error(errors, str(picture), error)
                    self.failures.append((str(picture), error))
                else:
                    self.paths.append(picture)
                    self.ids.append(printable(_inputs.below(picture, root).as_posix()))
                    self.hashes.append(image.sha256)
                    self.features.append(features)
                bar.advance(task)

    def finish(self, localizer: Any) -> tuple[dict[str, Any], str | None]:
        """Cluster, name, draw and write; the record, and why there is no plot, if so."""
        import numpy as np

        from tamperscope.clustering.single_sample import accuracy_of_draws, single_sample
        from tamperscope.errors import MissingExtraError

        known = self._rows()
        if not known:
            _console.usage_error("no labelled picture could be read: label another one")
        answer = single_sample(np.stack(self.features), known, self.config)
        drawn = None
        if len(known) > 1:
            rows, fake = list(known), np.array(list(known.values()))
            labels = answer.groups.labels[rows]
            drawn = accuracy_of_draws(labels, fake, draws=self.draws, seed=self.config.seed)
        hint, plots = None, []
        try:
            plots = self._draw(answer, known)
        except MissingExtraError as error:
            hint = str(error)
        record = self._record(localizer, answer, known, drawn, plots)
        self._write(record)
        return record, hint

    def _rows(self) -> dict[int, bool]:
        """Row -> label, in the order in which the labels were given."""
        rows = {path.resolve(): row for row, path in enumerate(self.paths)}
        return {rows[path]: fake for path, fake in self.known.items() if path in rows}

    def _draw(self, answer: "SingleSample", known: dict[int, bool]) -> list[str]:
        from tamperscope.report.scatter import draw_scatter

        title = f"{len(self.paths)} pictures, {int(answer.fake.sum())} named fake"
        stem = self.output / "single-sample"
        drawn = draw_scatter(answer.embedding.points, answer.fake, stem, known=known, title=title)
        return [path.name for path in drawn]

    def _record(
        self,
        localizer: Any,
        answer: "SingleSample",
        known: dict[int, bool],
        drawn: "Draws | None",
        plots: list[str],
    ) -> dict[str, Any]:
        from dataclasses import asdict

        from tamperscope.provenance import tool_commit, tool_version

        return {
            "format": FORMAT,
            "version": tool_version(),
            "commit": tool_commit(),
            "method": localizer.describe(),
            "clustering": {
                **asdict(self.config),
                "perplexity_used": answer.embedding.perplexity,
                "clusters": answer.groups.found,
                "silhouette": answer.groups.silhouette,
            },
            "labels": {"given": len(known), "agreeing": answer.agreeing},
            "draws": None if drawn is None else _describe(drawn),
            "fake": int(answer.fake.sum()),
            "pictures": [self._picture(row, answer, known) for row in range(len(self.paths))],
            "failures": [
                {"picture": printable(name), "why": _console.describe_error(error, name)}
                for name, error in self.failures
            ],
            "plots": plots,
        }

    def _picture(self, row: int, answer: "SingleSample", known: dict[int, bool]) -> dict[str, Any]:
        return {
            "picture": self.ids[row],
            "sha256": self.hashes[row],
            "answer": _word(bool(answer.fake[row])),
            "label": _word(known.get(row)),
            "group": int(answer.groups.labels[row]),
            "margin": float(answer.groups.margin[row]),
            "point": [float(value) for value in answer.embedding.points[row]],
        }

    def _write(self, record: dict[str, Any]) -> None:
        import json

        from tamperscope.result import write_atomic

        text = json.dumps(record, indent=1, ensure_ascii=True, allow_nan=False)
        write_atomic(self.output / "single-sample.json", (text + "\n").encode())


def _label(text: str) -> tuple[str, bool]:
    path, equals, word = text.rpartition("=")
    if not equals or not path or word.strip().lower() not in _WORDS:
        _console.usage_error(f"--label takes PATH=real or PATH=fake, got {text!r}")
    return path, _WORDS[word.strip().lower()]


def _word(fake: bool | None) -> str | None:
    return None if fake is None else ("fake" if fake else "real")


def _describe(drawn: "Draws") -> dict[str, Any]:
    return {
        "count": len(drawn.values),
        "accuracy_mean": drawn.mean,
        "accuracy_std": drawn.std,
        "accuracy_expected": drawn.expected,
        "accuracy_best": drawn.best,
        "values": list(drawn.values),
    }


def _show(record: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("picture", "named", "margin", "label given"):
        table.add_column(title, overflow="fold")
    rows = record["pictures"]
    for row in rows[:_SHOWN]:
        margin = f"{row['margin']:.2f}"
        cells = (row["picture"], row["answer"], margin, row["label"] or "")
        table.add_row(*(Text(cell) for cell in cells))
    console = _console.stdout()
    console.print(table)
    if len(rows) > _SHOWN:
        console.print(f"... and {len(rows) - _SHOWN} more, in single-sample.json")
    for line in _summary(record):
        console.print(Text(line))


def _summary(record: dict[str, Any]) -> list[str]:
    count, given = len(record["pictures"]), record["labels"]
    lines = [f"{record['fake']} of {count} pictures named fake"]
    if record["clustering"]["clusters"] < 2:
        lines.append("only one group was found: every picture got the label that was given")
    if given["given"] > 1:
        lines.append(f"{given['agreeing']} of {given['given']} labels agree with the names")
    if drawn := record["draws"]:
        lines.append(
            f"one label alone: accuracy {drawn['accuracy_mean']:.3f} ± {drawn['accuracy_std']:.3f} "
            f"on the other known ones ({drawn['count']} draws)"
        )
    return lines
