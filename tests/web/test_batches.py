"""Pictures that are handed to a worker together: order, the culprit among them, who leaves."""

import asyncio
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest

from tamperscope.errors import ImageError
from tamperscope.image import Image, read_image
from tamperscope.web import worker
from tamperscope.web.jobs import Abandoned, Examined, Job
from web.service import Running, config, picture, problem, running
from web.toys import Toy

HANG, DIE = (250, 0, 0), (251, 0, 0)


def slow(hundredths: int) -> bytes:
    return picture(first=(254, hundredths, 0))


def together(service: Running, files: Sequence[bytes], method: str = "bright") -> list[Any]:
    """Answers to pictures that waited behind another one, in the order in which they arrived."""
    with ThreadPoolExecutor(len(files) + 1) as clients:
        blocker = clients.submit(service.send, slow(80), method=method)
        service.wait(lambda: service.number("tamperscope_running") == 1)
        answers = []
        for i, file in enumerate(files):
            answers.append(clients.submit(service.send, file, name=f"{i}.png", method=method))
            service.wait(lambda i=i: service.number("tamperscope_queue_waiting") == i + 1)
        assert blocker.result().status_code == 200
        return [answer.result() for answer in answers]


def notes(answer: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()["record"]["provenance"]["notes"]
    return found


def test_those_that_wait_go_together_and_each_gets_its_own_answer() -> None:
    with running(config(batch_size=3)) as service:
        service.wait_until_ready()
        files = [picture((48, 64 + i)) for i in range(5)]
        answers = together(service, files)
        assert [answer.json()["size"]["width"] for answer in answers] == [64, 65, 66, 67, 68]
        assert [answer.json()["name"] for answer in answers] == [f"{i}.png" for i in range(5)]
        assert [notes(answer).get("batch") for answer in answers] == [3, 3, 3, 2, 2]
        assert service.number('tamperscope_batch_pictures_bucket{le="1.0"}') == 1
        assert service.number("tamperscope_batch_pictures_count") == 3


def test_by_default_every_picture_goes_by_itself() -> None:
    with running(config()) as service:
        service.wait_until_ready()
        answers = together(service, [picture()] * 3)
        assert [notes(answer).get("batch") for answer in answers] == [None] * 3


def test_methods_are_not_mixed() -> None:
    with running(config(batch_size=8)) as service:
        service.wait_until_ready()
        with ThreadPoolExecutor(5) as clients:
            blocker = clients.submit(service.send, slow(80))
            service.wait(lambda: service.number("tamperscope_running") == 1)
            names = ["bright", "dark", "bright", "dark"]
            answers = list(clients.map(lambda name: service.send(picture(), method=name), names))
            blocker.result()
        assert [answer.json()["method"] for answer in answers] == names
        assert [notes(answer).get("batch") for answer in answers] == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("culprit", "code"), [(DIE, "worker_died"), ((253, 0, 0), "examination_failed")]
)
def test_only_the_culprit_fails(culprit: tuple[int, int, int], code: str) -> None:
    with running(config(batch_size=8)) as service:
        service.wait_until_ready()
        answers = together(service, [picture(), picture(first=culprit), b"junk", picture()])
        assert [answer.status_code for answer in answers] == [200, 500, 415, 200]
        assert problem(answers[1])[0] == code


def test_a_batch_that_runs_into_the_time_limit_is_tried_one_by_one() -> None:
    with running(config(batch_size=8, time_limit=1.0)) as service:
        service.wait_until_ready()
        answers = together(service, [picture(), picture(first=HANG), picture()])
        assert [answer.status_code for answer in answers] == [200, 504, 200]
        # Once with company and once by itself.
        assert service.number('tamperscope_workers_lost_total{reason="time_limit"}') == 2


def test_slow_ones_that_were_too_slow_together_are_answered_alone() -> None:
    with running(config(batch_size=8, time_limit=1.0)) as service:
        service.wait_until_ready()
        answers = together(service, [slow(70), slow(70)])
        assert [answer.status_code for answer in answers] == [200, 200]
        assert [notes(answer).get("batch") for answer in answers] == [None, None]


def test_who_leaves_a_running_batch_leaves_the_others_alone() -> None:
    with running(config(batch_size=8)) as service:
        service.wait_until_ready()
        url = f"{service.address}/v1/localize"
        with ThreadPoolExecutor(3) as clients:
            blocker = clients.submit(service.send, slow(50))
            service.wait(lambda: service.number("tamperscope_running") == 1)
            stays = clients.submit(service.send, slow(80))
            service.wait(lambda: service.number("tamperscope_queue_waiting") == 1)
            # It gives up while the two are examined: after the blocker, before the slow one.
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(url, files={"file": slow(80)}, timeout=1.0, trust_env=False)
            blocker.result()
            answer = stays.result()
        assert answer.status_code == 200
        assert notes(answer)["batch"] == 2
        cancelled = 'tamperscope_pictures_total{method="bright",outcome="cancelled"}'
        assert service.number(cancelled) == 1
        assert service.number('tamperscope_workers_lost_total{reason="cancelled"}') == 0


def test_work_is_for_nobody_once_one_has_its_answer_and_the_others_have_left() -> None:
    async def run() -> list[bool]:
        loop = asyncio.get_running_loop()
        batch = [Job(i, "bright", "", b"", {}, loop.create_future(), 0.0) for i in range(3)]
        limit, seen = asyncio.timeout(60), []
        watch = Abandoned(batch, limit, patience=10.0)
        async with limit:
            usual = limit.when()
            with watch:
                batch[0].future.set_result(Examined(b"{}", 0.0, 0.0))
                for job in batch[1:]:
                    await asyncio.sleep(0.01)
                    seen.append(watch.abandoned)
                    job.future.cancel()
                await asyncio.sleep(0.01)
            # And the time that is left to the worker is shorter now.
            assert (limit.when() or 0) < (usual or 0) - 40
        return [*seen, watch.abandoned]

    assert asyncio.run(run()) == [False, False, True]


def test_work_that_is_all_answered_was_not_abandoned() -> None:
    async def run() -> bool:
        loop = asyncio.get_running_loop()
        batch = [Job(i, "bright", "", b"", {}, loop.create_future(), 0.0) for i in range(2)]
        async with asyncio.timeout(60) as limit:
            watch = Abandoned(batch, limit, patience=10.0)
            with watch:
                for job in batch:
                    job.future.set_result(Examined(b"{}", 0.0, 0.0))
                await asyncio.sleep(0.01)
        return watch.abandoned

    assert not asyncio.run(run())


# --- in the worker --------------------------------------------------------------------------


class Recorder(Toy):
    """Notes how many pictures came together."""

    def __init__(self, fault: Exception | None = None) -> None:
        super().__init__("bright", 10_000_000)
        self.batches: list[int] = []
        self._fault = fault

    def localize_batch(self, sources: Sequence[Any]) -> list[Any]:
        self.batches.append(len(sources))
        if self._fault is not None:
            raise self._fault
        return super().localize_batch(sources)


def examine(method: Toy, files: Sequence[bytes]) -> list[tuple[dict[str, Any], Any]]:
    jobs = [
        {"id": i, "name": "", "length": len(data), "mask": "none", "include": []}
        for i, data in enumerate(files)
    ]
    settings = {"max_pixels": 10_000_000}
    replies = worker._examine(method, jobs, b"".join(files), settings)
    return [(head, json.loads(body) if body else None) for head, body in replies]


def test_a_batch_is_cut_where_its_pixels_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "BATCH_PIXELS", 2 * 48 * 64)
    method = Recorder()
    answers = examine(method, [picture()] * 4 + [picture((96, 64)), picture((200, 200))])
    assert method.batches == [2, 2]
    assert [head["id"] for head, _ in answers] == list(range(6))
    assert answers[5][1]["size"] == {"height": 200, "width": 200}


@pytest.mark.parametrize("fault", [MemoryError(), ImageError("one of them"), RuntimeError()])
def test_a_batch_that_fails_as_a_whole_is_tried_one_by_one(fault: Exception) -> None:
    method = Recorder(fault)
    answers = examine(method, [picture(), picture(first=(253, 0, 0)), picture()])
    assert method.batches == [3]
    assert ["code" in head for head, _ in answers] == [False, True, False]
    assert answers[1][0]["code"] == "examination_failed"


def test_a_batch_answered_with_too_few_results_is_not_believed() -> None:
    class Short(Recorder):
        def localize_batch(self, sources: Sequence[Any]) -> list[Any]:
            return super().localize_batch(sources)[1:]

    answers = examine(Short(), [picture((48, 64)), picture((48, 80))])
    assert [body["size"]["width"] for _, body in answers] == [64, 80]


def test_pictures_that_crowd_the_memory_are_decoded_in_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failures = iter([False, False, True, False])
    read = read_image

    def crowded(*arguments: Any, **options: Any) -> Image:
        if next(failures):
            raise MemoryError
        return read(*arguments, **options)

    monkeypatch.setattr("tamperscope.image.read_image", crowded)
    method = Recorder()
    answers = examine(method, [picture(), picture(), picture()])
    # The third one did not fit beside the first two, and does once they are answered.
    assert method.batches == [2]
    assert ["code" in head for head, _ in answers] == [False] * 3
    assert np.isclose([body["image_score"] for _, body in answers], 250 / 255).all()
