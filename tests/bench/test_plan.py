"""The runner: numbers, resuming, what is left out, what is refused."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

from bench.plans import Red, make_plan, make_set, without_times
from tamperscope.bench.benchmark import Outcome, Plan, run_plan
from tamperscope.bench.cache import Shelf
from tamperscope.bench.cells import Place
from tamperscope.bench.entrants import Entrant
from tamperscope.bench.protocols import OURS, PROTOCOLS
from tamperscope.bench.record import read_record
from tamperscope.data import Dataset, Sample, fingerprint
from tamperscope.data.sample import Unmasked
from tamperscope.errors import ConfigError, DataError, ResultError
from tamperscope.image import Image, read_image


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "cache")


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return make_set(tmp_path / "set")


def cell(outcome: Outcome, method: str = "red", condition: str = "none", protocol: str = "ours"):
    (found,) = [
        c
        for c in outcome.record.to_dict()["numbers"]["cells"]
        if (c["method"], c["condition"], c["protocol"]) == (method, condition, protocol)
    ]
    return found


def test_numbers_are_those_of_the_protocol(data: Dataset, shelf: Shelf) -> None:
    outcome = run_plan(make_plan(Red(), data), shelf)
    rows = [OURS.score(Red()(read_image(s.image_path)), s.truth()) for s in data.samples]
    by_hand = OURS.summarize(rows)
    found = cell(outcome)["numbers"]
    for name in ("f1", "iou", "mcc", "auc", "flagged_pixels"):
        assert found[name] == pytest.approx(by_hand[name], abs=1e-4)
    assert found["f1"]["count"] == 4
    assert cell(outcome)["pictures"] == {"forged": 4, "authentic": 3, "excluded": 0}
    assert set(cell(outcome)["by_kind"]) == {"copymove", "splice"}
    assert cell(outcome, "empty")["numbers"]["f1"]["mean"] == 0


def test_the_record_says_what_was_measured(data: Dataset, shelf: Shelf, tmp_path: Path) -> None:
    plan = make_plan(Red(), data, perturb=("none", "jpeg:70"), rows=True)
    record = run_plan(plan, shelf).record
    back = read_record(record.save(tmp_path / "r.json"))
    assert back["kind"] == "benchmark"
    assert back["dataset"]["tiny"]["sha256"] == fingerprint(data)
    assert back["dataset"]["tiny"]["kinds"] == {"copymove": 2, "splice": 2}
    assert back["weights"] == {"red: paint": "ab" * 32}
    assert [m["reference"] for m in back["method"]["rows"]] == [False, True, True]
    assert back["protocol"]["ours"]["threshold_rule"]
    assert [c["name"] for c in back["numbers"]["conditions"]] == ["none", "jpeg:70"]
    assert len(back["rows"]) == 7 * 3 * 2
    first = back["rows"][0]
    assert (first["id"], first["method"], first["condition"]) == ("f0", "red", "none")
    assert first["numbers"]["ours"]["f1"] > 0
    authentic = [r for r in back["rows"] if r["label"] == "authentic"]
    assert all(row["numbers"]["ours"]["f1"] is None for row in authentic)
    assert "rows" not in run_plan(replace(plan, rows=False), shelf).record.to_dict()


def test_one_pass_serves_protocols_asked_for_later(data: Dataset, shelf: Shelf) -> None:
    method = Red()
    run_plan(make_plan(method, data), shelf)
    assert len(method.asked) == 7
    every = tuple(PROTOCOLS)
    later = run_plan(make_plan(method, data, protocols=every), shelf)
    assert len(method.asked) == 7
    at_once = run_plan(
        make_plan(Red(), data, protocols=every), Shelf(data.root / "other", keep_maps=False)
    )
    assert without_times(later.record.numbers) == without_times(at_once.record.numbers)


def test_without_maps_a_later_protocol_asks_again(data: Dataset, tmp_path: Path) -> None:
    method = Red()
    bare = Shelf(tmp_path / "bare", keep_maps=False)
    run_plan(make_plan(method, data), bare)
    run_plan(make_plan(method, data), bare)
    assert len(method.asked) == 7
    run_plan(make_plan(method, data, protocols=("ours", "focal")), bare)
    assert len(method.asked) == 14


def test_a_picture_under_another_name_is_known(data: Dataset, shelf: Shelf, tmp_path: Path) -> None:
    run_plan(make_plan(Red(), data), shelf)
    moved = make_set(tmp_path / "elsewhere")
    method = Red()
    run_plan(make_plan(method, moved), shelf)
    assert method.asked == []
    run_plan(make_plan(Red(level=61), moved), shelf)
    other = Red(level=61)
    run_plan(make_plan(other, moved), shelf)
    assert other.asked == []


def test_damaged_answers_and_journals_are_made_again(data: Dataset, shelf: Shelf) -> None:
    first = run_plan(make_plan(Red(), data), shelf)
    folder = data.root.parent / "cache"
    for path in folder.rglob("*.jsonl"):
        path.write_text("rubbish\n")
    for path in list(folder.rglob("*.npz"))[:3]:
        path.write_bytes(b"rubbish")
    method = Red()
    second = run_plan(make_plan(method, data), shelf)
    assert len(method.asked) == 3
    assert without_times(second.record.numbers) == without_times(first.record.numbers)


SCRIPT = """
import sys
from pathlib import Path
from bench.plans import Red, make_plan, make_set
from tamperscope.bench.benchmark import run_plan
from tamperscope.bench.cache import Shelf
from tamperscope.bench.cells import Place

root = Path(sys.argv[1])
plan = make_plan(
    Red(pause=0.05), make_set(root / "set"), protocols=("ours", "focal"),
    perturb=("none", "crop:0.8", "noise:9"), rows=True,
)
run_plan(plan, Shelf(root / "cache"))
"""


def journal_lines(root: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in root.rglob("*.jsonl"))


def test_a_run_killed_in_the_middle_goes_on_to_an_equal_record(tmp_path: Path) -> None:
    tests = str(Path(__file__).resolve().parents[1])
    paths = os.pathsep.join(part for part in (tests, os.environ.get("PYTHONPATH")) if part)
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], env={**os.environ, "PYTHONPATH": paths}
    )
    try:
        end = time.monotonic() + 120
        while journal_lines(tmp_path / "cache") < 9:
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < end, "it never began"
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL
    done = journal_lines(tmp_path / "cache")

    def plan(method: Red) -> Plan:
        return make_plan(
            method,
            make_set(tmp_path / "set"),
            protocols=("ours", "focal"),
            perturb=("none", "crop:0.8", "noise:9"),
            rows=True,
        )

    resumed, fresh = Red(), Red()
    second = run_plan(plan(resumed), Shelf(tmp_path / "cache"))
    whole = run_plan(plan(fresh), Shelf(tmp_path / "other"))
    assert len(fresh.asked) == 21
    assert 0 < len(resumed.asked) <= 21 - done
    assert without_times(second.record.to_dict()) == without_times(whole.record.to_dict())
    third = run_plan(plan(Red()), Shelf(tmp_path / "cache"))
    assert third.record.numbers == second.record.numbers
    assert third.record.rows == second.record.rows


def test_unreadable_pictures_are_named_counted_and_passed_over(data: Dataset, shelf: Shelf) -> None:
    (data.root / "images" / "f1.png").write_bytes(b"not a picture")
    (data.root / "images" / "a5.png").unlink()
    (data.root / "masks" / "f2.png").write_bytes(b"")
    PILImage.fromarray(np.zeros((48, 64), np.uint8)).save(data.root / "masks" / "f3.png")
    said: list[str] = []
    plan = make_plan(Red(), data, perturb=("none", "jpeg:80"))
    outcome = run_plan(plan, shelf, note=said.append)
    assert cell(outcome)["pictures"]["forged"] == 1
    assert cell(outcome, "empty")["pictures"] == cell(outcome)["pictures"]
    assert len(said) == 4
    assert all(line.startswith("tiny: ") and "left out" in line for line in said)
    found: Any = outcome.record.dataset["tiny"]
    assert {one["id"] for one in found["excluded"]} == {"f1", "f2", "f3", "a5"}
    reasons = {one["id"]: one["why"] for one in found["excluded"]}
    assert reasons["f3"] == "its mask marks nothing: check the polarity, or leave the picture out"
    assert "cannot be read" in reasons["a5"]
    assert outcome.record.numbers["cells"][0]["numbers"]["f1"]["count"] == 1


def test_a_picture_repaired_later_is_measured_then(data: Dataset, shelf: Shelf) -> None:
    path = data.root / "images" / "f1.png"
    good = path.read_bytes()
    path.write_bytes(b"not a picture")
    run_plan(make_plan(Red(), data), shelf)
    path.write_bytes(good)
    method = Red()
    outcome = run_plan(make_plan(method, data), shelf)
    assert method.asked == ["f1"]
    assert cell(outcome)["pictures"] == {"forged": 4, "authentic": 3, "excluded": 0}


def test_a_refused_picture_counts_as_an_empty_mask(data: Dataset, shelf: Shelf) -> None:
    said: list[str] = []
    outcome = run_plan(make_plan(Red(refuse="f0"), data), shelf, note=said.append)
    found = cell(outcome)
    assert found["failures"] == [{"id": "f0", "why": "too dull: brighten it"}]
    assert found["numbers"]["f1"]["count"] == 4
    whole = cell(run_plan(make_plan(Red(), data), Shelf(data.root / "o")))["numbers"]
    assert found["numbers"]["f1"]["mean"] < whole["f1"]["mean"]
    assert said == ["red tiny: f0: refused: too dull: brighten it"]


def test_out_of_memory_is_a_refusal_and_a_bug_is_not(data: Dataset, shelf: Shelf) -> None:
    class Greedy(Red):
        def __call__(self, image: Image) -> Any:
            raise MemoryError

    class Broken(Red):
        def __call__(self, image: Image) -> Any:
            raise RuntimeError("a bug")

    found = cell(run_plan(make_plan(Greedy(), data, references=()), shelf))
    assert len(found["failures"]) == 7
    assert "red ran out of memory on this picture" in found["failures"][0]["why"]
    with pytest.raises(RuntimeError, match="a bug"):
        run_plan(make_plan(Broken(level=1), data, references=()), shelf)


def test_out_of_memory_is_asked_again_by_the_next_run(data: Dataset, shelf: Shelf) -> None:
    class Cramped(Red):
        def __call__(self, image: Image) -> Any:
            answer = super().__call__(image)
            if self.asked[-1] == "f0":
                raise MemoryError
            return answer

    both = ("ours", "focal")
    first = run_plan(make_plan(Cramped(), data, protocols=both, references=()), shelf)
    assert [one["id"] for one in cell(first)["failures"]] == ["f0"]
    assert cell(first)["numbers"]["f1"]["count"] == 4
    method = Red()
    second = run_plan(make_plan(method, data, protocols=both, references=()), shelf)
    assert method.asked == ["f0"]
    assert cell(second)["failures"] == []
    fresh = run_plan(
        make_plan(Red(), data, protocols=both, references=()), Shelf(data.root / "fresh")
    )
    assert without_times(second.record.numbers) == without_times(fresh.record.numbers)


def test_a_refusal_that_became_an_answer_leaves_nothing_behind(data: Dataset, shelf: Shelf) -> None:
    run_plan(make_plan(Red(refuse="f0"), data, references=()), shelf)
    method = Red()
    plan = make_plan(method, data, protocols=("ours", "focal"), references=())
    later = run_plan(plan, shelf)
    assert method.asked == ["f0"]
    assert cell(later)["failures"] == []
    assert cell(later)["pictures"] == {"forged": 4, "authentic": 3, "excluded": 0}
    fresh = run_plan(plan, Shelf(data.root / "fresh"))
    assert without_times(later.record.numbers) == without_times(fresh.record.numbers)


def test_a_broken_answer_stops_the_run(data: Dataset, shelf: Shelf) -> None:
    class Broken(Red):
        def __call__(self, image: Image) -> Any:
            return replace(super().__call__(image), image_score=float("nan"))

    with pytest.raises(ResultError, match="values that are not finite"):
        run_plan(make_plan(Broken(), data), shelf)


def test_a_mask_of_another_shape_is_left_out(data: Dataset, shelf: Shelf) -> None:
    PILImage.fromarray(np.full((64, 48), 255, np.uint8)).save(data.root / "masks" / "f0.png")
    plan = make_plan(Red(), data, perturb=("none", "resize:0.5"))
    outcome = run_plan(plan, shelf)
    for condition in ("none", "resize:0.5"):
        assert cell(outcome, condition=condition)["pictures"]["excluded"] == 1
    found: Any = outcome.record.dataset["tiny"]
    assert "the picture is 48 x 64 and its mask 64 x 48" in found["excluded"][0]["why"]


def test_the_truth_moves_with_the_picture(data: Dataset, shelf: Shelf) -> None:
    """Whoever finds everything still does after a crop or a resize."""
    seen: list[tuple[int, int]] = []

    class Perfect(Red):
        def __call__(self, image: Image) -> Any:
            seen.append(image.size)
            return super().__call__(image)

    whole = replace(data, samples=data.samples[:1])
    assert whole.samples[0].mask_path is not None
    mask = read_image(whole.samples[0].image_path).pixels[..., 0] > 180
    PILImage.fromarray(np.where(mask, np.uint8(255), np.uint8(0))).save(whole.samples[0].mask_path)
    plan = make_plan(Perfect(), whole, perturb=("none", "crop:0.9", "resize:0.5", "resize:2"))
    outcome = run_plan(plan, shelf)
    assert seen[1:] == [(43, 58), (24, 32), (96, 128)]
    for condition in ("none", "crop:0.9"):
        assert cell(outcome, condition=condition)["numbers"]["f1"]["mean"] == 1
    assert cell(outcome, condition="resize:2")["numbers"]["f1"]["mean"] > 0.9


def test_a_region_that_a_crop_loses_is_left_out_there_only(tmp_path: Path, shelf: Shelf) -> None:
    data = make_set(tmp_path / "set", forged=8, authentic=1)
    for sample in data.forged:
        assert sample.mask_path is not None
        truth = np.zeros((48, 64), np.uint8)
        truth[0, 0] = 255
        PILImage.fromarray(truth).save(sample.mask_path)
    outcome = run_plan(make_plan(Red(), data, perturb=("none", "crop:0.5")), shelf)
    assert cell(outcome)["pictures"]["forged"] == 8
    assert cell(outcome, condition="crop:0.5")["pictures"]["forged"] < 4
    found: Any = outcome.record.dataset["tiny"]
    reasons = {one["why"] for one in found["excluded"]}
    assert reasons == {"nothing of the forged region is left after crop:0.5"}


def test_pictures_without_a_region_have_image_level_numbers_alone(
    data: Dataset, shelf: Shelf
) -> None:
    path = data.forged[0].image_path
    samples = (
        Sample(id="w", image_path=path, mask_path=None, label="forged", unmasked="whole"),
        Sample(id="u", image_path=path, mask_path=None, label="forged", unmasked="unknown"),
        *data.authentic,
    )
    plan = make_plan(Red(), replace(data, samples=samples), protocols=tuple(PROTOCOLS))
    outcome = run_plan(plan, shelf)
    assert cell(outcome)["pictures"] == {"forged": 2, "authentic": 3, "excluded": 0}
    assert cell(outcome)["numbers"]["image_auc"]["count"] == 5
    for one in outcome.record.to_dict()["numbers"]["cells"]:
        numbers = {n.name: n for n in PROTOCOLS[one["protocol"]].numbers}
        known = {name for name, value in one["numbers"].items() if value is not None}
        alone = {n for n in numbers if numbers[n].level == "image"} | {"flagged_pixels"}
        assert known == alone & numbers.keys()


@pytest.mark.parametrize("unmasked", ["whole", "unknown"])
def test_pictures_without_a_region_leave_the_others_numbers_alone(
    data: Dataset, shelf: Shelf, unmasked: Unmasked
) -> None:
    path = data.authentic[0].image_path
    more = Sample(id="w", image_path=path, mask_path=None, label="forged", unmasked=unmasked)
    both = replace(data, samples=(*data.samples, more))
    names = ("f1", "iou", "auc", "flagged_pixels")
    alone, mixed = (cell(run_plan(make_plan(Red(), d), shelf))["numbers"] for d in (data, both))
    assert {n: alone[n] for n in names} == {n: mixed[n] for n in names}
    assert mixed["image_auc"]["count"] == alone["image_auc"]["count"] + 1


def test_a_picture_too_wide_for_a_codec_is_left_out_there_only(data: Dataset, shelf: Shelf) -> None:
    path = data.root / "images" / "wide.png"
    PILImage.fromarray(np.full((8, 16400, 3), 120, np.uint8)).save(path)
    wide = Sample(id="wide", image_path=path, mask_path=None, label="authentic")
    both = replace(data, samples=(*data.samples, wide))
    outcome = run_plan(make_plan(Red(), both, perturb=("none", "webp:80"), references=()), shelf)
    assert cell(outcome)["pictures"] == {"forged": 4, "authentic": 4, "excluded": 0}
    saved = cell(outcome, condition="webp:80")["pictures"]
    assert saved == {"forged": 4, "authentic": 3, "excluded": 1}
    found: Any = outcome.record.dataset["tiny"]
    (left,) = found["excluded"]
    assert left["id"] == "wide"
    assert left["why"].startswith("16400 x 8 pixels cannot be saved as WebP (")


def test_limit_workers_and_seed(data: Dataset, shelf: Shelf) -> None:
    base = make_plan(Red(), data, perturb=("noise:20",))
    one = run_plan(replace(base, workers=1), Shelf(data.root / "1")).record.numbers
    many = run_plan(replace(base, workers=8), Shelf(data.root / "8")).record.numbers
    assert without_times(one) == without_times(many)
    other = run_plan(replace(base, seed=1), shelf).record.numbers
    assert without_times(one["cells"]) != without_times(other["cells"])
    few = run_plan(replace(base, limit=2), shelf)
    assert cell(few, condition="noise:20")["pictures"] == {
        "forged": 2,
        "authentic": 2,
        "excluded": 0,
    }


def test_progress_counts_every_picture_of_every_cell(data: Dataset, shelf: Shelf) -> None:
    told: list[tuple[int, int, str]] = []
    plan = make_plan(Red(), data, perturb=("none", "jpeg:70"))
    for _ in range(2):
        told.clear()
        run_plan(plan, shelf, progress=lambda *a: told.append(a))
        assert [done for done, _, _ in told] == list(range(1, 43))
        assert {total for _, total, _ in told} == {42}
        assert any(name.startswith("red tiny jpeg:70: ") for _, _, name in told)


def test_a_plan_checks_itself(data: Dataset) -> None:
    plan = make_plan(Red(), data)
    twice = Entrant(name="red", load=Red)
    with pytest.raises(ConfigError, match="method 'red' is named twice: name it once"):
        replace(plan, entrants=(*plan.entrants, twice))
    for what in ("entrants", "protocols", "conditions"):
        with pytest.raises(ConfigError, match=f"no {what} to measure: give at least one"):
            replace(plan, **{what: ()})
    with pytest.raises(ConfigError, match="seed and workers cannot be negative"):
        replace(plan, seed=-1)


def test_a_set_without_any_readable_file_is_an_error(data: Dataset, shelf: Shelf) -> None:
    for sample in data.samples:
        sample.image_path.unlink()
    with pytest.raises(DataError, match="tiny: no file of it can be read"):
        run_plan(make_plan(Red(), data), shelf)


def test_places_are_told_apart(data: Dataset, shelf: Shelf) -> None:
    outcome = run_plan(make_plan(Red(), data), shelf)
    place = Place(method="red", dataset="tiny", condition="none")
    assert json.dumps([m.sample.id for m in outcome.cells[place].pictures]) == json.dumps(
        [s.id for s in data.samples]
    )
