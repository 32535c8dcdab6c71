"""Measure a method and the references on every set at hand, and print the tables.

    python benchmarks/accuracy.py --casia1 DIR --imd2020 DIR --objects DIR --held-back 0.1

Only the sets whose folder is given are measured. Records are written to results/. With --held-back
the objects set shrinks to the photos that training holds back (the recipe's val_share).
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import Progress

from tamperscope.bench import load_records, main_bench, markdown_table
from tamperscope.bench.tables import markdown_content, markdown_kinds
from tamperscope.data.synthesis.sources import held_back
from tamperscope.errors import TamperscopeError

SETS = ("casia1", "imd2020", "folder", "authentic", "objects")


def main() -> int:
    """Run what was asked for; 2 when a set or a method cannot be used."""
    options = arguments()
    chosen = {name: getattr(options, name) for name in SETS if getattr(options, name) is not None}
    console = Console(stderr=True)
    if not chosen:
        console.print(f"no set given: name at least one of --{', --'.join(SETS)}")
        return 2
    try:
        for name, root in chosen.items():
            measure(name, root, options, console)
        records = load_records(options.output)
    except TamperscopeError as error:
        console.print(str(error), style="red", markup=False)
        return 2
    print(markdown_table(records, intervals=True))
    print(markdown_kinds(records))
    print(markdown_content(records))
    return 0


def measure(name: str, root: Path, options: argparse.Namespace, console: Console) -> None:
    """One set, with a progress bar; the references only where they were not left out."""
    with Progress(console=console, transient=True) as bar, TemporaryDirectory() as folder:
        stems = options.stems
        if name == "objects" and stems is None and options.held_back:
            stems = Path(folder) / "held_back.txt"
            names = (path.stem for path in sorted((root / "images").glob("*")))
            stems.write_text("\n".join(n for n in names if held_back(n, options.held_back)))
        task = bar.add_task(name)

        def show(done: int, total: int, sample: str) -> None:
            bar.update(task, completed=done, total=total, description=f"{name}: {sample}")

        main_bench(
            name,
            root,
            method=options.method,
            preset=options.preset,
            weights=options.weights,
            limit=options.limit,
            output=options.output,
            rows=options.rows,
            references=not options.no_references,
            stems=stems if name == "objects" else None,
            progress=show,
        )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Raw)
    for name in SETS:
        parser.add_argument(f"--{name}", type=Path, metavar="DIR", help=f"folder of the {name} set")
    parser.add_argument("--stems", type=Path, help="ids of the objects set to measure, one a line")
    parser.add_argument("--held-back", type=float, help="share of the objects set held back")
    parser.add_argument("--method", default="focal", help="a method or a reference")
    parser.add_argument("--preset", help="a preset of the method")
    parser.add_argument("--weights", help="a weights name or file")
    parser.add_argument("--limit", type=int, help="at most so many pictures of each class")
    parser.add_argument("--rows", action="store_true", help="keep every picture's numbers")
    parser.add_argument("--no-references", action="store_true", help="only the method")
    parser.add_argument("--output", type=Path, default=Path("results"), help="folder of records")
    return parser.parse_args()


class _Raw(argparse.RawDescriptionHelpFormatter):
    """Keeps the example in the description as it is written."""


if __name__ == "__main__":
    raise SystemExit(main())
