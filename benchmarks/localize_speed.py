"""Time `localize` on synthetic JPEGs of 0.25, 1 and 12 million pixels, presets taking turns.

    python benchmarks/localize_speed.py --presets default --repeats 5

One record for each preset is written to results/speed-<method>-<preset>.json.
"""

import argparse
from functools import partial
from pathlib import Path

from tamperscope import catalog
from tamperscope.bench import Record
from tamperscope.bench.predictor import describe_method, weights_of
from tamperscope.bench.speed import DEFAULT_MEGAPIXELS, DEFAULT_REPEATS, measure_speed
from tamperscope.bench.tables import markdown_speed
from tamperscope.errors import TamperscopeError

RULE = (
    "wall seconds of localize(bytes), decoding included; one call not counted, then the median of "
    "rounds in which all candidates take turns"
)


def main() -> int:
    """Time what was asked for; 2 when a preset cannot be loaded."""
    options = arguments()
    try:
        methods = {
            preset: catalog.load(options.method, preset=preset, device=options.device)
            for preset in options.presets
        }
        seconds = measure_speed(
            {preset: partial(method.localize, id="speed") for preset, method in methods.items()},
            megapixels=options.megapixels,
            repeats=options.repeats,
        )
    except TamperscopeError as error:
        print(error)
        return 2
    records = []
    for preset, method in methods.items():
        record = Record(
            kind="speed",
            method={**describe_method(method), "preset": preset},
            weights=weights_of(method),
            protocol={"name": "speed", "rule": RULE},
            dataset={"name": "synthetic JPEG, 4:3, quality 92"},
            numbers={"seconds": seconds[preset]},
        )
        record.save(options.output / f"speed-{options.method}-{preset}.json")
        records.append(record.to_dict())
    print(markdown_speed(records))
    return 0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--method", default="focal", help="a method of the catalogue")
    parser.add_argument("--presets", nargs="+", default=["default"], help="its presets to time")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument(
        "--megapixels", nargs="+", type=float, default=list(DEFAULT_MEGAPIXELS), help="sizes"
    )
    parser.add_argument("--repeats", type=int, default=DEFAULT_REPEATS, help="rounds")
    parser.add_argument("--output", type=Path, default=Path("results"), help="folder of records")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
