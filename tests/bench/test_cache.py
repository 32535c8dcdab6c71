import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bench.plans import Red
from tamperscope.bench.cache import (
    Entry,
    Journal,
    Kept,
    Shelf,
    method_key,
    read_prediction,
    settled,
    write_prediction,
)
from tamperscope.bench.protocols import Prediction
from tamperscope.errors import ResultError
from tamperscope.perturb import parse


def kept(score_map: np.ndarray, grid: tuple[int, int] | None = (3, 4)) -> Kept:
    found = Prediction(score_map, score_map > 0.5, 0.25, threshold=0.4, feature_grid=grid)
    return Kept(prediction=settled(found), seconds=0.5, commit="c")


@settings(max_examples=50, deadline=None)
@given(
    score_map=arrays(
        np.float32,
        st.tuples(st.integers(1, 9), st.integers(1, 17)),
        elements=st.floats(0, 1, width=32),
    )
)
def test_settled_predictions_come_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, score_map: np.ndarray
) -> None:
    path = tmp_path_factory.mktemp("c") / "a" / "p.npz"
    one = kept(score_map)
    write_prediction(one, path)
    back = read_prediction(path)
    assert back is not None
    assert np.array_equal(back.prediction.score_map, one.prediction.score_map)
    assert back.prediction.score_map.dtype == np.float32
    assert np.array_equal(back.prediction.mask, one.prediction.mask)
    assert (back.prediction.image_score, back.prediction.threshold) == (0.25, 0.4)
    assert (back.prediction.feature_grid, back.seconds, back.commit) == ((3, 4), 0.5, "c")
    assert np.abs(one.prediction.score_map - score_map).max() <= 0.5 / 65534 + 1e-7
    assert np.array_equal(settled(one.prediction).score_map, one.prediction.score_map)


def test_zero_one_half_and_one_are_exact() -> None:
    found = np.array([[0, 0.5, 1]], np.float32)
    assert kept(found).prediction.score_map.tolist() == [[0, 0.5, 1]]


def test_maps_beyond_zero_and_one_are_kept_as_they_are(tmp_path: Path) -> None:
    found = np.array([[-3.25, 7.1]], np.float32)
    write_prediction(kept(found, grid=None), tmp_path / "p.npz")
    back = read_prediction(tmp_path / "p.npz")
    assert back is not None
    assert np.array_equal(back.prediction.score_map, found)
    assert back.prediction.feature_grid is None


def test_smooth_maps_take_little_room(tmp_path: Path) -> None:
    y, x = np.mgrid[:256, :384].astype(np.float32)
    write_prediction(kept(np.sin(x / 90) * np.sin(y / 70) / 2 + 0.5), tmp_path / "p.npz")
    assert (tmp_path / "p.npz").stat().st_size < 256 * 384


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "text", "version"])
def test_a_damaged_answer_is_none(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "p.npz"
    write_prediction(kept(np.full((20, 30), 0.3, np.float32)), path)
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "version":
        with np.load(path) as found:
            parts = dict(found)
        about = json.loads(str(parts["about"][()])) | {"version": 0}
        np.savez(path, **{**parts, "about": np.array(json.dumps(about))})
    else:
        path.write_bytes({"empty": b"", "cut": data[: len(data) // 2], "text": b"no"}[damage])
    assert read_prediction(path) is None


def test_a_journal_reads_what_it_wrote_and_merges_protocols(tmp_path: Path) -> None:
    path = tmp_path / "j" / "one.jsonl"
    nan = float("nan")
    journal = Journal(path)
    journal.add("p", Entry(seconds=1, flagged=0.5, image_score=0.1, rows={"x": {"f1": nan}}))
    journal.add("p", Entry(seconds=1, flagged=0.5, image_score=0.1, rows={"y": {"f1": 0.3}}))
    entry = Journal(path).get("p")
    assert entry is not None
    assert set(entry.rows) == {"x", "y"}
    assert np.isnan(entry.rows["x"]["f1"])
    assert entry.rows["y"] == {"f1": 0.3}
    assert Journal(path).get("q") is None


NO_ROOM = "red ran out of memory on this picture; measure on a larger machine"


def test_out_of_memory_is_known_until_the_end_of_the_run_only(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    journal = Journal(path)
    journal.add("a", Entry(seconds=1, flagged=0, image_score=0, failure=NO_ROOM, rows={"x": {}}))
    journal.add("b", Entry(seconds=1, flagged=0, image_score=0, failure="too dull: brighten it"))
    entry = journal.get("a")
    assert entry is not None
    assert (entry.failure, set(entry.rows)) == (NO_ROOM, {"x"})
    again = Journal(path)
    assert again.get("a") is None
    assert again.get("b") is not None


def test_out_of_memory_in_an_older_file_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    known = Entry(seconds=1, flagged=0.5, image_score=0.1, rows={"x": {"f1": 0.3}})
    line = {"version": 1, "seconds": 1, "flagged": 0, "image_score": 0, "failure": NO_ROOM}
    Journal(path).add("a", known)
    with path.open("a", encoding="utf-8") as file:
        for name in "ab":
            file.write(json.dumps({**line, "picture": name, "rows": {"y": {"f1": 0}}}) + "\n")
    again = Journal(path)
    assert again.get("a") == known
    assert again.get("b") is None


def test_rows_of_a_refusal_are_not_those_of_a_later_answer(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    journal = Journal(path)
    refused = Entry(seconds=1, flagged=0, image_score=0, failure="too dull: brighten it")
    for name in "xy":
        journal.add("a", replace(refused, rows={name: {"f1": 0}}))
    known = journal.get("a")
    assert known is not None
    assert set(known.rows) == {"x", "y"}
    answered = Entry(seconds=1, flagged=0.5, image_score=0.4, rows={"y": {"f1": 0.3}})
    journal.add("a", answered)
    assert journal.get("a") == Journal(path).get("a") == answered


def test_a_line_cut_off_by_a_kill_is_left_out_and_harms_no_other(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    journal = Journal(path)
    for name in "ab":
        journal.add(name, Entry(seconds=1, flagged=0, image_score=0))
    path.write_bytes(path.read_bytes()[:-20])
    again = Journal(path)
    assert again.get("a") is not None
    assert again.get("b") is None
    again.add("c", Entry(seconds=1, flagged=0, image_score=0))
    assert Journal(path).get("a") is not None
    assert Journal(path).get("c") is not None


def test_a_journal_of_rubbish_is_an_empty_one(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    path.write_bytes(b'\xff\xfe\n[]\n{"version": 1}\n')
    assert Journal(path).get("a") is None
    path.write_text('[]\n{"version": 1}\n{"version": 1, "picture": "a", "other": 2}\n')
    assert Journal(path).get("a") is None


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    journal = Journal(tmp_path / "file" / "one.jsonl")
    with pytest.raises(ResultError, match="cannot write .*one.jsonl: .*; choose another folder"):
        journal.add("a", Entry(seconds=1, flagged=0, image_score=0))


def test_keys_follow_settings_perturbation_and_seed(tmp_path: Path) -> None:
    assert method_key(Red(level=60)) == method_key(Red(level=60, pause=1))
    assert method_key(Red(level=60)) != method_key(Red(level=61))
    shelf = Shelf(tmp_path)
    one = kept(np.zeros((2, 2), np.float32))
    shelf.save(one, "m", "p", parse("jpeg:70"), 0)
    assert shelf.load("m", "p", parse("jpeg:70"), 0) is not None
    assert shelf.load("m", "p", parse("jpeg:71"), 0) is None
    assert shelf.load("m", "p", parse("jpeg:70"), 1) is None
    assert shelf.load("n", "p", parse("jpeg:70"), 0) is None
    Shelf(tmp_path / "none", keep_maps=False).save(one, "m", "p", parse("none"), 0)
    assert not (tmp_path / "none").exists()
