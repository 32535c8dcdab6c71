"""The queue and its workers: who dies, who is replaced, and who notices."""

import asyncio
import io
import os
import signal
import threading
import time
from collections.abc import Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image as PILImage

from tamperscope.web import pool
from tamperscope.web.config import MIB, MethodChoice
from tamperscope.web.problems import ProblemError
from tamperscope.web.process import WorkerLostError, start_worker
from tamperscope.web.telemetry import Telemetry
from web.service import Running, config, picture, pixels_of, problem, running, truth

SPARES = "tamperscope_workers_spare"
HANG, DIE, HUNGRY = (250, 0, 0), (251, 0, 0), (252, 0, 0)


def slow(hundredths: int) -> bytes:
    """A picture that takes a while."""
    return picture(first=(254, hundredths, 0))


def is_right(response: httpx.Response) -> bool:
    if response.status_code != 200:
        return False
    return np.array_equal(pixels_of(response.json()["mask"]["base64"]) == 255, truth())


def pid_of(service: Running) -> int:
    return int(service.send(picture()).json()["record"]["provenance"]["notes"]["pid"])


def in_background(function: Any, *arguments: Any) -> Any:
    pool = ThreadPoolExecutor(1)
    future = pool.submit(function, *arguments)
    pool.shutdown(wait=False)
    return future


def test_a_picture_that_kills_its_worker_is_reported_and_the_worker_replaced() -> None:
    with running(config()) as service:
        service.wait_until_ready()
        before = pid_of(service)
        code, message = problem(service.send(picture(first=DIE)))
        assert code == "worker_died"
        assert message.startswith(
            "the process examining this picture died (killed by SIGSEGV): the file may be made to"
        )
        assert is_right(service.send(picture()))
        assert pid_of(service) != before
        assert service.number('tamperscope_workers_lost_total{reason="died"}') == 1


def test_a_picture_that_hangs_is_given_up() -> None:
    with running(config(time_limit=0.5)) as service:
        service.wait_until_ready()
        code, message = problem(service.send(picture(first=HANG)))
        assert (code, message) == (
            "time_limit",
            "the picture took longer than 0.5 s; make it smaller first",
        )
        assert is_right(service.send(picture()))
        assert service.number('tamperscope_workers_lost_total{reason="time_limit"}') == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="memory is limited on Unix only")
def test_a_picture_that_asks_for_too_much_memory_gets_none(service: Running) -> None:
    code, message = problem(service.send(picture(first=HUNGRY)))
    assert code == "image_too_large"
    assert message == ("the picture does not fit in the memory of a worker; make it smaller first")
    assert is_right(service.send(picture()))


def test_a_full_queue_says_when_to_come_back() -> None:
    with running(config(queue_size=2, batch_size=1)) as service:
        service.wait_until_ready()
        with ThreadPoolExecutor(8) as clients:
            answers = list(clients.map(service.send, [slow(50)] * 8))
        refused = [answer for answer in answers if answer.status_code == 503]
        assert sum(is_right(answer) for answer in answers if answer.status_code == 200) == 3
        assert len(refused) == 5
        for answer in refused:
            code, message = problem(answer)
            assert code == "queue_full"
            assert message == "3 pictures are already waiting or running; try again later"
            assert 1 <= int(answer.headers["Retry-After"]) <= 60
        assert is_right(service.send(picture()))


def test_work_nobody_waits_for_is_not_done() -> None:
    with running(config()) as service:
        service.wait_until_ready()
        before = pid_of(service)
        blocker = in_background(service.send, slow(80))
        service.wait(lambda: service.number("tamperscope_running") == 1)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                f"{service.address}/v1/localize",
                files={"file": picture(first=HANG)},
                timeout=0.3,
                trust_env=False,
            )
        cancelled = 'tamperscope_pictures_total{method="bright",outcome="cancelled"}'
        service.wait(lambda: service.number(cancelled) == 1)
        requests = 'tamperscope_http_requests_total{path="/v1/localize",status="%d"}'
        service.wait(lambda: service.number(requests % 499) == 1)
        assert service.number(requests % 500) == 0
        assert is_right(blocker.result(20))
        # It was taken from the queue: the worker never met it.
        assert pid_of(service) == before


def test_a_worker_busy_for_nobody_is_replaced() -> None:
    with running(config(time_limit=60)) as service:
        service.wait_until_ready()
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                f"{service.address}/v1/localize",
                files={"file": picture(first=HANG)},
                timeout=0.5,
                trust_env=False,
            )
        lost = 'tamperscope_workers_lost_total{reason="cancelled"}'
        service.wait(lambda: service.number(lost) == 1)
        assert is_right(service.send(picture()))


def test_a_worker_that_dies_idle_costs_no_picture() -> None:
    with running(config()) as service:
        service.wait_until_ready()
        os.kill(pid_of(service), signal.SIGKILL)
        assert is_right(service.send(picture()))


def test_stopping_finishes_what_runs_and_sends_the_rest_away() -> None:
    with running(config(batch_size=1)) as service:
        service.wait_until_ready()
        first = in_background(service.send, slow(100))
        service.wait(lambda: service.number("tamperscope_running") == 1)
        second = in_background(service.send, picture())
        service.wait(lambda: service.number("tamperscope_queue_waiting") == 1)
        service.server.handle_exit(signal.SIGTERM, None)
        assert is_right(first.result(20))
        answer = second.result(20)
        assert problem(answer) == (
            "shutting_down",
            "the service is stopping; try again when it is back",
        )
        assert answer.headers["Retry-After"] == "10"


def test_a_spare_takes_the_place_of_a_lost_worker() -> None:
    others = psutil.Process().children()
    with running(config(spare_workers=1)) as service:
        service.wait(lambda: service.number(SPARES) == 1)
        first = pid_of(service)
        started = {child.pid for child in psutil.Process().children() if child not in others}
        assert len(started) == 2
        assert problem(service.send(picture(first=DIE)))[0] == "worker_died"
        second = pid_of(service)
        assert second in started - {first}
        # And another one is made for the next time.
        service.wait(lambda: service.number(SPARES) == 1)


def test_a_spare_that_died_is_not_handed_out() -> None:
    others = psutil.Process().children()
    with running(config(spare_workers=1)) as service:
        service.wait(lambda: service.number(SPARES) == 1)
        first = pid_of(service)
        (spare,) = (
            child
            for child in psutil.Process().children()
            if child not in others and child.pid != first
        )
        spare.kill()
        service.wait(lambda: service.number(SPARES) == 0)
        os.kill(first, signal.SIGKILL)
        assert is_right(service.send(picture()))
        service.wait(lambda: service.number(SPARES) == 1)


class Fragile:
    """A worker that is lost as soon as it is handed a certain picture."""

    pid = 1
    start_seconds = 0.0
    cards: ClassVar[list[dict[str, str]]] = [{"name": "bright"}]
    failures: ClassVar[dict[str, str]] = {}

    def __init__(self) -> None:
        self.exited = asyncio.get_running_loop().create_future()
        self._replies: list[tuple[dict[str, Any], bytes]] = []

    async def send(self, head: dict[str, Any], bodies: Sequence[bytes]) -> None:
        if b"fatal" in bodies:
            raise WorkerLostError("killed by SIGKILL")
        self._replies = [({"begun": True}, b"")]
        self._replies += [({"id": job["id"]}, b"{}") for job in head["jobs"]]

    async def receive(self) -> tuple[dict[str, Any], bytes]:
        return self._replies.pop(0)

    async def kill(self) -> None:
        if not self.exited.done():
            self.exited.set_result(-9)


async def _answers(queue: pool.Pool, waiting: Sequence[Awaitable[Any]]) -> list[Any]:
    """What becomes of all of them within five seconds, errors included; then the pool stops."""
    try:
        async with asyncio.timeout(5):
            return await asyncio.gather(*waiting, return_exceptions=True)
    finally:
        await queue.stop()


@pytest.mark.parametrize(("workers", "batch_size"), [(1, 1), (1, 4), (2, 1)])
def test_a_picture_that_cannot_even_be_handed_over_is_given_up(
    workers: int, batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def start(config: object) -> Fragile:
        await asyncio.sleep(0.01)
        return Fragile()

    monkeypatch.setattr(pool, "start_worker", start)
    telemetry = Telemetry()

    async def run() -> list[Any]:
        queue = pool.Pool(config(workers=workers, batch_size=batch_size), telemetry)
        queue.start()
        files = [b"good", b"fatal", b"good", b"good"]
        waiting = [queue.submit("bright", "", data, {}) for data in files]
        return await _answers(queue, waiting)

    good, fatal, *others = asyncio.run(run())
    assert [answer.body for answer in (good, *others)] == [b"{}"] * 3
    assert isinstance(fatal, ProblemError)
    assert fatal.code == "worker_died"
    assert "this picture died (killed by SIGKILL)" in str(fatal)
    assert b'tamperscope_workers_lost_total{reason="died"} 3.0\n' in telemetry.text()


def test_methods_asked_for_before_they_are_known_not_to_load(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Halfway(Fragile):
        failures: ClassVar[dict[str, str]] = {"dark": "no weights for dark"}

    async def start(config: object) -> Halfway:
        await asyncio.sleep(0.01)
        return Halfway()

    monkeypatch.setattr(pool, "start_worker", start)
    telemetry = Telemetry()

    async def run() -> list[Any]:
        # Without a choice of methods, those that load are served.
        queue = pool.Pool(config(methods=(), spare_workers=0), telemetry)
        queue.start()
        waiting = [
            queue.submit("dark", "", b"good", {}),
            queue.submit("bright", "", b"good", {}),
            queue.submit("dark", "", b"good", {}, named=False),
        ]
        return await _answers(queue, waiting)

    refused, *others = asyncio.run(run())
    assert isinstance(refused, ProblemError)
    assert (refused.code, str(refused)) == ("method_unavailable", "no weights for dark")
    assert [answer.body for answer in others] == [b"{}"] * 2
    assert b"tamperscope_workers_lost_total{" not in telemetry.text()
    outcomes = [("bright", "examined", 2), ("dark", "method_unavailable", 1)]
    for method, outcome, count in outcomes:
        line = f'tamperscope_pictures_total{{method="{method}",outcome="{outcome}"}} {count}.0'
        assert line.encode() in telemetry.text()


def test_a_worker_survives_a_method_that_it_could_not_load() -> None:
    choices = (MethodChoice(name="bright"), MethodChoice(name="dark", weights="nowhere"))
    job = {"id": 3, "name": "", "length": 0, "mask": "none", "include": []}

    async def run() -> list[dict[str, Any]]:
        worker = await start_worker(config(methods=choices))
        try:
            for _ in range(2):
                await worker.send({"method": "dark", "jobs": [job]}, [b""])
            return [(await worker.receive())[0] for _ in range(4)]
        finally:
            await worker.kill()

    refused = {
        "id": 3,
        "code": "method_unavailable",
        "message": "no weights 'nowhere': leave them out",
    }
    assert asyncio.run(run()) == [{"begun": True}, refused] * 2


def test_a_worker_is_ended_in_full_even_when_that_is_cancelled() -> None:
    async def run() -> None:
        worker = await start_worker(config())
        ending = asyncio.create_task(worker.kill())
        await asyncio.sleep(0)
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ending
        assert worker.exited.done()

    asyncio.run(run())


def test_no_worker_outlives_the_service() -> None:
    others = psutil.Process().children()
    with running(config(workers=2, spare_workers=1)) as service:
        service.wait(lambda: service.number("tamperscope_workers_ready") == 2)
        service.wait(lambda: service.number(SPARES) == 1)
        workers = [child for child in psutil.Process().children() if child not in others]
        assert len(workers) == 3
        busy = in_background(
            lambda: httpx.post(
                f"{service.address}/v1/localize",
                files={"file": picture(first=HANG)},
                timeout=30,
                trust_env=False,
            )
        )
        service.wait(lambda: service.number("tamperscope_running") == 1)
        service.server.config.timeout_graceful_shutdown = 1
    # It had its time to finish; whoever still waits is told why there is no answer.
    assert problem(busy.result(20))[0] == "shutting_down"
    assert not any(worker.is_running() for worker in workers)


def test_workers_have_the_threads_they_were_given() -> None:
    with running(config(threads=3)) as service:
        notes = service.send(picture()).json()["record"]["provenance"]["notes"]
    assert notes["threads"] == "3"


def test_a_method_that_does_not_load_ends_the_service() -> None:
    choices = (MethodChoice(name="bright", weights="nowhere.safetensors"),)
    with running(config(methods=choices)) as service:
        service.wait(lambda: service.server.fatal is not None)
    assert service.server.fatal == "no weights 'nowhere.safetensors': leave them out"


def test_pictures_sent_while_methods_load_are_waited_for() -> None:
    with running(config()) as service:
        assert service.client.get("/readyz").json() == {"status": "starting"}
        assert service.client.get("/v1/methods").json()["default"] is None
        assert is_right(service.send(picture()))


def test_good_and_bad_pictures_at_once() -> None:
    with running(config(workers=2, queue_size=64, batch_size=4)) as service:
        service.wait_until_ready()
        bad = {
            "image_empty": b"",
            "image_unsupported": b"junk",
            "image_damaged": picture()[:90],
            "image_too_large": picture((1001, 1000)),
            "worker_died": picture(first=DIE),
        }
        codes = [None if i % 4 else [*bad][i // 4 % 5] for i in range(40)]
        files = [picture() if code is None else bad[code] for code in codes]
        with ThreadPoolExecutor(16) as clients:
            answers = list(clients.map(service.send, files))
        found = [None if is_right(answer) else problem(answer)[0] for answer in answers]
        assert found == codes


def memory(processes: list[psutil.Process]) -> float:
    return sum(process.memory_info().rss for process in processes) / MIB


@pytest.mark.slow
def test_memory_stays_flat_over_a_thousand_requests() -> None:
    with running(config(workers=2)) as service:
        service.wait_until_ready()
        pixels = np.random.default_rng(0).integers(0, 256, (400, 500, 3), np.uint8)
        buffer = io.BytesIO()
        PILImage.fromarray(pixels).save(buffer, "PNG")
        files = [buffer.getvalue(), picture(), b"junk", buffer.getvalue()[:9000]]
        processes = [psutil.Process(), *psutil.Process().children()]
        levels, files_open = [], []
        with ThreadPoolExecutor(4) as clients:
            for _ in range(5):
                answers = list(clients.map(service.send, files * 50))
                assert [a.status_code for a in answers] == [200, 200, 415, 422] * 50
                levels.append(memory(processes))
                files_open.append(sum(process.num_fds() for process in processes))
        threads = threading.active_count()
        assert threads < 20
    # The first fifth fills caches; after it a leak of one small picture a request would show.
    assert levels[-1] - levels[0] < 40, levels
    assert files_open[-1] <= files_open[0] + 4, files_open


@pytest.mark.slow
def test_the_service_survives_a_minute_of_abuse() -> None:
    with running(config(workers=2, time_limit=1.0, queue_size=4)) as service:
        service.wait_until_ready()
        files = [picture(first=HANG), picture(first=DIE), picture(), b"junk"]
        end = time.monotonic() + 45
        seen = set()
        with ThreadPoolExecutor(8) as clients:
            while time.monotonic() < end:
                answers = list(clients.map(service.send, files * 3))
                assert all(is_right(a) for a in answers[2::4] if a.status_code == 200)
                seen |= {
                    (i % 4, a.status_code) for i, a in enumerate(answers) if a.status_code != 503
                }
        # What is not refused gets the answer its file deserves, and no other.
        assert seen == {(0, 504), (1, 500), (2, 200), (3, 415)}
        service.wait_until_ready()
        assert is_right(service.send(picture()))
