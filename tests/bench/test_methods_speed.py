"""benchmarks/methods_speed.py: who takes part, that turns are taken, and what is said of it."""

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hostile import encode, photo
from tamperscope import catalog
from tamperscope.bench import load_records
from tamperscope.bench.speed_tables import evaluation_table, hrnet_table, methods_table
from tamperscope.errors import ConfigError, DataError, MissingExtraError

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


@pytest.fixture(autouse=True)
def _scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


def test_everything_that_ships_takes_part() -> None:
    from speed_parts.candidates import shipped

    focal = ["focal:default", "focal:locate", "focal:fast"]
    dolos = ["dolos-patches", "dolos-patches-weak", "dolos-attention"]
    assert shipped() == [*focal, *dolos, "fakelocator"]


def test_what_cannot_run_here_is_left_out_but_for_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    from speed_parts.candidates import load_all

    asked: list[tuple[str, dict[str, Any]]] = []

    def load(name: str, **options: Any) -> object:
        asked.append((name, options))
        if options["engine"] == "onnx":
            raise MissingExtraError("no onnxruntime")
        if options["device"] == "tpu":
            raise ConfigError("unknown device 'tpu'")
        return object()

    monkeypatch.setattr(catalog, "load", load)
    loaded, left_out = load_all(["focal:fast"], ["torch", "onnx", "torch, bf16"], "cpu")
    assert [one.engine for one in loaded] == ["torch", "torch, bf16"]
    assert left_out == {"focal:fast, onnx": "no onnxruntime"}
    told = {"preset": "fast", "device": "cpu", "engine": "torch", "precision": "fp32"}
    assert asked[0] == ("focal", told)
    with pytest.raises(ConfigError, match="unknown device"):
        load_all(["focal"], ["torch"], "tpu")


def test_pictures_have_their_size_and_their_truth(tmp_path: Path) -> None:
    from speed_parts.pictures import scaled_pictures

    from tamperscope.image import read_image

    pictures = scaled_pictures(EXAMPLES, 0.05, count=4)
    names = [picture.name for picture in pictures]
    assert names == ["launch_spliced", "table_spliced", "twin_copied", "cat_authentic"]
    for picture in pictures[:3]:
        size = read_image(picture.data).size
        assert size == picture.truth.shape
        assert all(side % 32 == 0 for side in size)
        assert 0.04 < size[0] * size[1] / 1e6 < 0.06
        assert 0 < picture.truth.mean() < 0.5
    assert pictures[3].truth is None
    (square,) = scaled_pictures(EXAMPLES, 1, count=1, side=64)
    assert square.truth.shape == (64, 64)
    with pytest.raises(DataError, match=r"no pictures in .*: name a folder of JPEG or PNG files"):
        scaled_pictures(tmp_path, 1, count=1)


def test_candidates_take_turns_and_are_compared() -> None:
    from speed_parts.candidates import Candidate
    from speed_parts.latency import measure_latency
    from speed_parts.pictures import Picture

    order = []

    class Asked:
        def __init__(self, name: str) -> None:
            self.name, self.method = name, catalog.load("focal", device="cpu", threshold=0.5)

        def localize(self, source: bytes) -> Any:
            order.append(self.name)
            return self.method.localize(source)

    engines: Any = {Candidate("focal", name): Asked(name) for name in ("torch", "other")}
    picture = Picture("a", encode(photo(32, 40), "PNG"), None)
    settled: list[int] = []
    found = measure_latency(engines, [picture], 2, settle=lambda: settled.append(1))
    assert order == ["torch", "other"] * 3
    assert len(settled) == 6
    for row in found.values():
        assert 0 < row["least"] <= row["median"] <= row["most"]
        assert (row["repeats"], row["pictures"]) == (2, 1)
        assert row["largest_map_difference"] == 0


def test_batches_take_turns_and_are_as_long_as_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from speed_parts import throughput
    from speed_parts.candidates import Candidate

    asked: list[dict[str, Any]] = []

    def run(code: str, words: list[str], cores: int) -> dict[str, Any]:
        assert words[0] == "8"
        assert cores == 2
        asked.append(json.loads(words[1]))
        return {"rate": float(len(asked))}

    monkeypatch.setattr(throughput, "run", run)
    slow, fast = Candidate("focal:fast", "onnx"), Candidate("fakelocator", "torch")
    batches = throughput.Batches(folder=tmp_path, rounds=3, seconds=3, cores=2, device="cpu")
    found = batches.measure({slow: 10.0, fast: 0.1})
    assert [one["method"] for one in asked] == ["focal", "fakelocator"] * 3
    assert [one["limit"] for one in asked[:2]] == [8 + 16, 8 + 30]
    assert [one["runtime"] for one in asked[:2]] == ["onnx", "torch"]
    assert (asked[0]["preset"], asked[1]["preset"]) == ("fast", None)
    assert {one["workers"] for one in asked} == {2}
    assert found[slow]["pictures_per_second"] == 3.0
    assert (found[fast]["least"], found[fast]["most"]) == (2.0, 6.0)


def test_batches_run_as_tamperscope_batch_does(tmp_path: Path) -> None:
    from batch_parts.runs import BATCH, batch_arguments, fill, run

    assert fill(tmp_path, count=3, megapixels=0.01).startswith("synthetic JPEG")
    words = batch_arguments(
        1, source=str(tmp_path), method="dolos-patches", device="cpu", workers=1, limit=2
    )
    found = run(BATCH, words, 1)
    assert found["rate"] > 0
    assert sorted(found["scores"]) == ["00000.jpg", "00001.jpg"]


def test_both_ways_do_the_same_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("hdbscan")
    from speed_parts import evaluation
    from speed_parts.pictures import scaled_pictures

    from tamperscope.clustering import hdbscan as module

    monkeypatch.setattr(module, "hdbscan", module.hdbscan)  # put back after the test
    # In the first one a cluster has exactly the least size allowed: whether it counts hangs on
    # which of equal distances comes first, and the algorithms of hdbscan itself disagree.
    (_, picture) = scaled_pictures(EXAMPLES, 0.1, count=2)
    data, truth = tmp_path / "a.jpg", tmp_path / "a.npy"
    data.write_bytes(picture.data)
    np.save(truth, picture.truth)
    answers = {}
    for way in ("published", "peers"):
        work, finish = evaluation.prepare(way, data, truth, tmp_path / f"{way}.npz", "cpu", 1)
        with warnings.catch_warnings(action="ignore"):  # of the library, which is older
            answers[way] = finish(work())
    ours, theirs = answers["published"], answers["peers"]
    assert list(ours["parts"]) == list(theirs["parts"]) == list(evaluation.PARTS)
    assert ours["numbers"] == pytest.approx(theirs["numbers"], abs=1e-3)
    with np.load(tmp_path / "published.npz") as one, np.load(tmp_path / "peers.npz") as other:
        assert one["mask"].any()
        assert (one["mask"] != other["mask"]).mean() < 1e-3
        assert np.abs(one["scores"] - other["scores"]).max() < 1e-3


class Staged:
    """Processes whose outcomes are known beforehand: peers run out of time on large pictures."""

    def __init__(self) -> None:
        self.ways: list[str] = []

    def run(self, _prepare: Any, way: str, *words: Any, limit: float) -> Any:
        from clustering_parts.process import Outcome

        assert limit == 60
        self.ways.append(way)
        size, answer = np.load(words[1]).shape, words[2]
        if way == "peers" and size[0] > 64:
            return Outcome("timed out")
        if answer is not None:
            mask = np.zeros(size, np.bool_)
            mask[0, : 10 if way == "peers" else 9] = True
            np.savez(answer, mask=mask, scores=mask.astype(np.float32))
        extra = {
            "parts": {"network": 0.1, "clustering": 0.2, "metrics": 0.3},
            "numbers": {"auc": 0.75 if way == "peers" else 0.5},
        }
        return Outcome("done", 8.0 if way == "peers" else 2.0, 1.0, 1 << 20, None, None, extra)


@pytest.fixture
def rows(tmp_path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    from speed_parts.pictures import Picture
    from speed_parts.rivals import Rivals

    staged: Any = Staged()
    rivals = Rivals(staged, tmp_path, rounds=2, once=5, limit=60, device="cpu", threads=1)

    def pictures(side: int) -> list[Picture]:
        return [Picture(name, b"", np.zeros((side, 64), np.bool_)) for name in "ab"]

    rows = [*rivals.measure(0.1, pictures(64)), *rivals.measure(1, pictures(128))]
    return staged.ways, rows


def test_ways_take_turns_until_one_is_late(rows: tuple[list[str], list[dict[str, Any]]]) -> None:
    ways, found = rows
    others = ["published", "default", "default-onnx"]
    # Twice, but the peers took too long to be run again; then they are late; then left out.
    assert ways == [*(["peers", *others, *others] * 3), *others, *others]
    status = [row["status"] for row in found if row["way"] == "peers"]
    assert status == ["done", "done", "timed out", "skipped"]
    assert found[-4]["why"] == "over 60 s at 1 Mpx"
    assert found[1]["mask_iou"] == 0.9
    assert found[1]["map_difference"] == 1
    assert "mask_iou" not in found[2]


def test_the_table_of_an_evaluation(rows: tuple[list[str], list[dict[str, Any]]]) -> None:
    from speed_parts.rivals import summary

    numbers = {"evaluation": summary(rows[1])}
    made = evaluation_table([record(numbers)])
    lines = made.splitlines()
    assert lines[2].startswith("| 0.1 | 256 | PyTorch, hdbscan, scikit-learn | 8 | 0.1 | 0.2 |")
    assert lines[3].endswith("| 2 | 0.1 | 0.2 | 0.3 | 1.4 | 4.0 | .900 | 0.2 |")
    assert lines[4].endswith("| 1.4 | 4.0 | n/a | n/a |")
    assert "| 1 | 512 | PyTorch, hdbscan, scikit-learn | not finished in 60 s |" in lines[6]
    assert lines[7].endswith("| 1.4 | n/a | n/a | n/a |")
    assert "pictures of each size: 2 (some pictures); cores: 2. A processor." in made


def record(numbers: dict[str, Any]) -> dict[str, Any]:
    return {
        "numbers": numbers,
        "protocol": {"cores": 2},
        "dataset": {"name": "some pictures"},
        "environment": {"machine": {"cpu": "A processor"}},
    }


def test_the_table_of_methods() -> None:
    timed = {"median": 0.371, "repeats": 3, "pictures": 2, "least_iou": 0.985}
    batch = {"megapixels": 0.25, "pictures_per_second": 5.123, "rounds": 3}
    methods = {
        "focal:fast": {
            "torch": {"seconds": {"1": {**timed, "median": 12.3}, "0.25": timed}, "batch": batch},
            "onnx": {"seconds": {"0.25": {**timed, "least_iou": None}}},
        }
    }
    numbers = {"methods": methods, "left_out": {"focal:fast, torch, bf16": "not here"}}
    made = methods_table([record(numbers)])
    assert "| Method | Engine | 0.25 Mpx | 1 Mpx | batch, 0.25 Mpx |" in made
    assert "| `focal:fast` | torch | 0.37 s | 12 s | 5.12/s | .985 |" in made
    assert "| `focal:fast` | onnx | 0.37 s | n/a | n/a | no mask |" in made
    assert "threads: 2; rounds: 3; pictures of each size: 2, some pictures)" in made
    assert "Left out: focal:fast, torch, bf16 (not here)." in made


def test_the_published_network_runs_with_random_weights(tmp_path: Path) -> None:
    from speed_parts.hrnet import measure_hrnet, random_weights
    from speed_parts.pictures import scaled_pictures

    pictures = scaled_pictures(EXAMPLES, 1, count=2, side=64)
    weights = random_weights(tmp_path / "random.safetensors", pictures[0], side=64)
    found = measure_hrnet(
        pictures, weights, 1, device="cpu", settle=lambda: None, square_size=64, min_cluster_size=20
    )
    assert list(found) == ["fp32", "bf16"]
    for row in found.values():
        assert row["pictures_per_second"] == pytest.approx(1 / row["seconds"])
        assert {"features", "clustering"} <= set(row["stages_of_the_last_round"])
    made = hrnet_table([record({"hrnet": {"weights": "random numbers", "precisions": found}})])
    assert "| bf16 |" in made
    assert "weights: random numbers; A processor." in made
    assert "no record yet" in hrnet_table([record({"hrnet": None})])


@pytest.mark.slow
def test_one_command_makes_the_record(tmp_path: Path) -> None:
    pytest.importorskip("hdbscan")
    options = (
        "--methods dolos-patches --engines torch onnx --megapixels 0.03 --repeats 1 --count 1 "
        "--batch-megapixels 0.02 --batch-rounds 1 --batch-seconds 0.1 --sizes 0.03 --rounds 1 "
        "--cores 1"
    )
    words = [*options.split(), "--pictures", str(EXAMPLES), "--output", str(tmp_path / "a.json")]
    script = str(ROOT / "benchmarks" / "methods_speed.py")
    done = subprocess.run([sys.executable, script, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "| `dolos-patches` | onnx |" in done.stdout
    (found,) = load_records(tmp_path, kind="methods-speed")
    assert found["numbers"]["methods"]["dolos-patches"]["onnx"]["batch"]["pictures"] == 16
    assert {row["status"] for row in found["rows"]} == {"done"}
    assert found["numbers"]["evaluation"][1]["times"] > 0
    assert list(found["weights"]) == ["dolos-patches"]
