"""Averages over pictures."""

from typing import Any

import numpy as np
import pytest

from tamperscope.errors import ConfigError, DataError
from tamperscope.metrics import aggregate
from tamperscope.metrics.aggregate import mean_interval


def test_interval_of_a_normal_sample() -> None:
    values = np.random.default_rng(0).normal(0.4, 0.2, size=400)
    found = mean_interval(values, resamples=4000)
    half = 1.96 * values.std() / 20
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.003)
    assert found.high == pytest.approx(values.mean() + half, abs=0.003)
    assert (found.count, found.skipped) == (400, 0)


def test_a_higher_level_is_wider() -> None:
    values = np.random.default_rng(0).random(50)
    narrow, wide = mean_interval(values, level=0.5), mean_interval(values, level=0.99)
    assert wide.low < narrow.low < narrow.mean < narrow.high < wide.high


def test_the_seed_decides() -> None:
    values = list(np.random.default_rng(0).random(50))
    assert mean_interval(values) == mean_interval(values)
    assert mean_interval(values) != mean_interval(values, seed=1)


def test_blocks_change_nothing_but_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random(50)
    whole = mean_interval(values, resamples=300)
    monkeypatch.setattr(aggregate, "_CHUNK", 50 * 7)
    assert mean_interval(values, resamples=300) == whole


def test_pictures_without_a_value() -> None:
    found = mean_interval([0.5, float("nan"), 0.5], nan="skip")
    assert (found.mean, found.low, found.high) == (0.5, 0.5, 0.5)
    assert (found.count, found.skipped) == (2, 1)
    with pytest.raises(DataError, match="1 of 3 values are NaN; pass nan='skip'"):
        mean_interval([0.5, float("nan"), 0.5])


@pytest.mark.parametrize("values", [[], [float("nan")]])
def test_nothing_to_average(values: list[float]) -> None:
    with pytest.raises(DataError, match="no value to average; pass at least one picture"):
        mean_interval(values, nan="skip")


@pytest.mark.parametrize(
    "options", [{"level": 0.0}, {"level": 1.0}, {"resamples": 0}, {"nan": "drop"}]
)
def test_options(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"level must lie in \(0, 1\)|unknown nan rule 'drop'"):
        mean_interval([0.5], **options)


def test_other_errors() -> None:
    with pytest.raises(DataError, match="values hold infinity"):
        mean_interval([0.5, float("inf")])
    with pytest.raises(DataError, match=r"one number per picture \(n,\), got shape \(1, 1\)"):
        mean_interval(np.zeros((1, 1)))
