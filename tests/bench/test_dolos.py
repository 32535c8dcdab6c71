"""Studies from beginning to end, on pictures whose generators paint in colours."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PILImage

from bench.dolos_toys import (
    COLOURS,
    COUNTS,
    SEEN,
    SIZE,
    STUDY,
    ColourBlind,
    make_set,
    offer,
    write_runs,
)
from bench.plans import swap
from tamperscope import catalog
from tamperscope.bench import load_records
from tamperscope.bench.dolos import main_dolos, study_sets
from tamperscope.bench.dolos_cells import Picture, PictureSet, Store, content_key
from tamperscope.bench.dolos_picture import draw_matrices
from tamperscope.bench.dolos_prior import region_prior
from tamperscope.bench.dolos_study import read_study
from tamperscope.bench.dolos_tables import (
    markdown_cross,
    markdown_findings,
    markdown_matrices,
    markdown_setups,
    markdown_study,
    matrices,
)
from tamperscope.bench.measured import scores_of
from tamperscope.bench.plan import weights_files
from tamperscope.bench.record import read_record
from tamperscope.data import Dataset
from tamperscope.errors import ConfigError, DataError, UnknownNameError
from tamperscope.image import Image, read_image
from tamperscope.localizer import MethodCard

Run = Callable[..., dict[str, Any]]

SMALL = STUDY.replace('generators = ["red", "green", "blue"]', 'generators = ["red", "blue"]')


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return offer(monkeypatch)


@pytest.fixture
def run(calls: list[str], tmp_path: Path) -> Run:
    """Runs `STUDY`, tested on red and blue alone, in `tmp_path`; options replace its own."""
    make_set(tmp_path / "set")
    write_runs(tmp_path / "runs", **SEEN)
    (tmp_path / "study.toml").write_text(SMALL, encoding="utf-8")

    def go(**options: Any) -> dict[str, Any]:
        own: dict[str, Any] = {
            "study": tmp_path / "study.toml",
            "runs": tmp_path / "runs",
            "output": tmp_path / "out",
        }
        return main_dolos(tmp_path / "set", **{**own, **options})

    return go


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The study's record, made once, and under ``folder`` where everything was written."""
    folder = tmp_path_factory.mktemp("study")
    write_runs(folder / "runs", **SEEN)
    (folder / "study.toml").write_text(STUDY, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        offer(patch)
        made = main_dolos(
            make_set(folder / "set"),
            study=folder / "study.toml",
            runs=folder / "runs",
            output=folder / "out",
        )
    return {**made, "folder": folder / "out"}


def cell(record: dict[str, Any], row: str, generator: str) -> dict[str, Any]:
    (found,) = (
        c for c in record["numbers"]["cells"] if (c["row"], c["generator"]) == (row, generator)
    )
    return dict(found)


def mean(record: dict[str, Any], row: str, generator: str, name: str = "iou_lg") -> float:
    return float(cell(record, row, generator)[name]["mean"])


# ---------------------------------------------------------------------------------- numbers


def test_every_localizer_is_measured_on_every_generator(record: dict[str, Any]) -> None:
    # The grid's corners are rounded off by the bicubic: a little less than all of the box.
    assert mean(record, "full-red", "red") > 0.95
    assert mean(record, "full-red", "red", "iou_sm") == 1
    assert mean(record, "full-red", "green") == 0
    assert mean(record, "full-red", "green", "pbca_lg") == 0.75
    for row in ("all-but-blue", "all-but-red"):
        for generator in COLOURS:
            seen = generator in SEEN[row.replace("-", "_")]
            assert (mean(record, row, generator, "iou_sm") == 1) is seen
    assert cell(record, "full-red", "red")["pictures"] == COUNTS["test"]


def test_detection_compares_with_real_pictures_as_they_are_and_recompressed(
    record: dict[str, Any],
) -> None:
    found = cell(record, "full-red", "red")
    precision = found["detection"]["average_precision"]
    assert (precision["mean"], precision["std"], len(precision["values"])) == (1, 0, 5)
    assert precision["each"] == COUNTS["test"]
    assert found["detection"]["auc"]["mean"] == 1
    assert found["detection_recompressed"]["average_precision"]["mean"] == 1
    # An unseen generator leaves nothing but ties; recompressed it is not asked about at all.
    other = cell(record, "full-red", "blue")
    assert other["detection"]["average_precision"]["mean"] == 0.5
    assert other["detection_recompressed"] is None
    assert cell(record, "full-green", "green")["detection_recompressed"] is not None
    assert record["protocol"]["recompression_quality"] == 90


def test_references_show_what_can_be_had_without_looking(record: dict[str, Any]) -> None:
    assert mean(record, "empty", "red") == 0
    assert mean(record, "full", "red") == 0.25
    # All training masks are the same box: so is the prior, and no test picture was needed.
    assert mean(record, "region-prior", "red") == 1
    assert mean(record, "centre-box", "red") == 1
    assert cell(record, "region-prior", "red")["iou_sm"] is None
    assert cell(record, "region-prior", "red")["detection"]["average_precision"]["mean"] == 0.5
    real = {r["row"]: r for r in record["numbers"]["real"]}
    assert real["full"]["flagged_pixels"]["mean"] == 1
    assert real["full-red"]["flagged_pixels"]["mean"] == 0
    assert real["full-red"]["flagged_pictures"]["mean"] == 0


def test_the_record_says_what_was_measured_how(record: dict[str, Any], tmp_path: Path) -> None:
    stored = read_record(record["folder"] / "dolos.json")
    assert stored == {k: v for k, v in record.items() if k not in ("files", "hint", "folder")}
    assert stored["protocol"]["name"] == "dolos"
    assert len(stored["weights"]["full-red: full-red"]) == 64
    sets = stored["dataset"]["sets"]
    assert sorted(sets) == [
        "celebahq/fake/blue", "celebahq/fake/green", "celebahq/fake/red", "celebahq/real",
    ]  # fmt: skip
    assert sets["celebahq/real"]["pictures"] == COUNTS["test"]
    assert len(sets["celebahq/real"]["sha256"]) == 64
    assert stored["environment"]["tool"]["version"]
    assert str(record["folder"].parent) not in json.dumps(stored)
    (again,) = load_records(record["folder"])
    assert again == stored


# ---------------------------------------------------------------------------------- going on


def test_nothing_is_measured_twice(run: Run, calls: list[str]) -> None:
    first = run()
    count = len(calls)
    assert count > 0
    second = run()
    assert len(calls) == count
    assert second["numbers"] == first["numbers"]


def test_other_weights_are_measured_anew_and_alone(
    run: Run, calls: list[str], tmp_path: Path
) -> None:
    run()
    calls.clear()
    write_runs(tmp_path / "runs", full_red="red blue")
    record = run()
    # two generators and the real pictures, red and real also recompressed
    assert len(calls) == 5 * COUNTS["test"]
    assert mean(record, "full-red", "blue", "iou_sm") == 1


def test_a_damaged_part_is_measured_anew(run: Run, calls: list[str], tmp_path: Path) -> None:
    run()
    calls.clear()
    parts = sorted((tmp_path / "out" / "pictures").glob("*.json"))
    for part in parts:
        part.write_text("{}", encoding="utf-8")
    run()
    assert len(calls) > 0
    assert sorted((tmp_path / "out" / "pictures").glob("*.json")) == parts


def test_the_key_depends_on_pictures_quality_and_method(tmp_path: Path, calls: list[str]) -> None:
    root = make_set(tmp_path / "set")
    samples = [s for s in _real(root).samples if s.id != "real/0"]
    whole = PictureSet.of(_real(root))
    part = PictureSet.of(Dataset(name="real", root=root, samples=tuple(samples)))
    runs = write_runs(tmp_path / "runs", a="red", b="blue")
    a, b = (catalog.load("dolos-colour", weights=runs / f"{n}.safetensors") for n in "ab")
    keys = {
        content_key(a, whole),
        content_key(a, part),
        content_key(b, whole),
        content_key(a, PictureSet(data=whole.data, sha256=whole.sha256, quality=90)),
    }
    assert len(keys) == 4
    assert content_key(a, whole) == content_key(a, PictureSet.of(_real(root)))


def test_the_key_follows_which_picture_has_which_mask(tmp_path: Path, calls: list[str]) -> None:
    root = make_set(tmp_path / "set")
    weights = write_runs(tmp_path / "runs", a="red") / "a.safetensors"
    method = catalog.load("dolos-colour", weights=weights)
    masks = root / "celebahq" / "fake" / "red" / "masks" / "test"
    PILImage.fromarray(np.eye(SIZE, dtype=np.uint8) * 255).save(masks / "0.png")

    def known() -> tuple[PictureSet, PictureSet]:
        from tamperscope.data.datasets import dolos

        samples = dolos.load(root, faces="celebahq", generator="red", split="test")
        fakes = Dataset(name="red", root=root, samples=tuple(samples))
        return PictureSet.of(fakes), PictureSet.of(_real(root))

    before = known()
    swap(masks / "0.png", masks / "1.png")
    reals = root / "celebahq" / "real" / "test"
    swap(reals / "2.png", reals / "3.png")
    for one, other in zip(before, known(), strict=True):
        assert one.sha256 == other.sha256
        assert content_key(method, one) != content_key(method, other)


def _real(root: Path) -> Dataset:
    from tamperscope.data.datasets import dolos

    samples = dolos.load_real(root, faces="celebahq", split="test")
    return Dataset(name="real", root=root, samples=tuple(samples))


def test_progress_counts_every_picture(run: Run) -> None:
    seen: list[tuple[int, int, str]] = []
    run(progress=lambda done, total, what: seen.append((done, total, what)))
    assert [done for done, _, _ in seen] == list(range(len(seen)))
    assert {total for _, total, _ in seen} == {len(seen)}
    assert "full-red: red/0" in {what for _, _, what in seen}


def test_a_limit_takes_fewer_pictures(run: Run) -> None:
    record = run(limit=2)
    assert cell(record, "full-red", "red")["pictures"] == 2


# ----------------------------------------------------------------------- unusual localizers


class WithoutRaw:
    """Offers nothing but what every localizer has."""

    def __init__(self, card: MethodCard, weights: Path, calls: list[str]) -> None:
        inner = ColourBlind(card, weights, calls)
        self.card, self.localize, self.describe = card, inner.localize, inner.describe
        self.localize_batch = inner.localize_batch


class WithRawMap(WithoutRaw):
    """Offers its map at its own grid."""

    def __init__(self, card: MethodCard, weights: Path, calls: list[str]) -> None:
        super().__init__(card, weights, calls)
        self._inner = ColourBlind(card, weights, calls)

    def raw_map(self, image: Image) -> NDArray[np.float32]:
        return self._inner.raw(image)[0]


class Picky(ColourBlind):
    """Refuses one picture of every set."""

    def __init__(self, card: MethodCard, weights: Path, calls: list[str]) -> None:
        super().__init__(card, weights, calls)
        self.refuses = "3.png"


@pytest.mark.parametrize(("make", "grid"), [(WithoutRaw, False), (WithRawMap, True)])
def test_a_localizer_without_its_own_grid_has_only_the_large_numbers(
    make: Any, grid: bool, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = run()
    offer(monkeypatch, make)
    record = run(limit=3)
    found = cell(record, "full-red", "red")
    assert found["iou_lg"]["mean"] == cell(expected, "full-red", "red")["iou_lg"]["mean"]
    assert (found["iou_sm"] is not None) is grid
    assert (found["pbca_sm"] is not None) is grid
    assert found["detection"]["average_precision"]["mean"] == 1


def test_a_refused_picture_counts_as_an_empty_mask(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = run(limit=None)
    offer(monkeypatch, Picky)
    store_less = run(limit=3)
    found = cell(store_less, "full-red", "red")
    assert found["failures"] == [{"id": "red/3", "why": "too dull: brighten it"}]
    assert found["iou_sm"]["mean"] == pytest.approx(2 / 3)
    assert mean(full, "full-red", "red", "iou_sm") == 1
    real = next(r for r in store_less["numbers"]["real"] if r["row"] == "full-red")
    assert [f["id"] for f in real["failures"]] == ["real/3"]


def test_refused_pictures_rank_lowest() -> None:
    def picture(score: float | None) -> Picture:
        return Picture(id="x", flagged=0, score=score, seconds=0)

    assert scores_of([picture(-2.0), picture(None), picture(1.0)]) == [-2.0, -2.0, 1.0]
    assert scores_of([picture(None)]) == [0.0]


# ---------------------------------------------------------------------------------- wrong input


def test_a_mask_of_another_shape_is_a_wrong_pair(run: Run, tmp_path: Path) -> None:
    mask = tmp_path / "set" / "celebahq" / "fake" / "red" / "masks" / "test" / "0.png"
    PILImage.fromarray(np.zeros((20, 40), np.uint8)).save(mask)
    with pytest.raises(DataError, match="red/0: the picture is 32 x 32 and its mask 20 x 40"):
        run()


def test_missing_weights_are_named_before_anything_runs(
    run: Run, calls: list[str], tmp_path: Path
) -> None:
    (tmp_path / "runs" / "full-green.safetensors").unlink()
    with pytest.raises(ConfigError, match="no weights for 1 localizers, first 'full-green' "):
        run()
    assert calls == []
    record = run(partial=True)
    assert record["numbers"]["missing"] == ["full-green"]
    assert "Not measured, for want of weights: full-green." in markdown_study(record)
    # The rest keeps its name, though fewer generators are now in the study.
    rows = {row["name"]: row["trained_on"] for row in record["method"]["rows"]}
    assert rows["all-but-blue"] == "all but blue"


def test_weights_can_be_named_one_by_one(run: Run, tmp_path: Path) -> None:
    other = tmp_path / "other.bin"
    other.write_text("blue", encoding="utf-8")
    record = run(weights=[f"full-red={other}"])
    assert mean(record, "full-red", "blue", "iou_sm") == 1
    with pytest.raises(UnknownNameError, match="unknown localizer of the study 'full-rad'; did"):
        run(weights=[f"full-rad={other}"])
    with pytest.raises(ConfigError, match="cannot read the weights 'full-red': write NAME=FILE"):
        run(weights=["full-red"])


def test_only_some_methods_of_a_study(run: Run) -> None:
    record = run(methods=["dolos-other"])
    trained = [row["name"] for row in record["method"]["rows"] if not row["reference"]]
    assert trained == ["other-red"]
    with pytest.raises(UnknownNameError, match="unknown method of the study 'dolos-othr'; did you"):
        run(methods=["dolos-othr"])


def test_unknown_methods_are_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(SMALL.replace("dolos-other", "dolos-odd"))
    with pytest.raises(UnknownNameError, match="unknown method 'dolos-odd'"):
        run()


def test_methods_without_a_study_are_measured_on_what_is_there(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "runs" / "full-red.safetensors"
    record = run(study=None, methods=["dolos-colour"], weights=[f"dolos-colour={file}"])
    assert record["method"]["generators"] == ["blue", "green", "red"]
    assert mean(record, "dolos-colour", "red", "iou_sm") == 1
    assert "| Colour | - |" in markdown_setups(record)
    with pytest.raises(ConfigError, match="no weights for 1 localizers"):
        run(study=None, methods=["dolos-colour"], weights=["dolos-colour=gone.safetensors"])


def test_a_folder_without_a_set_is_explained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no FACES/real/test beside FACES/fake/GENERATOR"):
        study_sets(tmp_path)
    assert study_sets(make_set(tmp_path / "set")) == {"celebahq": ["blue", "green", "red"]}


def test_chosen_weights_win_over_the_runs(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(STUDY, encoding="utf-8")
    study = read_study(tmp_path / "study.toml")
    files = weights_files(study.entries, Path("runs"), {"full-red": Path("mine.bin")})
    assert files["full-red"] == Path("mine.bin")
    assert files["weak-red"] == Path("runs/weak-red.safetensors")


# -------------------------------------------------------------------------------- region prior


def test_the_prior_is_the_best_constant_mask() -> None:
    box, other = np.zeros((64, 64), bool), np.zeros((64, 64), bool)
    box[:32], other[32:] = True, True
    prior = region_prior([box, box, box, other])
    prediction = prior(read_image(np.zeros((20, 40, 3), np.uint8)))
    assert prediction.mask.shape == (20, 40)
    assert prediction.mask[:10].all()
    assert not prediction.mask[10:].any()
    assert prediction.image_score == 0.5
    assert "4 training masks" in prior.rule
    assert "50.0% of the picture" in prior.rule
    with pytest.raises(DataError, match="a region prior needs masks of training pictures"):
        region_prior([])


# -------------------------------------------------------------------------------------- tables


def test_the_first_table_has_what_was_trained_at_home(record: dict[str, Any]) -> None:
    table = markdown_setups(record)
    rows = [line.split(" | ") for line in table.splitlines()[2:] if line.startswith("|")]
    assert [(title.removeprefix("| "), trained) for title, _, trained, *_ in rows] == [
        ("Empty mask", "-"),
        ("Full mask", "-"),
        ("Central box", "-"),
        ("Region prior", "red"),
        ("Colour", "red"),
        ("Colour, weak", "red"),
        ("Other", "red"),
        ("Colour", "all but blue"),
    ]
    assert rows[6][1:4] == ["full-c", "red", ".000 [.000, .000]"]
    colour = next(line for line in table.splitlines() if line.startswith("| Colour |"))
    # Those that never saw red are named, so that nobody looks for them in vain.
    left_out = table.splitlines()[-1]
    assert left_out.startswith("Trained without red of celebahq, so not in this table: Colour (")
    for generators in ("green", "all but red"):
        assert f"Colour (celebahq, {generators})" in left_out
    assert "| 1.000 ± .000 | 1.000 ± .000 | 0.0 % | 0.0 % |" in colour


def test_one_face_set_cannot_be_crossed(record: dict[str, Any]) -> None:
    assert markdown_cross(record) == "Only one face set, celebahq: nothing to cross.\n"


def test_two_face_sets_are_crossed(run: Run, tmp_path: Path) -> None:
    make_set(tmp_path / "set", faces=("celebahq", "ffhq"))
    text = SMALL.replace('faces = ["celebahq"]', 'faces = ["celebahq", "ffhq"]')
    extra = '\n[[localizer]]\nname = "ffhq-red"\nmethod = "dolos-colour"\nsetup = "full-c"\n'
    text += extra + 'faces = "ffhq"\ngenerators = ["red"]\n'
    (tmp_path / "study.toml").write_text(text, encoding="utf-8")
    write_runs(tmp_path / "runs", ffhq_red="green")
    record = run()
    table = markdown_cross(record)
    assert "| celebahq: IoU / AP | ffhq: IoU / AP |" in table
    assert "| Colour | full-c | ffhq | .000 [.000, .000] / .500 ± .000 |" in table
    assert "| full-c | celebahq |" in table
    # Trained elsewhere: neither in the table of the home set nor in its matrix.
    home = markdown_setups(record)
    assert not any("ffhq" in line for line in home.splitlines() if line.startswith("|"))
    assert "Colour (ffhq, red)" in home
    assert all("ffhq" not in matrix.rows for matrix in matrices(record))


def test_the_matrix_is_ordered_and_knows_what_training_saw(record: dict[str, Any]) -> None:
    (matrix,) = matrices(record)
    assert matrix.title == "Colour, full-c, celebahq"
    assert matrix.columns == ("red", "green", "blue")
    assert matrix.rows == (
        "red", "green", "all but red", "all but blue", "Full mask", "Central box", "Region prior",
    )  # fmt: skip
    assert matrix.seen[2] == (False, True, True)
    assert matrix.seen[-1] == (None, None, None)
    assert matrix.values[0][1] == 0
    assert matrix.values[-1] == (1.0, 1.0, 1.0)
    seen, unseen = matrix.mean(True), matrix.mean(False)
    assert seen is not None
    assert seen > 0.95
    assert unseen == 0


def test_matrices_in_markdown(record: dict[str, Any]) -> None:
    text = markdown_matrices(record)
    assert "### Colour, full-c, celebahq" in text
    assert "| Trained on \\ tested on | red | green | blue |" in text
    assert "| green | .000 | **" in text
    assert "seen in training (bold)" in text


def test_findings_are_compared_with_the_published_ones(record: dict[str, Any]) -> None:
    text = markdown_findings(record)
    assert "Best method in full-c, by IoU: Colour (" in text
    assert "; Other .000). Published: Patches in every set-up." in text
    assert "labels in place of masks (weak-b against full-c, red) cost .000 IoU, less" in text
    assert "Colour: hardest generator when trained on it: red (" in text


def test_too_little_says_nothing(run: Run) -> None:
    record = run(methods=["dolos-other"])
    assert markdown_findings(record) == "Too few rows to say anything.\n"
    assert markdown_matrices(record).startswith("No method was trained on more than one choice")
    assert draw_matrices(record, Path("nowhere")) == []


def test_records_of_other_kinds_have_no_study_tables() -> None:
    with pytest.raises(DataError, match="a record of kind 'speed' has no study tables"):
        markdown_study({"kind": "speed"})


# ------------------------------------------------------------------------------------ pictures


def test_the_matrix_is_drawn_alike_every_time(record: dict[str, Any], tmp_path: Path) -> None:
    assert record["files"] == ["dolos.json", "dolos.md", "matrix-1.svg", "matrix-1.png"]
    svg = (record["folder"] / "matrix-1.svg").read_bytes()
    text = svg.decode()
    for label in ("tested on", "all but red", "Region prior", "Colour, full-c, celebahq"):
        assert label in text
    draw_matrices(record, tmp_path / "again")
    assert (tmp_path / "again" / "matrix-1.svg").read_bytes() == svg
    with PILImage.open(record["folder"] / "matrix-1.png") as png:
        # Transparent outside: readable on a light page as on a dark one.
        assert png.convert("RGBA").getpixel((0, 0))[3] == 0  # type: ignore[index]


def test_without_matplotlib_the_numbers_are_still_written(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    record = run()
    assert record["files"] == ["dolos.json", "dolos.md"]
    assert "pip install 'tamperscope[plots]'" in record["hint"]


def test_a_store_keeps_what_it_measured(tmp_path: Path, calls: list[str]) -> None:
    root = make_set(tmp_path / "set")
    runs = write_runs(tmp_path / "runs", a="red")
    method = catalog.load("dolos-colour", weights=runs / "a.safetensors")
    store = Store(tmp_path / "store")
    names: list[str] = []
    pictures = PictureSet.of(_real(root))
    first = store.measure(method, pictures, names.append)
    assert store.measure(method, pictures, names.append) == first
    assert len(calls) == COUNTS["test"]
    assert names == [f"real/{n}" for n in range(COUNTS["test"])] * 2
