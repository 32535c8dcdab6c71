"""Put the tables of docs/protocols.md between their markers, from the protocols themselves.

    python docs/make_protocols.py

The scores of predictors that know nothing are computed anew: on made-up ground truths, one tenth
forged, since they need no picture.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tamperscope.bench.protocols import PROTOCOLS, Prediction, Protocol, get

PAGE = Path(__file__).with_name("protocols.md")
MARKED = re.compile(r"(<!-- (trivial|rules: \w+) -->\n).*?(<!-- end -->)", re.DOTALL)

SIDE, TAMPERED, AUTHENTIC = 256, 24, 12
FORGED = (64, 102)
"""Rows and columns of the forged rectangle: one tenth of the picture."""
GRID = (64, 64)

RULES = {
    "source": "Source",
    "mask_polarity": "Masks on disk",
    "geometry": "Picture geometry",
    "scoring_resolution": "Scored at",
    "threshold_rule": "Decision",
    "averaging": "Averaging",
    "empty_mask_rule": "Empty masks",
    "border_band": "Border of the forgery",
    "permutation": "Swapped classes",
    "pictures_counted": "Pictures counted",
    "ties": "Equal scores",
    "image_level": "Image level",
    "failure_rule": "Refused pictures",
    "departures": "Here otherwise",
}

Truth = NDArray[np.bool_]


def truths() -> list[Truth | None]:
    """Rectangles anywhere in the picture, then authentic pictures."""
    rng = np.random.default_rng(0)
    made: list[Truth | None] = []
    for _ in range(TAMPERED):
        top, left = (int(rng.integers(SIDE - length + 1)) for length in FORGED)
        truth = np.zeros((SIDE, SIDE), np.bool_)
        truth[top : top + FORGED[0], left : left + FORGED[1]] = True
        made.append(truth)
    return made + [None] * AUTHENTIC


def prediction(score_map: NDArray[np.floating]) -> Prediction:
    """A map with its mask above .5, its largest value for the image score."""
    found = np.asarray(score_map, np.float32)
    return Prediction(found, found > 0.5, float(found.max()), feature_grid=GRID)


def predictors() -> Mapping[str, Callable[[Truth | None], Prediction]]:
    """Name in the table -> answer to a picture with that ground truth."""
    rng = np.random.default_rng(1)
    shape = (SIDE, SIDE)
    box = np.zeros(shape)
    box[SIDE // 4 : -SIDE // 4, SIDE // 4 : -SIDE // 4] = 1
    nothing = np.zeros(shape, np.bool_)

    def known(truth: Truth | None) -> Truth:
        return nothing if truth is None else truth

    return {
        "nothing forged": lambda truth: prediction(np.zeros(shape)),
        "all forged": lambda truth: prediction(np.ones(shape)),
        "noise": lambda truth: prediction(rng.random(shape)),
        "central box": lambda truth: prediction(box),
        "the answer inverted": lambda truth: prediction(~known(truth)),
        "the answer": lambda truth: prediction(known(truth)),
    }


def scores() -> dict[str, dict[str, dict[str, float | None]]]:
    """Protocol -> number -> predictor -> value."""
    quick = [replace(protocol, bootstrap_samples=1) for protocol in PROTOCOLS.values()]
    found: dict[str, dict[str, dict[str, float | None]]] = {
        p.name: {n.name: {} for n in p.numbers} for p in quick
    }
    for name, predict in predictors().items():
        answers = [(predict(truth), truth) for truth in truths()]
        for protocol in quick:
            rows = [protocol.score(answer, truth) for answer, truth in answers]
            for number, interval in protocol.summarize(rows).items():
                found[protocol.name][number][name] = interval and interval["mean"]
    return found


def trivial_table() -> str:
    """A line for each protocol and number, a column for each predictor."""
    names = list(predictors())
    lines = [f"| Protocol | Number | {' | '.join(names)} |", f"|---|---|{'---:|' * len(names)}"]
    for protocol, numbers in scores().items():
        titles = {n.name: n.title for n in get(protocol).numbers}
        lines += [
            f"| {protocol} | {titles[number]} | "
            f"{' | '.join(_short(values[name]) for name in names)} |"
            for number, values in numbers.items()
        ]
    return "\n".join(lines) + "\n"


def rules_table(protocol: Protocol) -> str:
    """Every choice of a protocol in words, then its numbers."""
    lines = ["| | |", "|---|---|"]
    lines += [f"| {title} | {getattr(protocol, name)} |" for name, title in RULES.items()]
    lines += ["", "| Number | | Over |", "|---|---|---|"]
    over = {"all": "all pictures", "tampered": "tampered", "authentic": "authentic"}
    lines += [f"| {n.title} | {n.why or n.meaning} | {over[n.over]} |" for n in protocol.numbers]
    return "\n".join(lines) + "\n"


def filled(text: str) -> str:
    """The page with every marked table made anew."""

    def fill(match: re.Match[str]) -> str:
        kind = match[2]
        name = kind.removeprefix("rules: ")
        return match[1] + (trivial_table() if kind == name else rules_table(get(name))) + match[3]

    return MARKED.sub(fill, text)


def _short(value: float | None) -> str:
    if value is None:
        return "n/a"
    return f"{value:.3f}".replace("0.", ".", 1) if abs(value) < 0.9995 else f"{value:.0f}"


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
