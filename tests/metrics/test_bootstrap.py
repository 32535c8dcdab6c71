"""Intervals of numbers that are no plain mean."""

import numpy as np
import pytest
import sklearn.metrics

from tamperscope.errors import ConfigError, DataError
from tamperscope.metrics import bootstrap
from tamperscope.metrics.bootstrap import (
    average_precision,
    class_interval,
    recall_at,
    tally_interval,
)


def scores(tampered: int = 80, authentic: int = 120) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return (
        np.round(rng.normal(0.6, 0.2, tampered), 1),
        np.round(rng.normal(0.4, 0.2, authentic), 1),
    )


def test_average_precision_as_in_scikit_learn() -> None:
    tampered, authentic = scores()
    found = tally_interval(tampered, authentic, average_precision, resamples=300)
    labels = np.repeat([1, 0], [80, 120])
    wanted = sklearn.metrics.average_precision_score(labels, np.concatenate([tampered, authentic]))
    assert found.mean == pytest.approx(wanted, abs=1e-12)
    assert found.low < wanted < found.high
    assert found.count == 200


def test_interval_of_the_average_precision_is_that_of_drawn_pictures() -> None:
    tampered, authentic = scores()
    found = tally_interval(tampered, authentic, average_precision)
    rng, labels = np.random.default_rng(9), np.repeat([1, 0], [80, 120])
    draws = [
        sklearn.metrics.average_precision_score(
            labels, np.concatenate([rng.choice(tampered, 80), rng.choice(authentic, 120)])
        )
        for _ in range(400)
    ]
    low, high = np.quantile(draws, [0.025, 0.975])
    assert found.low == pytest.approx(low, abs=0.015)
    assert found.high == pytest.approx(high, abs=0.015)


def test_recall_at_a_false_alarm_rate() -> None:
    authentic = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    tampered = [0.85, 0.9, 0.95, 2.0]
    values = [tally_interval(tampered, authentic, recall_at(r)).mean for r in (0.0, 0.1, 0.2, 0.3)]
    assert values == [0.25, 0.5, 1.0, 1.0]
    assert tally_interval([1.0, 1.0], [1.0], recall_at(0.05)).mean == 0


def test_class_means() -> None:
    flags = np.array([[1.0], [1.0], [0.0], [1.0]]), np.array([[0.0], [1.0]])
    found = class_interval(*flags, lambda t, a: (t[..., 0] + 1 - a[..., 0]) / 2)
    assert (found.mean, found.count) == (0.625, 6)
    assert found.low < 0.625 < found.high
    alone = class_interval(flags[0], np.empty((0, 1)), lambda t, a: t[..., 0])
    assert alone.mean == 0.75


def test_blocks_do_not_lose_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "_CHUNK", 7)
    assert list(bootstrap.blocks(8, 2)) == [3, 3, 2]
    assert list(bootstrap.blocks(2, 100)) == [1, 1]
    found = tally_interval([0.1, 0.9], [0.2], bootstrap.auc, resamples=101)
    assert 0 <= found.low <= found.mean == 0.5 <= found.high <= 1


def test_errors() -> None:
    with pytest.raises(DataError, match="scores of tampered and authentic pictures, got 0 and 1"):
        tally_interval([], [0.1], bootstrap.auc)
    with pytest.raises(DataError, match="got 1 and 1 with NaN"):
        tally_interval([float("nan")], [0.1], bootstrap.auc)
    with pytest.raises(ConfigError, match=r"level must lie in \(0, 1\)"):
        tally_interval([0.1], [0.1], bootstrap.auc, level=1.0)
    with pytest.raises(DataError, match="no picture to make a number of"):
        class_interval(np.empty((0, 1)), np.empty((0, 1)), lambda t, a: t[..., 0])
