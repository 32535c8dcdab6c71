"""``python -m tamperscope.train``: the loop without the command line's extras, for ``accelerate
launch``."""

import argparse
import sys
from collections.abc import Sequence

from tamperscope.errors import TamperscopeError
from tamperscope.train.config import load_recipe, recipe_names


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the arguments say; exit status 0 finished, 3 stopped by a signal, 1 on an error."""
    parser = argparse.ArgumentParser(
        prog="python -m tamperscope.train",
        description="Train a network from a recipe. Interrupted runs go on where they stopped.",
    )
    parser.add_argument("recipe", help=f"a .toml file, or one of: {', '.join(recipe_names())}")
    parser.add_argument(
        "--data",
        required=True,
        help="what the recipe learns from: photos to make forgeries of, a built set of faces"
        " (dolos, fakelocator) or labelled faces (face-parser)",
    )
    parser.add_argument("--output", "-o", required=True, help="run folder")
    parser.add_argument(
        "--resume",
        default="auto",
        help="auto (default), never, or a checkpoint or run folder to start from",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="TABLE.KEY=VALUE",
        help="change a setting of the recipe; may be repeated",
    )
    options = parser.parse_args(arguments)
    try:
        recipe = load_recipe(options.recipe, options.set)
        from tamperscope.train.loop import run_training

        report = run_training(
            recipe, data_root=options.data, output=options.output, resume=options.resume
        )
    except TamperscopeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0 if report.finished else 3


if __name__ == "__main__":
    sys.exit(main())
