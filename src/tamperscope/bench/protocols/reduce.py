"""From the rows of a set to one number with its interval."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tamperscope.bench.evaluation import (
    Evaluation,
    Interval,
    mean_interval,
    plain,
    ranking_interval,
)
from tamperscope.metrics import bootstrap, dolos

Rows = Sequence[Mapping[str, float]]

Reducer = Callable[[Rows, str, Evaluation], Interval | None]
"""(rows, name of the number, evaluation) -> the set's number; None where no picture has it."""


def mean(rows: Rows, name: str, evaluation: Evaluation) -> Interval | None:
    """Mean over the pictures that have the number; NaN is left out. Where both classes have it,
    their pictures are drawn apart: how many there are of each is no matter of chance.
    """
    known = [row for row in rows if not math.isnan(row.get(name, math.nan))]
    parts = [[row for row in known if bool(row.get("tampered", 1)) == wanted] for wanted in (1, 0)]
    if not all(parts):
        return mean_interval([row[name] for row in known], evaluation)
    shares = [len(part) / len(known) for part in parts]
    tables = [np.array([[row[name]] for row in part], np.float64) for part in parts]
    found = bootstrap.class_interval(
        tables[0],
        tables[1],
        lambda tampered, authentic: shares[0] * tampered[..., 0] + shares[1] * authentic[..., 0],
        level=evaluation.confidence,
        resamples=evaluation.bootstrap_samples,
        seed=evaluation.seed,
    )
    return plain(found)


def ranking(statistic: bootstrap.Statistic, column: str = "image_score") -> Reducer:
    """A number of the image scores of both classes; none where one is missing."""

    def reduce(rows: Rows, name: str, evaluation: Evaluation) -> Interval | None:
        tampered = [row[column] for row in rows if row["tampered"]]
        authentic = [row[column] for row in rows if not row["tampered"]]
        return ranking_interval(tampered, authentic, statistic, evaluation)

    return reduce


Means = Callable[[Mapping[str, NDArray[np.float64]], Mapping[str, NDArray[np.float64]]], object]
"""(column -> mean over tampered, column -> mean over authentic) -> the number."""


def of_means(*columns: str, number: Means, both: bool = True) -> Reducer:
    """A number made of the class means of ``columns``, and of ``share``, the share of all pictures
    that is in the class; with ``both`` none where a class is missing."""

    def reduce(rows: Rows, name: str, evaluation: Evaluation) -> Interval | None:
        parts = [[row for row in rows if bool(row["tampered"]) == wanted] for wanted in (1, 0)]
        if not rows or (both and not all(parts)):
            return None

        def statistic(
            tampered: NDArray[np.float64], authentic: NDArray[np.float64]
        ) -> NDArray[np.float64]:
            named = [
                dict(zip(columns, np.moveaxis(means, -1, 0), strict=True))
                | {"share": np.full(means.shape[:-1], len(part) / len(rows))}
                for means, part in zip((tampered, authentic), parts, strict=True)
            ]
            return np.asarray(number(*named), np.float64)

        tables = [
            np.array([[row[c] for c in columns] for row in part], np.float64).reshape(
                len(part), len(columns)
            )
            for part in parts
        ]
        found = bootstrap.class_interval(
            tables[0],
            tables[1],
            statistic,
            level=evaluation.confidence,
            resamples=evaluation.bootstrap_samples,
            seed=evaluation.seed,
        )
        return plain(found)

    return reduce


def balanced_redraws(rows: Rows, name: str, evaluation: Evaluation) -> Interval | None:
    """DOLOS's average precision: mean of 5 balanced redraws, low and high two deviations away.

    The order of the rows decides what is drawn: keep them sorted by name.
    """
    fake = [row["image_score"] for row in rows if row["tampered"]]
    real = [row["image_score"] for row in rows if not row["tampered"]]
    if not fake or not real:
        return None
    found = dolos.balanced_precision(real, fake)
    return {
        "mean": found.mean,
        "low": found.mean - 2 * found.std,
        "high": found.mean + 2 * found.std,
        "count": 2 * found.count,
    }
