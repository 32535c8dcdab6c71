from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tamperscope.bench import OURS
from tamperscope.bench.evaluation import auc_interval, mean_interval
from tamperscope.bench.protocols.reduce import mean


def test_mean_and_its_interval_agree_with_the_normal_one_for_many_pictures() -> None:
    values = np.random.default_rng(1).normal(0.3, 0.2, 1000)
    found: Any = mean_interval(list(values), OURS)
    half = 1.96 * values.std() / 1000**0.5
    assert found["count"] == 1000
    assert found["mean"] == pytest.approx(values.mean())
    assert found["low"] == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found["high"] == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_auc_is_exact_with_ties_and_its_interval_is_hanley_and_mcneils() -> None:
    rng = np.random.default_rng(2)
    forged = np.round(rng.normal(0.6, 0.3, 300), 1)
    authentic = np.round(rng.normal(0.4, 0.3, 200), 1)
    found: Any = auc_interval(list(forged), list(authentic), OURS)
    truth = [1] * 300 + [0] * 200
    auc = roc_auc_score(truth, np.concatenate([forged, authentic]))
    assert found["mean"] == pytest.approx(auc, abs=1e-12)
    # Hanley and McNeil (1982), equation 1
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc) + 299 * (q1 - auc**2) + 199 * (q2 - auc**2)
    half = 1.96 * (spread / (300 * 200)) ** 0.5
    assert found["high"] - found["low"] == pytest.approx(2 * half, rel=0.15)
    assert found["low"] < auc < found["high"]


def test_constant_scores_are_chance() -> None:
    found: Any = auc_interval([0.5] * 4, [0.5] * 3, OURS)
    assert found == {"mean": 0.5, "low": 0.5, "high": 0.5, "count": 7}


def rows(values: list[float], tampered: int) -> list[dict[str, float]]:
    return [{"tampered": float(tampered), "f1": value} for value in values]


def test_a_mean_over_both_classes_draws_each_on_its_own() -> None:
    rng = np.random.default_rng(4)
    high, low = rng.normal(0.8, 0.1, 300), rng.normal(0.2, 0.3, 100)
    unknown = rows([float("nan")] * 50, 0)
    found: Any = mean([*rows(list(low), 0), *rows(list(high), 1), *unknown], "f1", OURS)
    assert found["count"] == 400
    assert found["mean"] == pytest.approx(np.concatenate([high, low]).mean())
    spread = (300 * high.var() + 100 * low.var()) ** 0.5 / 400
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * spread, rel=0.1)


def test_a_mean_over_one_class_is_that_of_its_values() -> None:
    values = list(np.random.default_rng(5).random(30))
    for tampered in (0, 1):
        others = rows([float("nan")] * 7, 1 - tampered)
        found = mean([*rows(values, tampered), *others], "f1", OURS)
        assert found == mean_interval(values, OURS)
    assert mean([{"f1": value} for value in values], "f1", OURS) == mean_interval(values, OURS)


def test_nothing_gives_nothing() -> None:
    assert mean_interval([], OURS) is None
    assert auc_interval([], [0.1], OURS) is None
    assert auc_interval([0.1], [], OURS) is None
