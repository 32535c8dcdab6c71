"""The same rows from Ray as from this machine alone, also when an actor is lost."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from batch import archive

pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]


def examine_with_ray(source: Path, output: Path, before: str = "", **values: Any) -> dict[str, Any]:
    """A driver of its own: Ray leaves threads and sockets behind."""
    code = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from batch.archive import examine\n"
        f"{before}\n"
        "values = json.loads(sys.argv[3])\n"
        "print(json.dumps(examine(sys.argv[1], Path(sys.argv[2]), engine='ray', **values)))\n"
    )
    command = [sys.executable, "-c", code, str(source), str(output), json.dumps(values)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def test_ray_gives_the_same_rows(tmp_path: Path) -> None:
    ids = archive.archive(tmp_path / "in", 10)
    archive.write(tmp_path / "in" / "x-copy.png", 4)
    archive.write(tmp_path / "in" / "x-die.png", first=archive.DIE)
    archive.write(tmp_path / "in" / "x-hang.png", first=archive.HANG)
    (tmp_path / "in" / "z.png").write_bytes(b"broken")
    every = [*ids, "x-copy.png", "x-die.png", "x-hang.png", "z.png"]
    report = examine_with_ray(tmp_path / "in", tmp_path / "out", time_limit=2.0)
    found = archive.check_whole(tmp_path / "out", every)
    archive.examine(tmp_path / "in", tmp_path / "local", time_limit=2.0)
    expected = archive.rows(tmp_path / "local")
    assert [archive.stable(row) for row in found] == [archive.stable(row) for row in expected]
    assert report["errors"] == {"NotAnImageError": 1, "TimeLimitExceeded": 1, "WorkerDied": 1}
    assert report["workers_replaced"] == {"killed by SIGSEGV": 1, "took too long": 1}


KILLER = """
import os, signal, threading, time
import ray
from tamperscope.batch import ray_engine
original, calls = ray_engine.RayEngine._dispatch, [0]
def dispatch(engine):
    original(engine)
    calls[0] += 1
    if calls[0] in (4, 12):
        slot = engine._slots[0]
        os.kill(ray.get(slot.actor.pid.remote()), signal.SIGKILL)
ray_engine.RayEngine._dispatch = dispatch
"""


def test_actors_that_are_killed_are_replaced(tmp_path: Path) -> None:
    ids = archive.archive(tmp_path / "in", 12, hundredths=20)
    report = examine_with_ray(tmp_path / "in", tmp_path / "out", KILLER)
    found = archive.check_whole(tmp_path / "out", ids)
    assert {row["error"] for row in found} <= {None, "WorkerKilled"}
    assert report["workers_replaced"] == {"its Ray actor was lost": 2}


def test_ray_workers_run_exported_networks(tmp_path: Path) -> None:
    from engines import toys
    from tamperscope.engines.onnx_export import write_onnx

    ids = archive.archive(tmp_path / "in", 3)
    file = write_onnx(toys.graph(), tmp_path / "toy.onnx", weights=toys.weights(tmp_path))
    values = {"loader": "batch.toys:load_exported", "runtime": "onnx", "onnx": [str(file)]}
    examine_with_ray(tmp_path / "in", tmp_path / "out", **values)
    found = archive.check_whole(tmp_path / "out", ids)
    assert {row["error"] for row in found} == {None}
    # Begun with the same file on this machine: nothing is left to do, and nothing refused.
    archive.examine(tmp_path / "in", tmp_path / "out", **values)


def test_ray_examines_again_what_failed(tmp_path: Path) -> None:
    names = [f"{i}.png" for i in range(6)]
    for i in (0, 2, 5):
        archive.write(tmp_path / "in" / names[i], i)
    (tmp_path / "in" / "list.txt").write_text("\n".join(names))
    archive.examine(tmp_path / "in" / "list.txt", tmp_path / "out")
    for i in (1, 3):
        archive.write(tmp_path / "in" / names[i], 3)
    report = examine_with_ray(
        tmp_path / "in" / "list.txt", tmp_path / "out", retry_errors=["UnreadableFile"]
    )
    found = archive.check_whole(tmp_path / "out", names)
    assert [row["id"] for row in found if row["error"] is not None] == ["4.png"]
    assert {found[i]["duplicate_of"] for i in (1, 3)} in ({None, "1.png"}, {None, "3.png"})
    assert report["tried_again"] == {"inputs": 3, "succeeded": 2, "not_listed": 0}


def test_what_one_engine_began_the_other_finishes(tmp_path: Path) -> None:
    ids = archive.archive(tmp_path / "in", 6)
    examine_with_ray(tmp_path / "in", tmp_path / "out", limit=3)
    archive.examine(tmp_path / "in", tmp_path / "out")
    archive.check_whole(tmp_path / "out", ids)
