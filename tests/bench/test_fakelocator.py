"""Studies from beginning to end, on faces that generators tint."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.dolos_toys import write_runs
from bench.fakelocator_toys import (
    COUNTS,
    SEEN,
    STUDY,
    TintBlind,
    faces,
    offer,
    tinted,
    write_pairs,
    write_unseen,
)
from bench.plans import swap
from tamperscope.bench.fakelocator import main_fakelocator
from tamperscope.bench.fakelocator_cells import PictureSet, Store, content_key, measure_pair
from tamperscope.bench.fakelocator_lookup import crossing_matrix, crossings
from tamperscope.bench.fakelocator_picture import curves_of
from tamperscope.bench.fakelocator_references import fit, laplacian, references
from tamperscope.bench.fakelocator_sets import spread
from tamperscope.bench.fakelocator_tables import (
    markdown_attributes,
    markdown_crossing,
    markdown_detection,
    markdown_findings,
    markdown_localization,
    markdown_robustness,
    markdown_study,
)
from tamperscope.bench.record import read_record
from tamperscope.bench.references import REFERENCES
from tamperscope.data.faces.pairs import load_pairs, load_reals, split_by_regions
from tamperscope.data.fakeness import fakeness_map
from tamperscope.errors import ConfigError, DataError, UnknownNameError
from tamperscope.image import read_image
from tamperscope.localizer import MethodCard
from tamperscope.metrics import maps
from tamperscope.perturb import parse

Run = Callable[..., dict[str, Any]]
TESTED = COUNTS["test"]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return offer(monkeypatch)


@pytest.fixture
def run(calls: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a study of the first two localizers without the unseen generator, in `tmp_path`, and
    without pictures, which take longer than all the rest.
    """
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    write_pairs(tmp_path / "set")
    write_runs(tmp_path / "runs", **SEEN)
    short = "[[localizer]]".join(STUDY.split("[[localizer]]")[:3])
    (tmp_path / "study.toml").write_text(short, encoding="utf-8")

    def go(**options: Any) -> dict[str, Any]:
        own: dict[str, Any] = {
            "study": tmp_path / "study.toml",
            "runs": tmp_path / "runs",
            "output": tmp_path / "out",
        }
        return main_fakelocator(tmp_path / "set", **{**own, **options})

    return go


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The study's record, made once, and under ``folder`` where everything was written."""
    folder = tmp_path_factory.mktemp("study")
    write_runs(folder / "runs", **SEEN)
    (folder / "study.toml").write_text(STUDY, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        offer(patch)
        made = main_fakelocator(
            write_pairs(folder / "set"),
            study=folder / "study.toml",
            unseen=write_unseen(folder / "stylegan"),
            runs=folder / "runs",
            output=folder / "out",
        )
    return {**made, "folder": folder / "out"}


def cell(record: dict[str, Any], row: str, generator: str, variant: str = "whole") -> Any:
    wanted = (row, generator, variant)
    (found,) = (
        c for c in record["numbers"]["cells"] if (c["row"], c["generator"], c["variant"]) == wanted
    )
    return found


# ---------------------------------------------------------------------------------- numbers


def test_maps_are_measured_on_every_generator_and_variant(record: dict[str, Any]) -> None:
    for variant in ("whole", "region"):
        found = cell(record, "red-raw", "red", variant)
        assert found["coss"]["mean"] > 0.95
        assert found["ssim"]["mean"] > 0.2
        assert found["pictures"] == TESTED
        assert cell(record, "red-raw", "green", variant)["coss"]["mean"] == 0
        assert cell(record, "red-partial", "green", variant)["coss"]["mean"] > 0.95


def test_one_picture_by_hand(tmp_path: Path, calls: list[str]) -> None:
    from tamperscope import catalog

    root = write_pairs(tmp_path / "set")
    weights = write_runs(tmp_path / "runs", a="red") / "a.safetensors"
    method = catalog.load("fakelocator", weights=weights)
    (pair,) = load_pairs(root, generators=["red"], variant="region")[:1]
    picture, features = measure_pair(method, pair)
    fake, real = tinted(faces(20), "red", part=True), faces(20)
    found = method.examine(read_image(fake)).scores  # type: ignore[attr-defined]
    truth = fakeness_map(real, fake)
    assert picture.id == "red/region/test0"
    assert picture.coss == maps.coss(found, truth)
    assert picture.psnr == maps.psnr(found, truth)
    assert picture.ssim == maps.ssim(found, truth)
    assert picture.mae == maps.mae(found, truth)
    assert picture.level == pytest.approx(found.mean())
    assert picture.fake is True
    assert features is not None
    assert features.shape == (3,)
    # Degraded, the picture is another one and the ground truth is not.
    noisy, _ = measure_pair(method, pair, parse("noise:400"))
    assert noisy.coss != picture.coss
    again, _ = measure_pair(method, pair, parse("noise:400"))
    assert (noisy.coss, noisy.level) == (again.coss, again.level)
    untouched, _ = measure_pair(method, load_reals(root)[0])
    assert (untouched.coss, untouched.psnr, untouched.fake) == (None, None, False)


def test_detection_is_over_fakes_and_real_pictures(record: dict[str, Any]) -> None:
    right = cell(record, "red-raw", "red")["detection"]
    assert right["accuracy"]["mean"] == right["auc"]["mean"] == 1
    blind = cell(record, "red-raw", "green")["detection"]
    assert blind["accuracy"]["mean"] == 0.5
    assert (blind["fake_right"]["mean"], blind["real_right"]["mean"]) == (0, 1)
    unseen = cell(record, "red-raw", "stylegan2")
    assert unseen["detection"]["accuracy"]["mean"] == pytest.approx(5 / 12)
    assert (unseen["pictures"], unseen["coss"]) == (7, None)
    sets = record["dataset"]["sets"]
    assert sets["stylegan2/fake"]["condition"] == sets["stylegan2/real"]["condition"] == "jpeg:90"
    assert sets["real"]["condition"] == "none"


def test_clustering_needs_no_boundary(record: dict[str, Any]) -> None:
    found = {(c["row"], c["generator"]): c for c in record["numbers"]["clustering"]}
    unseen = found["red-raw", "stylegan2"]
    assert unseen["accuracy"]["best"] == 1
    assert unseen["accuracy"]["mean"] == 1
    assert unseen["accuracy"]["std"] == 0
    assert len(unseen["accuracy"]["values"]) == 10
    assert unseen["pictures"] == 12
    assert found["red-raw", "green"]["accuracy"]["best"] == 1
    assert "points" not in unseen


def test_attributes_are_those_training_saw_and_others(record: dict[str, Any]) -> None:
    found = {(c["row"], c["reach"]): c for c in record["numbers"]["attributes"]}
    assert {row for row, _ in found} == {"hair-attention", "hair-plain"}
    assert found["hair-attention", "seen"]["pictures"] == TESTED // 2
    assert found["hair-attention", "unseen"]["coss"]["mean"] > 0.95
    assert found["hair-plain", "unseen"]["coss"]["mean"] == 0
    # Such localizers are measured nowhere else.
    rows = {(c["generator"], c["variant"]) for c in record["numbers"]["cells"]
            if c["row"] == "hair-plain"}  # fmt: skip
    assert rows == {("red", "region")}


def test_robustness_has_every_perturbation(record: dict[str, Any]) -> None:
    found = record["numbers"]["robustness"]
    assert [c["condition"] for c in found] == ["none", "jpeg:90", "jpeg:50", "noise:9"]
    assert {c["row"] for c in found} == {"red-partial"}
    assert all(c["pictures"] == 2 for c in found)
    assert found[1]["axis"] == ["jpeg", "quality", 90.0]
    assert curves_of(record) == {("jpeg", "quality"): [(50.0, "jpeg:50"), (90.0, "jpeg:90")]}


def test_references_need_no_network(record: dict[str, Any]) -> None:
    assert cell(record, "zero", "red")["coss"]["mean"] == 0
    constant = cell(record, "constant", "red")
    assert constant["coss"]["mean"] > 0.9
    assert constant["detection"] is None
    # All boxes are at one place: the mean map of the training pairs knows them.
    assert cell(record, "mean-map", "red", "region")["coss"]["mean"] > 0.95
    assert cell(record, "laplacian", "red", "region")["coss"]["mean"] > 0
    rows = {row["name"]: row for row in record["method"]["rows"] if row["reference"]}
    assert list(rows) == ["zero", "constant", "mean-map", "laplacian"]
    assert "3 training pairs" in rows["constant"]["settings"]["red/whole"]


def test_the_record_says_what_was_measured_how(record: dict[str, Any]) -> None:
    stored = read_record(record["folder"] / "fakelocator.json")
    assert stored == {k: v for k, v in record.items() if k not in ("files", "hint", "folder")}
    assert stored["protocol"]["name"] == "fakelocator"
    assert stored["protocol"]["clustering"]["draws"] == 10
    assert len(stored["weights"]["red-raw: red-raw"]) == 64
    assert sorted(stored["dataset"]["sets"]) == [
        "green/region", "green/whole", "real", "red/region", "red/whole", "stylegan2/fake",
        "stylegan2/real",
    ]  # fmt: skip
    assert str(record["folder"].parent) not in json.dumps(stored)


# ---------------------------------------------------------------------------------- going on


def test_nothing_is_measured_twice(run: Run, calls: list[str]) -> None:
    first = run()
    count = len(calls)
    # Two generators, whole and region, and the real pictures; twice; and the perturbations.
    assert count == 2 * 5 * TESTED + 4 * 2 * 2
    second = run()
    assert len(calls) == count
    assert second["numbers"] == first["numbers"]


def test_a_damaged_part_is_measured_anew(run: Run, calls: list[str], tmp_path: Path) -> None:
    first = run()
    store = tmp_path / "out" / "pictures"
    parts = sorted(store.iterdir())
    assert {part.suffix for part in parts} == {".json", ".npy"}
    for part in parts:
        part.write_bytes(part.read_bytes()[:20])
    calls.clear()
    second = run()
    assert len(calls) > 0
    assert second["numbers"]["cells"][-1]["coss"] == first["numbers"]["cells"][-1]["coss"]
    assert sorted(store.iterdir()) == parts


def test_the_key_depends_on_pictures_condition_and_method(tmp_path: Path, calls: list[str]) -> None:
    from tamperscope import catalog

    root = write_pairs(tmp_path / "set")
    runs = write_runs(tmp_path / "runs", a="red", b="blue")
    a, b = (catalog.load("fakelocator", weights=runs / f"{n}.safetensors") for n in "ab")
    pairs = load_pairs(root)
    whole = PictureSet.of(pairs)
    keys = {
        content_key(a, whole),
        content_key(b, whole),
        content_key(a, PictureSet.of(pairs[1:])),
        content_key(a, PictureSet.of(pairs, features=True)),
        content_key(a, whole.under(parse("jpeg:70"))),
    }
    assert len(keys) == 5
    assert content_key(a, PictureSet.of(pairs[::-1])) == content_key(a, whole)


def test_the_key_follows_which_real_picture_a_fake_was_made_of(
    tmp_path: Path, calls: list[str]
) -> None:
    from tamperscope import catalog

    root = write_pairs(tmp_path / "set")
    weights = write_runs(tmp_path / "runs", a="red") / "a.safetensors"
    method = catalog.load("fakelocator", weights=weights)
    before = PictureSet.of(load_pairs(root))
    one, other, *_ = before.pairs
    swapped = (replace(one, real=other.real), replace(other, real=one.real))
    by_name = PictureSet.of((*swapped, *before.pairs[2:]))
    assert one.real is not None
    assert other.real is not None
    swap(one.real, other.real)
    by_content = PictureSet.of(load_pairs(root))
    for changed in (by_name, by_content):
        assert changed.sha256 == before.sha256
        assert content_key(method, changed) != content_key(method, before)


def test_progress_counts_every_picture(run: Run) -> None:
    seen: list[tuple[int, int, str]] = []
    run(progress=lambda done, total, what: seen.append((done, total, what)))
    assert [done for done, _, _ in seen] == list(range(len(seen)))
    assert {total for _, total, _ in seen} == {len(seen)}
    assert seen[-1][2].startswith("red-partial: ")


class Picky(TintBlind):
    """Refuses one picture of every set."""

    def __init__(self, card: MethodCard, weights: Path, calls: list[str]) -> None:
        super().__init__(card, weights, calls)
        self.refuses = "test3"


def test_a_refused_picture_counts_as_real_with_an_empty_map(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch, Picky)
    record = run()
    found = cell(record, "red-raw", "red")
    assert found["failures"] == [{"id": "red/whole/test3", "why": "too dull: brighten it"}]
    assert found["detection"]["fake_right"]["mean"] == pytest.approx(1 - 1 / TESTED)
    assert found["coss"]["mean"] < 1 - 0.9 / TESTED
    clustering = record["numbers"]["clustering"][0]
    assert clustering["pictures"] == 2 * TESTED - 2


def test_a_reference_can_stand_in_for_a_method(tmp_path: Path) -> None:
    pair = load_pairs(write_pairs(tmp_path / "set"))[0]
    picture, features = measure_pair(REFERENCES["full"], pair)
    assert (picture.fake, features) == (None, None)
    assert picture.level == 1


def test_a_store_without_features_measures_them_when_they_are_wanted(
    tmp_path: Path, calls: list[str]
) -> None:
    from tamperscope import catalog

    root = write_pairs(tmp_path / "set")
    weights = write_runs(tmp_path / "runs", a="red") / "a.safetensors"
    method = catalog.load("fakelocator", weights=weights)
    store, names = Store(tmp_path / "store"), list[str]()
    plain = store.measure(method, PictureSet.of(load_reals(root)), names.append)
    assert plain.features is None
    full = store.measure(method, PictureSet.of(load_reals(root), features=True), names.append)
    assert full.features is not None
    assert full.features.shape == (TESTED, 3)
    again = store.measure(method, PictureSet.of(load_reals(root), features=True), names.append)
    assert again.features is not None
    np.testing.assert_array_equal(again.features, full.features)
    assert len(calls) == 2 * TESTED


# ---------------------------------------------------------------------------------- wrong input


def test_missing_weights_are_named_before_anything_runs(
    run: Run, calls: list[str], tmp_path: Path
) -> None:
    (tmp_path / "runs" / "red-partial.safetensors").unlink()
    with pytest.raises(ConfigError, match="no weights for 1 localizers, first 'red-partial' "):
        run()
    assert calls == []
    record = run(partial=True, limit=5)
    assert record["numbers"]["missing"] == ["red-partial"]
    # The first of those that are there stands in for the one whose robustness was asked for.
    assert {c["row"] for c in record["numbers"]["robustness"]} == {"red-raw"}
    assert "Not measured, for want of weights: red-partial." in markdown_study(record)
    assert cell(record, "red-raw", "red")["pictures"] == 5


def test_weights_can_be_named_one_by_one(run: Run, tmp_path: Path) -> None:
    other = tmp_path / "other.bin"
    other.write_text("green", encoding="utf-8")
    record = run(weights=[f"red-raw={other}"], limit=5)
    assert cell(record, "red-raw", "green")["detection"]["accuracy"]["mean"] == 1
    with pytest.raises(UnknownNameError, match="unknown localizer of the study 'red-row'; did you"):
        run(weights=[f"red-row={other}"])
    plain = run(study=None, weights=[f"mine={other}"], limit=5)
    assert plain["method"]["generators"] == ["blue", "green", "red"]
    assert cell(plain, "mine", "green")["detection"]["accuracy"]["mean"] == 1
    assert "| mine | not known |" in markdown_localization(plain)


def test_a_generator_the_set_does_not_have(run: Run, tmp_path: Path) -> None:
    text = STUDY.replace('["red", "green"]', '["red", "grean"]')
    (tmp_path / "study.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UnknownNameError, match="unknown generator of this set 'grean'; did you"):
        run()


def test_the_unseen_generator_needs_both_sides(run: Run, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        run(unseen=tmp_path / "gone")
    folder = write_unseen(tmp_path / "stylegan")
    (folder / "real").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="no pictures in real/: both fake/ and real/ are needed"):
        run(unseen=folder)


# ---------------------------------------------------------------------------------- references


def test_references_are_fitted_on_pairs(tmp_path: Path) -> None:
    pairs = load_pairs(write_pairs(tmp_path / "set"), split="train", generators=["red"])
    found = fit([pair for pair in pairs if pair.variant == "region"])
    assert found is not None
    truths = [fakeness_map(faces(n), tinted(faces(n), "red", part=True)) for n in range(3)]
    assert found.mean.mean() == pytest.approx(np.mean(truths), rel=1e-2)
    edges = [laplacian(tinted(faces(n), "red", part=True)) for n in range(3)]
    best = np.vdot(edges, truths) / np.vdot(edges, edges)
    assert found.scale == pytest.approx(best, rel=1e-4)
    image = read_image(tinted(faces(5), "red", part=True))
    answers = {r.name: r(image).score_map for r in references(found)}
    assert not answers["zero"].any()
    assert np.ptp(answers["constant"]) == 0
    assert answers["mean-map"].shape == image.size
    assert answers["laplacian"].max() <= 1
    assert [r.name for r in references(None)] == ["zero"]
    assert fit([]) is None


def test_without_training_pairs_only_the_zero_map_is_left(
    run: Run, tmp_path: Path, calls: list[str]
) -> None:
    import shutil

    shutil.rmtree(tmp_path / "set")
    write_pairs(tmp_path / "set", splits=["test"])
    record = run(limit=5)
    rows = [row["name"] for row in record["method"]["rows"] if row["reference"]]
    assert rows == ["zero"]


def test_pictures_are_thinned_out_evenly(tmp_path: Path) -> None:
    pairs = load_reals(write_pairs(tmp_path / "set"))
    assert [pair.face for pair in spread(pairs, 2)] == ["test1", "test4"]
    assert spread(pairs, None) == spread(pairs, 99) == pairs


def test_regions_part_pictures_by_what_was_changed(tmp_path: Path) -> None:
    pairs = load_pairs(write_pairs(tmp_path / "set"), generators=["red"])
    inside, outside = split_by_regions(pairs, ["hair", "eyes"])
    assert {pair.parts for pair in inside} == {("hair",)}
    assert {pair.parts for pair in outside} == {("nose",)}
    # Of whole pictures no parts are known.
    assert len(inside) + len(outside) == TESTED
    with pytest.raises(UnknownNameError, match="unknown face region 'hare'; did you mean 'hair'"):
        split_by_regions(pairs, ["hare"])


# -------------------------------------------------------------------------------------- tables


def test_the_table_across_generators_is_that_of_the_paper(record: dict[str, Any]) -> None:
    found = {(line.row, line.generator): line for line in crossings(record)}
    unseen = found["red-raw", "stylegan2"]
    assert unseen.raw == unseen.partial == pytest.approx(5 / 12)
    assert unseen.clustering is not None
    assert unseen.clustering["mean"] == 1
    other = found["red-raw", "green"]
    assert (other.raw, other.partial, other.seen) == (0.5, 1, False)
    assert found["red-raw", "red"].seen
    assert found["green-raw", "red"].partial is None
    text = markdown_crossing(record)
    assert "| red | stylegan2 | .417 | .417 | 1.000 ± .000 | 1.000 |" in text
    assert "| red | **red** | 1.000 |" in text


def test_the_other_tables(record: dict[str, Any]) -> None:
    localization = markdown_localization(record)
    assert "### green, region" in localization
    assert "| red-raw | no | .000 [.000, .000] |" in localization
    assert "| Mean training map | - |" in localization
    detection = markdown_detection(record)
    assert "| Localizer | red/whole | red/region | green/whole | green/region | styl" in detection
    assert "| red-raw | **1.000** | **1.000** | .500 | .500 | .417 | 100.0 % |" in detection
    attributes = markdown_attributes(record)
    assert "| hair | parts | red, unseen regions | 3 |" in attributes
    robustness = markdown_robustness(record)
    assert "| red-partial | jpeg:50 |" in robustness
    page = (record["folder"] / "fakelocator.md").read_text(encoding="utf-8")
    assert page == markdown_study(record)
    assert page.startswith("# Tints\n")


def test_findings_stand_beside_the_published_ones(record: dict[str, Any]) -> None:
    text = markdown_findings(record)
    assert "red, whole, seen in training: best COSS" in text
    assert "Trained on red, tested on stylegan2: raw .417, with partial augmentation .417" in text
    assert "with clustering 1.000. Target (20 points above raw, or .950) met." in text
    assert "StarGAN .490, .988, .999; PGGAN .369, .500, .975." in text
    assert "Unseen face regions of red (trained on hair): COSS" in text


def test_records_of_other_kinds_have_no_such_tables() -> None:
    with pytest.raises(DataError, match="a record of kind 'speed' has no such tables"):
        markdown_study({"kind": "speed"})


# ------------------------------------------------------------------------------------ pictures


def test_everything_is_drawn(record: dict[str, Any]) -> None:
    assert record["files"] == [
        "fakelocator.json", "fakelocator.md", "generators.svg", "generators.png",
        "robustness.svg", "robustness.png", "scatter-red-raw.svg", "scatter-red-raw.png",
        "scatter-red-partial.svg", "scatter-red-partial.png", "scatter-green-raw.svg",
        "scatter-green-raw.png",
    ]  # fmt: skip
    matrix = crossing_matrix(record)
    assert matrix is not None
    assert matrix.columns == ("red", "green", "stylegan2")
    assert matrix.rows == ("red-raw", "red-partial", "green-raw")
    assert matrix.seen[0] == (True, False, False)
    curves = (record["folder"] / "robustness.svg").read_text()
    for words in ("jpeg: quality", "COSS", "accuracy", "red-partial", "Robustness on red, whole"):
        assert words in curves
    scatter = (record["folder"] / "scatter-red-raw.svg").read_text()
    assert "red-raw on stylegan2: clusters named right 1.000" in scatter


def test_without_matplotlib_the_numbers_are_still_written(run: Run) -> None:
    record = run(limit=5)
    assert record["files"] == ["fakelocator.json", "fakelocator.md"]
    assert "pip install 'tamperscope[plots]'" in record["hint"]
