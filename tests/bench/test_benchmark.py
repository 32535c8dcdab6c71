import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

from tamperscope import catalog
from tamperscope.bench import OURS, Prediction, main_bench, run_benchmark
from tamperscope.bench.protocol import Protocol, protocol
from tamperscope.bench.record import command_line, read_record, without_folders
from tamperscope.bench.run import read_stems
from tamperscope.data import Dataset, Sample, fingerprint
from tamperscope.errors import (
    ConfigError,
    DataError,
    ImageValueError,
    ResultError,
    UnknownNameError,
)
from tamperscope.image import Image
from tamperscope.localizer import MethodCard
from tamperscope.provenance import Provenance
from tamperscope.result import Localization, MapKind

Predict = Callable[[Image], Prediction]
QUICK = replace(OURS, bootstrap_samples=200)


def mean(interval: Any) -> float:
    return float(interval["mean"])


def test_numbers_worked_out_by_hand(forged_set: Dataset, predictor: Predict) -> None:
    numbers: Any = run_benchmark(predictor, forged_set, protocol=QUICK).numbers
    tampered = numbers["tampered"]
    assert tampered["count"] == 3
    # found in full: 1; columns 10-30 against 0-20: F1 1/2, IoU 1/3; nothing: 0
    assert mean(tampered["f1"]) == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert mean(tampered["iou"]) == pytest.approx((1 + 1 / 3 + 0) / 3)
    # the half: tp 10, fp 10, fn 10, tn 30 columns
    assert mean(tampered["mcc"]) == pytest.approx((1 + (300 - 100) / 800 + 0) / 3)
    # the half: rate of hits 1/2, of false alarms 1/4, a triangle each side; constant map: 1/2
    assert mean(tampered["auc"]) == pytest.approx((1 + (1 + 1 / 2 - 1 / 4) / 2 + 1 / 2) / 3)
    assert mean(tampered["forged_pixels"]) == pytest.approx(1 / 3)
    assert mean(numbers["by_kind"]["splice"]["f1"]) == 1
    assert mean(numbers["by_kind"]["copymove"]["f1"]) == pytest.approx(1 / 4)
    assert numbers["by_kind"]["copymove"]["count"] == 2
    assert mean(numbers["authentic"]["flagged_pixels"]) == pytest.approx((0 + 0.1) / 2)
    assert mean(numbers["authentic"]["flagged_pictures"]) == 1 / 2
    # scores 1/3, 1/3, 0 against 0, 1/10: wins 1, 1, 1, 1, 1/2, 0
    assert mean(numbers["image_auc"]["original"]) == pytest.approx(4.5 / 6)
    assert mean(numbers["image_auc"]["recompressed"]) == pytest.approx(4.5 / 6, abs=0.1)
    assert numbers["failures"] == []
    assert numbers["size_mismatches"] == 0


def test_intervals_hold_the_mean_and_are_reproducible(
    forged_set: Dataset, predictor: Predict
) -> None:
    first: Any = run_benchmark(predictor, forged_set, protocol=QUICK).numbers
    second: Any = run_benchmark(predictor, forged_set, protocol=QUICK).numbers
    interval = first["tampered"]["f1"]
    assert 0 <= interval["low"] < interval["mean"] < interval["high"] <= 1
    assert first["tampered"] == second["tampered"]
    assert first["image_auc"] == second["image_auc"]


def test_recompressed_copies_are_asked_for_and_alike(forged_set: Dataset) -> None:
    seen: list[tuple[str | None, bytes]] = []

    def watching(image: Image) -> Prediction:
        seen.append((image.format, image.pixels.tobytes()))
        return Prediction(np.zeros(image.size, np.float32), np.zeros(image.size, bool), 0.0)

    run_benchmark(watching, forged_set, protocol=QUICK)
    assert [name for name, _ in seen] == ["PNG", "JPEG"] * 5


def test_without_authentic_pictures_there_is_no_image_level_number(
    forged_set: Dataset, predictor: Predict
) -> None:
    only = replace(forged_set, samples=forged_set.forged)
    numbers: Any = run_benchmark(predictor, only, protocol=QUICK).numbers
    assert numbers["image_auc"] == {"original": None, "recompressed": None}
    assert numbers["authentic"] == {"count": 0, "flagged_pixels": None, "flagged_pictures": None}


def test_authentic_pictures_alone(forged_set: Dataset, predictor: Predict) -> None:
    only = replace(forged_set, samples=forged_set.authentic)
    numbers: Any = run_benchmark(predictor, only, protocol=QUICK).numbers
    assert numbers["tampered"]["f1"] is None
    assert numbers["authentic"]["count"] == 2


def test_a_smaller_prediction_is_resized_and_counted(
    forged_set: Dataset, predictor: Predict
) -> None:
    def half_size(image: Image) -> Prediction:
        score, mask, image_score = predictor(image)
        return Prediction(score[::2, ::2], mask[::2, ::2], image_score)

    numbers: Any = run_benchmark(half_size, forged_set, protocol=QUICK).numbers
    assert numbers["size_mismatches"] == 3
    assert mean(numbers["tampered"]["f1"]) == pytest.approx((1 + 1 / 2 + 0) / 3)


def test_a_mask_of_another_shape_is_a_wrong_pair(forged_set: Dataset, predictor: Predict) -> None:
    wrong = forged_set.forged[0].mask_path
    assert wrong is not None
    PILImage.fromarray(np.full((60, 40), 255, np.uint8)).save(wrong)
    with pytest.raises(DataError, match="the picture is 40 x 60 and its mask 60 x 40"):
        run_benchmark(predictor, forged_set, protocol=QUICK)


def test_a_truth_that_covers_all_has_no_auc(forged_set: Dataset, predictor: Predict) -> None:
    whole = forged_set.forged[0].mask_path
    assert whole is not None
    PILImage.fromarray(np.full((40, 60), 255, np.uint8)).save(whole)
    tampered: Any = run_benchmark(predictor, forged_set, protocol=QUICK).numbers["tampered"]
    assert tampered["f1"]["count"] == 3
    assert tampered["auc"]["count"] == 2


def test_masks_are_checked_before_anything_runs(forged_set: Dataset) -> None:
    empty = forged_set.forged[0].mask_path
    assert empty is not None
    PILImage.fromarray(np.zeros((40, 60), np.uint8)).save(empty)

    def never(image: Image) -> Prediction:
        raise AssertionError("ran")

    with pytest.raises(DataError, match=r"1 masks of forged pictures mark nothing \(first: 'all'"):
        run_benchmark(never, forged_set)
    empty.write_bytes(b"not a mask")
    with pytest.raises(DataError, match="mask of 'all': "):
        run_benchmark(never, forged_set)


def test_polarity_of_the_set_is_used(forged_set: Dataset, predictor: Predict) -> None:
    black = tuple(replace(s, polarity="forged-black") for s in forged_set.samples)
    turned = replace(forged_set, samples=black)
    tampered: Any = run_benchmark(predictor, turned, protocol=QUICK).numbers["tampered"]
    assert mean(tampered["forged_pixels"]) == pytest.approx(2 / 3)


def test_a_refused_picture_counts_as_an_empty_mask(forged_set: Dataset, predictor: Predict) -> None:
    def picky(image: Image) -> Prediction:
        if image.id.endswith("all.png"):
            raise ImageValueError("too dull: brighten it")
        return predictor(image)

    numbers: Any = run_benchmark(picky, forged_set, protocol=QUICK).numbers
    assert numbers["failures"] == [{"id": "all", "why": "too dull: brighten it"}]
    assert mean(numbers["tampered"]["f1"]) == pytest.approx((0 + 1 / 2 + 0) / 3)
    assert mean(numbers["tampered"]["auc"]) == pytest.approx((0.5 + 0.625 + 0.5) / 3)


@pytest.mark.parametrize(
    ("score", "mask", "image_score", "message"),
    [
        (
            np.zeros((2, 2)),
            np.zeros((2, 2)),
            0.0,
            "mask .* of float64: return two .* the mask bool",
        ),
        (np.zeros((2, 3)), np.zeros((2, 2), bool), 0.0, r"a map \(2, 3\) and a mask \(2, 2\)"),
        (np.full((2, 2), np.nan), np.zeros((2, 2), bool), 0.0, "values that are not finite"),
        (np.zeros((2, 2)), np.zeros((2, 2), bool), np.inf, "values that are not finite"),
    ],
)
def test_a_broken_answer_stops_the_run(
    score: Any, mask: Any, image_score: float, message: str, forged_set: Dataset
) -> None:
    def broken(image: Image) -> Prediction:
        return Prediction(score, mask, image_score)

    with pytest.raises(ResultError, match=message):
        run_benchmark(broken, forged_set)


class RedLocalizer:
    """The smallest thing that is a Localizer."""

    card = MethodCard(
        name="red",
        title="Red",
        paper="none",
        map_kind=MapKind.SALIENCY,
        summary="red is forged",
        limits="everything",
        weights=("paint",),
        presets=("default",),
    )

    def __init__(self, predictor: Predict) -> None:
        self.predictor = predictor

    def localize(self, source: Any, *, id: str | None = None) -> Localization:
        from tamperscope.image import read_image

        image = read_image(source)
        score, mask, image_score = self.predictor(image)
        return Localization(
            score_map=score,
            map_kind=MapKind.SALIENCY,
            mask=mask,
            threshold=0.4,
            image_score=image_score,
            provenance=Provenance(
                version="0",
                commit=None,
                method="red",
                config={},
                weights={},
                device="cpu",
                precision="fp32",
                seed=0,
                seconds={},
                input_id=image.id,
                input_sha256=image.sha256,
                input_size=image.size,
            ),
        )

    def localize_batch(self, sources: Any) -> list[Localization]:
        return [self.localize(source) for source in sources]

    def describe(self) -> dict[str, Any]:
        return {"config": {"preset": "default"}, "weights": {"paint": "ab" * 32}}


def test_a_localizer_scores_like_its_function_and_is_described(
    forged_set: Dataset, predictor: Predict
) -> None:
    record = run_benchmark(RedLocalizer(predictor), forged_set, protocol=QUICK)
    plain = run_benchmark(predictor, forged_set, protocol=QUICK)
    assert record.numbers["tampered"] == plain.numbers["tampered"]
    assert record.method["name"] == "red"
    assert record.method["map_kind"] == "saliency"
    assert record.method["preset"] == "default"
    assert record.weights == {"paint": "ab" * 32}
    assert plain.method["name"] == "red_is_forged"
    assert plain.weights == {}


def test_a_record_says_what_its_numbers_are_of(
    forged_set: Dataset, predictor: Predict, tmp_path: Path
) -> None:
    record = run_benchmark(predictor, forged_set, protocol=QUICK, rows=True)
    back = read_record(record.save(tmp_path / "r" / "one.json"))
    assert back == record.to_dict()
    assert back["protocol"]["name"] == "ours"
    assert back["protocol"]["bootstrap_samples"] == 200
    assert back["dataset"]["sha256"] == fingerprint(forged_set)
    assert back["dataset"]["kinds"] == {"copymove": 2, "splice": 1}
    assert set(back["environment"]) == {"tool", "libraries", "machine", "date", "command"}
    assert back["environment"]["libraries"]["numpy"] == np.__version__
    assert [row["id"] for row in back["rows"]] == ["all", "half", "none", "alarm", "clean"]
    assert back["rows"][1]["f1"] == pytest.approx(0.5)
    assert back["rows"][4]["f1"] is None
    assert str(tmp_path) not in json.dumps(back)
    assert "rows" not in run_benchmark(predictor, forged_set, protocol=QUICK).to_dict()


def test_limit_is_spread_and_noted(forged_set: Dataset, predictor: Predict) -> None:
    record = run_benchmark(predictor, forged_set, limit=1, protocol=QUICK, rows=True)
    assert record.rows is not None
    assert [row["id"] for row in record.rows] == ["half", "clean"]
    assert "1 of 3 forged, 1 of 2 authentic" in str(record.dataset["notes"])


def test_progress_is_told_of_every_picture(forged_set: Dataset, predictor: Predict) -> None:
    told: list[tuple[int, int, str]] = []
    run_benchmark(predictor, forged_set, protocol=QUICK, progress=lambda *a: told.append(a))
    assert told == [(i, 5, s.id) for i, s in enumerate(forged_set.samples)]


def test_published_commands_keep_no_folders() -> None:
    words = ["/x/bin/tool", "bench", "casia1", "/home/me/sets/casia1", "--output=/home/me/r", "-n"]
    assert command_line(words) == "tool bench casia1 .../casia1 --output=.../r -n"
    assert without_folders({"a": ["/home/me/w.pt", "w.pt", 1]}) == {"a": [".../w.pt", "w.pt", 1]}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("max_aspect_change", -1.0, "max_aspect_change is -1.0: give 0 or more"),
        ("recompression_quality", 0, "recompression_quality is 0: give 1 to 100"),
        ("bootstrap_samples", 0, "bootstrap_samples is 0: give 1 or more"),
        ("confidence", 1.0, "confidence is 1.0: give a share between 0 and 1"),
    ],
)
def test_protocol_checks_itself(field: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(OURS, **{field: value})


def test_protocols_by_name() -> None:
    assert protocol("ours") is OURS
    with pytest.raises(UnknownNameError, match="unknown protocol 'our'; did you mean 'ours'"):
        protocol("our")
    assert Protocol(name="other").to_dict()["name"] == "other"


@pytest.fixture
def folder_set(forged_set: Dataset) -> Path:
    """`forged_set` lies on disk in the folder layout."""
    return forged_set.root


def test_main_bench_writes_the_record_and_its_references(folder_set: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = main_bench("folder", folder_set, method="full", output=out, references=True)
    names = {"full", "empty", "centre-box", "centre-distance", "ela"}
    assert {path.name for path in out.iterdir()} == {f"folder-{name}.json" for name in names}
    assert read_record(out / "folder-full.json")["numbers"] == result["numbers"]
    assert {r["method"]["name"] for r in result["references"]} == names - {"full"}
    assert result["numbers"]["authentic"]["flagged_pixels"]["mean"] == 1


def test_main_bench_takes_a_file_name_and_a_list(folder_set: Path, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("images/all  # the easy one\n\nauthentic/clean\n")
    target = tmp_path / "x.json"
    result = main_bench(
        "folder", folder_set, method="empty", output=target, rows=True, stems=tmp_path / "ids.txt"
    )
    assert [row["id"] for row in result["rows"]] == ["images/all", "authentic/clean"]
    assert read_record(target) == result


def test_main_bench_asks_the_catalogue(
    folder_set: Path, predictor: Predict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def load(name: str, **options: Any) -> RedLocalizer:
        asked.append((name, options))
        return RedLocalizer(predictor)

    monkeypatch.setattr(catalog, "load", load)
    main_bench("folder", folder_set, preset="as-released", weights="w", output=tmp_path / "o")
    assert asked == [("focal", {"preset": "as-released", "weights": "w"})]
    assert (tmp_path / "o" / "folder-focal-as-released.json").is_file()


def test_main_bench_names_what_it_does_not_know(folder_set: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown method 'fcal'; did you mean 'focal'"):
        main_bench("folder", folder_set, method="fcal")
    with pytest.raises(UnknownNameError, match="unknown dataset 'folders'"):
        main_bench("folders", folder_set)
    (tmp_path / "none.txt").write_text("# nobody\n")
    with pytest.raises(DataError, match="lists no ids: write one a line"):
        read_stems(tmp_path / "none.txt")
    with pytest.raises(DataError, match=r"cannot be read .*: give a text file with one id a line"):
        read_stems(tmp_path / "gone.txt")


def test_kinds_are_optional(forged_set: Dataset, predictor: Predict) -> None:
    same = Sample(
        id="again",
        image_path=forged_set.forged[0].image_path,
        mask_path=forged_set.forged[0].mask_path,
        label="forged",
    )
    record = run_benchmark(predictor, replace(forged_set, samples=(same,)), protocol=QUICK)
    assert record.dataset["kinds"] == {}
    assert record.numbers["by_kind"] == {}
