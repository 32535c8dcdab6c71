"""What goes wrong in a long run, made to go wrong: each time every input keeps exactly one row."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from batch import archive
from hostile import encode, photo, png_claiming
from tamperscope.batch import state as memory
from tamperscope.errors import ResultError, TamperscopeError, WeightsHashError

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="signals and pipes of Unix")


def errors(output: Path) -> dict[str, str | None]:
    return {row["id"]: row["error"] for row in archive.rows(output)}


def message(output: Path, id: str) -> str:
    (found,) = [row["error_message"] for row in archive.rows(output) if row["id"] == id]
    return str(found)


def workers_of(pid: int) -> list[psutil.Process]:
    try:
        children = psutil.Process(pid).children(recursive=True)
        return [child for child in children if "tamperscope.batch.worker" in child.cmdline()]
    except psutil.Error:
        return []


# --- pictures that misbehave -------------------------------------------------------------------


def test_pictures_that_crash_hang_or_hunger_cost_only_themselves(tmp_path: Path) -> None:
    ids = archive.archive(tmp_path / "in", 4)
    archive.write(tmp_path / "in" / "x-die.png", first=archive.DIE)
    archive.write(tmp_path / "in" / "x-hang.png", first=archive.HANG)
    archive.write(tmp_path / "in" / "x-hungry.png", first=archive.HUNGRY)
    archive.write(tmp_path / "in" / "x-raise.png", first=archive.RAISE)
    archive.write(tmp_path / "in" / "y-good.png", 9)
    report = archive.examine(tmp_path / "in", tmp_path / "out", time_limit=1.5)
    names = ("x-die.png", "x-hang.png", "x-hungry.png", "x-raise.png", "y-good.png")
    archive.check_whole(tmp_path / "out", [*ids, *names])
    assert report["errors"] == {
        "WorkerDied": 1,
        "TimeLimitExceeded": 1,
        "OutOfMemory": 1,
        "MethodFailed": 1,
    }
    assert report["workers_replaced"] == {"killed by SIGSEGV": 1, "took too long": 1}
    assert report["retries"] == 0
    assert message(tmp_path / "out", "x-hang.png") == (
        "took longer than 1.5 s; raise --timeout, or make it smaller first"
    )
    assert message(tmp_path / "out", "x-die.png") == (
        "the process examining it died (killed by SIGSEGV): the file may be made to do that"
    )
    assert message(tmp_path / "out", "x-raise.png") == "RuntimeError: secret detail"
    assert message(tmp_path / "out", "x-hungry.png").startswith("needs more memory than a worker")


def test_bombs_pipes_and_locked_files(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    archive.write(folder / "good.png")
    (folder / "bomb.png").write_bytes(png_claiming(60_000, 60_000))
    (folder / "cut.jpg").write_bytes(encode(photo(), "JPEG")[:600])
    os.mkfifo(folder / "pipe.png")
    archive.write(folder / "secret.png").chmod(0)
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "out.png").symlink_to("/etc/passwd")
    archive.examine(folder, tmp_path / "out", time_limit=20.0)
    found = errors(tmp_path / "out")
    # Whoever runs the tests may be allowed to read everything.
    secret = None if os.geteuid() == 0 else "UnreadableFile"
    assert found == {
        "bomb.png": "ImageTooLargeError",
        "cut.jpg": "TruncatedImageError",
        "good.png": None,
        "loop.png": "UnreadableFile",
        "out.png": "OutsideSource",
        "pipe.png": "UnreadableFile",
        "secret.png": secret,
    }
    assert "is not a regular file" in message(tmp_path / "out", "pipe.png")


def test_files_that_vanish_or_change_while_they_are_read(tmp_path: Path) -> None:
    archive.archive(tmp_path / "in", 2, hundredths=50)
    for name in ("y-gone.png", "z-last.png"):
        archive.write(tmp_path / "in" / name, 40)
    gone = tmp_path / "in" / "y-gone.png"
    timer = threading.Timer(0.1, gone.unlink)
    config = archive.config(tmp_path / "in", tmp_path / "out")

    def tell(progress: Any) -> None:
        if progress.done == 1 and gone.exists() and not timer.is_alive():
            timer.start()

    archive.run_batch(config, tell=tell)
    assert errors(tmp_path / "out") == {
        "00/0000.png": None,
        "00/0001.png": None,
        "y-gone.png": "UnreadableFile",
        "z-last.png": None,
    }
    assert message(tmp_path / "out", "y-gone.png").startswith("no such file; it may have been")


# --- workers and drivers that are killed -------------------------------------------------------


def test_a_worker_killed_once_is_forgiven_twice_is_not(tmp_path: Path) -> None:
    archive.write(tmp_path / "in" / "slow.png", first=(254, 100, 0))
    kills = _kill_workers(os.getpid(), pauses=[0.3])
    report = archive.examine(tmp_path / "in", tmp_path / "once")
    assert kills() == 1
    (row,) = archive.check_whole(tmp_path / "once", ["slow.png"])
    assert (row["error"], row["retries"]) == (None, 1)
    assert report["workers_replaced"] == {"killed by SIGKILL": 1}
    kills = _kill_workers(os.getpid(), pauses=[0.3, 0.3])
    archive.examine(tmp_path / "in", tmp_path / "twice")
    assert kills() == 2
    (row,) = archive.check_whole(tmp_path / "twice", ["slow.png"])
    assert (row["error"], row["retries"]) == ("WorkerKilled", 1)
    assert row["error_message"].startswith("its worker was killed by SIGKILL twice: by somebody")


def _kill_workers(pid: int, pauses: list[float]) -> Callable[[], int]:
    """Kill one worker after another, each some time after it has begun on a picture.

    Returns a function that waits for the end of it and tells how many there were.
    """
    killed: list[int] = []

    def work() -> None:
        for pause in pauses:
            until = time.monotonic() + 60
            while time.monotonic() < until:
                fresh = [w for w in workers_of(pid) if w.pid not in killed and _asleep(w)]
                if fresh:
                    time.sleep(pause)
                    killed.append(fresh[0].pid)
                    fresh[0].kill()
                    break
                time.sleep(0.02)

    thread = threading.Thread(target=work)
    thread.start()

    def wait() -> int:
        thread.join()
        return len(killed)

    return wait


def _asleep(worker: psutil.Process) -> bool:
    """Whether it has loaded everything and sleeps inside the toy method, not on its pipe."""
    try:
        call = Path(f"/proc/{worker.pid}/syscall").read_text().split()[0]
    except OSError:
        return False
    # clock_nanosleep of x86-64 and of arm64
    return call in ("230", "115")


def _resumed_until_whole(
    source: Path, output: Path, *more: str, seed: int, kills: int, workers: int, also_workers: bool
) -> int:
    """Start drivers and kill them at random moments, so many times; the last one may finish.

    Returns how many were killed before they had finished.
    """
    dice, killed = random.Random(seed), 0
    command = [sys.executable, "-m", "batch.drive", str(source), str(output), str(workers), *more]
    for turn in range(kills + 1):
        driver = subprocess.Popen(command, start_new_session=True)
        if turn < kills:
            _disturb(driver, dice, also_workers)
            killed += driver.poll() is None
            driver.kill()
            driver.wait()
        else:
            assert driver.wait(200) == 0
    return killed


def _disturb(driver: "subprocess.Popen[bytes]", dice: random.Random, also_workers: bool) -> None:
    until = time.monotonic() + 60
    while not workers_of(driver.pid) and driver.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(dice.uniform(0.0, 2.0))
    if also_workers:
        for worker in workers_of(driver.pid):
            if dice.random() < 0.5:
                worker.kill()
        time.sleep(dice.uniform(0.0, 0.6))


def _same_as_undisturbed(source: Path, output: Path, ids: list[str]) -> None:
    found = archive.check_whole(output, ids)
    calm = output.with_name("calm")
    archive.examine(source, calm)
    expected = [archive.stable(row) for row in archive.rows(calm)]
    assert [archive.stable(row) for row in found] == expected


def test_a_driver_killed_at_random_loses_nothing(tmp_path: Path) -> None:
    # The pictures take longer than the latest moment of the first kill, however fast the machine.
    ids = archive.archive(tmp_path / "in", 22, hundredths=10)
    archive.write(tmp_path / "in" / "zz.png", 5, (254, 10, 0))
    killed = _resumed_until_whole(
        tmp_path / "in", tmp_path / "out", seed=0, kills=3, workers=1, also_workers=False
    )
    assert killed >= 1
    _same_as_undisturbed(tmp_path / "in", tmp_path / "out", [*ids, "zz.png"])


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(3))
def test_drivers_and_workers_killed_at_random_many_times(tmp_path: Path, seed: int) -> None:
    ids = archive.archive(tmp_path / "in", 120, hundredths=8)
    killed = _resumed_until_whole(
        tmp_path / "in", tmp_path / "out", seed=seed, kills=12, workers=2, also_workers=True
    )
    assert killed >= 3
    found = archive.check_whole(tmp_path / "out", ids)
    assert {row["error"] for row in found} <= {None, "WorkerKilled"}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(2))
def test_drivers_killed_at_random_while_rows_are_replaced(tmp_path: Path, seed: int) -> None:
    names = [f"{i:03}.png" for i in range(60)]
    source, dice = tmp_path / "in" / "list.txt", random.Random(seed)
    for i, name in enumerate(names):
        path = archive.write(tmp_path / "in" / name, i % 40, (254, 20, 0))
        if dice.random() < 0.6:
            path.rename(path.with_suffix(".later"))
    source.write_text("\n".join(names))
    archive.examine(source, tmp_path / "out")
    for path in (tmp_path / "in").glob("*.later"):
        path.rename(path.with_suffix(".png"))
    killed = _resumed_until_whole(
        source, tmp_path / "out", "passing", seed=seed, kills=6, workers=1, also_workers=False
    )
    assert killed >= 2
    found = archive.check_whole(tmp_path / "out", names)
    assert {row["error"] for row in found} == {None}
    by_bytes = {row["sha256"]: row for row in found if row["duplicate_of"] is None}
    assert len(by_bytes) == 40
    for row in found:
        first = by_bytes[row["sha256"]]
        assert row["duplicate_of"] in (None, first["id"])
        assert row["mask_offset"] == first["mask_offset"]


def test_workers_end_with_their_driver(tmp_path: Path) -> None:
    archive.archive(tmp_path / "in", 3, hundredths=250)
    command = [sys.executable, "-m", "batch.drive", str(tmp_path / "in"), str(tmp_path / "o"), "1"]
    driver = subprocess.Popen(command)
    until = time.monotonic() + 60
    while not (workers := workers_of(driver.pid)) and time.monotonic() < until:
        time.sleep(0.05)
    driver.kill()
    driver.wait()
    assert workers
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert not alive


@pytest.mark.parametrize("moment", ["before the rows", "after the rows"])
def test_killed_around_the_writing_of_a_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    ids = archive.archive(tmp_path / "in", 10)
    with monkeypatch.context() as patch:
        if moment == "before the rows":
            _fail_at(patch, "tamperscope.batch.parts.Part._parquet", 2)
        else:
            _fail_at(patch, "tamperscope.batch.state.State.commit_part", 2)
        with pytest.raises(KeyboardInterrupt):
            archive.examine(tmp_path / "in", tmp_path / "out")
    (tmp_path / "out" / "rows" / ".part-00000-00001.parquet.abcd.tmp").write_bytes(b"half")
    archive.examine(tmp_path / "in", tmp_path / "out")
    archive.check_whole(tmp_path / "out", ids)


def _fail_at(patch: pytest.MonkeyPatch, name: str, call: int) -> None:
    """Have the so-many-th call of a method end the run, as a kill would."""
    room, _, method = name.rpartition(".")
    module, _, kind = room.rpartition(".")
    owner = getattr(sys.modules[module], kind)
    original, calls = getattr(owner, method), [0]

    def counted(*arguments: Any) -> Any:
        calls[0] += 1
        if calls[0] == call:
            raise KeyboardInterrupt
        return original(*arguments)

    patch.setattr(owner, method, counted)


def test_two_runs_do_not_write_to_one_folder(tmp_path: Path) -> None:
    archive.archive(tmp_path / "in", 1)
    held = memory.State(tmp_path / "out" / "state" / "shard-00000.sqlite")
    with pytest.raises(ResultError, match="is in use: another run writes here; wait for it"):
        archive.examine(tmp_path / "in", tmp_path / "out")
    held.close()


# --- disks and weights -------------------------------------------------------------------------


def test_a_full_disk_stops_the_run_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = archive.archive(tmp_path / "in", 10)
    for room in ("masks", "rows"):
        with monkeypatch.context() as patch:
            _fill_disk(patch, room, after=1)
            with pytest.raises(ResultError) as stop:
                archive.examine(tmp_path / "in", tmp_path / "out")
        assert str(stop.value) == (
            f"cannot write to {tmp_path / 'out'} (No space left on device): nothing finished is "
            "lost; free some space and run the same command again"
        )
        report = (tmp_path / "out" / "report.json").read_text()
        assert '"status": "failed"' in report
    archive.examine(tmp_path / "in", tmp_path / "out")
    archive.check_whole(tmp_path / "out", ids)


def _fill_disk(patch: pytest.MonkeyPatch, room: str, *, after: int) -> None:
    """Let fsync, the last step of writing a file, find the disk full after so many files."""
    original, calls = os.fsync, [0]

    def full(descriptor: int) -> None:
        if f"/{room}/.part" in os.readlink(f"/proc/self/fd/{descriptor}"):
            calls[0] += 1
            if calls[0] > after:
                raise OSError(28, "No space left on device")
        original(descriptor)

    patch.setattr(os, "fsync", full)


def test_no_room_for_the_memory_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = archive.archive(tmp_path / "in", 10)
    original = memory.State._open

    def small(state: memory.State) -> None:
        original(state)
        (pages,) = state._base.execute("PRAGMA page_count").fetchone()
        state._base.execute(f"PRAGMA max_page_count={pages + 1}").fetchall()

    with monkeypatch.context() as patch:
        patch.setattr(memory.State, "_open", small)
        with pytest.raises(ResultError, match=r"\(database or disk is full\): nothing finished"):
            archive.examine(tmp_path / "in", tmp_path / "out", part_rows=100)
    archive.examine(tmp_path / "in", tmp_path / "out", part_rows=100)
    archive.check_whole(tmp_path / "out", ids)


def test_file_sizes_limited_by_the_system(tmp_path: Path) -> None:
    ids = archive.archive(tmp_path / "in", 30)
    source, output = tmp_path / "in", tmp_path / "out"
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from batch.archive import examine\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))\n"
        "examine(sys.argv[1], Path(sys.argv[2]), part_rows=25)\n"
    )
    command = [sys.executable, "-c", code, str(source), str(output)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "ResultError: cannot write to" in done.stderr
    archive.examine(source, output, part_rows=25)
    archive.check_whole(output, ids)


def test_weights_that_are_damaged_at_the_start(tmp_path: Path) -> None:
    archive.archive(tmp_path / "in", 2)
    weights = tmp_path / "weights"
    weights.write_text("damaged")
    values: dict[str, Any] = {"loader": "batch.toys:load_damaged", "weights": str(weights)}
    with pytest.raises(WeightsHashError, match="the weights 'toy' are damaged: fetch them again"):
        archive.examine(tmp_path / "in", tmp_path / "out", **values)
    weights.write_text("whole")
    archive.examine(tmp_path / "in", tmp_path / "out", **values)
    archive.check_whole(tmp_path / "out", ["00/0000.png", "00/0001.png"])


@pytest.mark.parametrize(
    ("loader", "error", "message"),
    [
        ("load_damaged", WeightsHashError, "are damaged"),
        ("load_weighted", TamperscopeError, "were exchanged while it ran; put the former file"),
    ],
)
def test_weights_that_are_damaged_or_exchanged_meanwhile(
    tmp_path: Path, loader: str, error: type[TamperscopeError], message: str
) -> None:
    ids = archive.archive(tmp_path / "in", 3)
    archive.write(tmp_path / "in" / "00" / "0001a.png", first=archive.DIE)
    weights = tmp_path / "weights"
    weights.write_text("whole")
    values: dict[str, Any] = {"loader": f"batch.toys:{loader}", "weights": str(weights)}
    config = archive.config(tmp_path / "in", tmp_path / "out", **values)
    with pytest.raises(error, match=message):
        archive.run_batch(config, tell=lambda progress: _damage(weights))
    weights.write_text("whole")
    archive.examine(tmp_path / "in", tmp_path / "out", **values)
    expected = [*ids[:2], "00/0001a.png", ids[2]]
    archive.check_whole(tmp_path / "out", expected)
    assert errors(tmp_path / "out")["00/0001a.png"] == "WorkerDied"


def _damage(weights: Path) -> None:
    weights.write_text("damaged")


def test_workers_that_do_not_start(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    archive.archive(tmp_path / "in", 1)
    with pytest.raises(TamperscopeError, match=r"workers do not start \(ended with code 1\)"):
        archive.examine(tmp_path / "in", tmp_path / "out", loader="web.toys:nothing")
    assert "has no attribute 'nothing'" in capfd.readouterr().err


# --- graphics memory ---------------------------------------------------------------------------


def test_out_of_device_memory_falls_back_to_smaller_tiles(tmp_path: Path) -> None:
    archive.archive(tmp_path / "in", 2)
    values: dict[str, Any] = {"loader": "batch.toys:load_tiled", "options": {"fits": 300}}
    report = archive.examine(tmp_path / "in", tmp_path / "out", **values)
    for row in archive.check_whole(tmp_path / "out", ["00/0000.png", "00/0001.png"]):
        assert row["error"] is None
        assert row["note"] == "tiles of 256: the device was out of memory with larger ones"
    assert report["smaller_tiles"] == 2


def test_a_picture_for_which_no_tile_is_small_enough(tmp_path: Path) -> None:
    archive.archive(tmp_path / "in", 1)
    values: dict[str, Any] = {"loader": "batch.toys:load_tiled", "options": {"fits": 100}}
    archive.examine(tmp_path / "in", tmp_path / "out", **values)
    (row,) = archive.rows(tmp_path / "out")
    assert row["error"] == "OutOfMemory"
    assert row["error_message"] == "the device is out of memory, also with smaller tiles"


# --- signals -----------------------------------------------------------------------------------


def test_an_interrupted_driver_leaves_in_order(tmp_path: Path) -> None:
    ids = archive.archive(tmp_path / "in", 8, hundredths=30)
    command = [sys.executable, "-m", "batch.drive", str(tmp_path / "in"), str(tmp_path / "o"), "1"]
    driver = subprocess.Popen(command, stderr=subprocess.PIPE)
    until = time.monotonic() + 60
    while not workers_of(driver.pid) and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(1.5)
    driver.send_signal(signal.SIGINT)
    _, stderr = driver.communicate(timeout=60)
    assert b"KeyboardInterrupt" in stderr
    assert '"status": "stopped"' in (tmp_path / "o" / "report.json").read_text()
    archive.examine(tmp_path / "in", tmp_path / "o")
    archive.check_whole(tmp_path / "o", ids)
