"""The engine of a cluster, on a cluster that is none; Ray itself is met in test_ray.py."""

import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from batch import archive
from tamperscope.batch.ray_engine import RayEngine
from tamperscope.errors import TamperscopeError


class ActorDiedError(Exception):
    """As Ray raises it."""


class Cluster:
    """Stands in for the module ``ray``; its first actors die while they are made."""

    exceptions = SimpleNamespace(RayActorError=ActorDiedError)

    def __init__(self, deaths: int) -> None:
        self._deaths = deaths
        self.made = 0
        self.killed: list[int] = []

    def is_initialized(self) -> bool:
        return True

    def remote(self, **options: Any) -> Any:
        return lambda kind: SimpleNamespace(remote=self._make)

    def _make(self, *arguments: Any) -> Any:
        self.made += 1
        number = self.made
        assert number < 50, "it never gives up"
        return SimpleNamespace(number=number, start=SimpleNamespace(remote=lambda: number))

    def wait(self, calls: list[int], *, num_returns: int) -> tuple[list[int], list[int]]:
        return calls[:num_returns], calls[num_returns:]

    def get(self, number: int) -> dict[str, Any]:
        if number <= self._deaths:
            raise ActorDiedError("The actor died:\n  No module named 'tamperscope'")
        return {"introduction": {"describe": {"method": "bright"}}, "notes": []}

    def kill(self, actor: Any) -> None:
        self.killed.append(actor.number)


def engine(cluster: Cluster, events: list[str], monkeypatch: pytest.MonkeyPatch) -> RayEngine:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setitem(sys.modules, "ray", cluster)
    config = archive.config("in", Path("out"), engine="ray", workers=2)
    return RayEngine(config, lambda sha256: False, events.append)


def test_actors_that_always_die_are_not_made_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster, events = Cluster(deaths=1000), list[str]()
    started = engine(cluster, events, monkeypatch)
    with pytest.raises(TamperscopeError) as stop:
        started.start()
    assert str(stop.value) == (
        "no worker started (The actor died: No module named 'tamperscope'); check that tamperscope "
        "is installed on every machine of the cluster"
    )
    assert Counter(events) == {"worker replaced: its Ray actor was lost": 6}
    started.close()
    assert cluster.killed == [cluster.made - 1, cluster.made]


def test_actors_that_die_now_and_then_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster, events = Cluster(deaths=4), list[str]()
    assert engine(cluster, events, monkeypatch).start() == {"describe": {"method": "bright"}}
    assert cluster.made == 6
    assert len(events) == 4
