"""Fitting the decision on held-back photos: what is fitted, on what, and when it refuses."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hostile import encode, photo
from methods.focal.toys import bare, box, mean_colour, tiny_network, two_regions
from tamperscope.data.synthesis import sources
from tamperscope.data.synthesis.dataset import config_from_dict
from tamperscope.data.synthesis.sources import Photo
from tamperscope.errors import ConfigError, DataError, TrainingError
from tamperscope.methods.focal.config import FocalConfig
from tamperscope.methods.focal.decision import Calibration, cell_logits, decide
from tamperscope.methods.focal.features import FeatureMaps
from tamperscope.train.calibrate import (
    CalibrationReport,
    _Picture,
    _pictures,
    _shrink,
    _shuffled,
    calibrate,
    fit,
)

# The photos are smooth and noisy, which makes each the near-duplicate of another.
SYNTHESIS: dict[str, Any] = {"size": [96, 128], "val_share": 0.4, "distinct": False}
NUMBERS = {
    "f1", "iou", "pixel_auc", "image_auc", "false_pixels", "false_pictures", "forged_pictures",
    "authentic_pictures",
}  # fmt: skip


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen made-up photos, some of them held back; one of these cannot be read."""
    root = tmp_path_factory.mktemp("photos")
    for i in range(16):
        (root / f"{i}.jpg").write_bytes(encode(photo(140, 180, seed=i), "JPEG", quality=85))
    held = [i for i in range(100, 200) if sources.held_back(str(i), SYNTHESIS["val_share"])]
    (root / f"{held[0]}.jpg").write_bytes(b"\xff\xd8 no picture")
    return root


def run(photos: Path, **options: Any) -> CalibrationReport:
    arguments: dict[str, Any] = {"forged": 5, "authentic": 6, "synthesis": SYNTHESIS}
    return calibrate(tiny_network(), data_root=photos, **(arguments | options))


def test_untrained_network_on_made_up_photos(photos: Path) -> None:
    done: list[int] = []
    report = run(photos, progress=done.append)
    assert done == list(range(1, 12))
    assert set(report.numbers) == NUMBERS
    assert all(np.isfinite(v) for v in report.numbers.values())
    assert report.numbers["forged_pictures"] + report.numbers["authentic_pictures"] <= 11
    assert report.numbers["authentic_pictures"] == 6
    values = asdict(report.calibration)
    assert all(isinstance(v, float) and np.isfinite(v) for v in values.values())
    assert Calibration.from_card(values, "x") == report.calibration
    assert report.numbers["false_pixels"] <= 0.05


def test_the_same_seed_gives_the_same_fit(photos: Path) -> None:
    assert run(photos) == run(photos)
    assert run(photos, seed=2) != run(photos)


def test_only_held_back_photos_are_read(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: set[str] = set()
    original = sources.read_image

    def spy(path: Path, **options: Any) -> Any:
        read.add(Path(path).stem)
        return original(path, **options)

    monkeypatch.setattr(sources, "read_image", spy)
    run(photos)
    assert len(read) >= 3
    assert all(sources.held_back(name, SYNTHESIS["val_share"]) for name in read)


def test_a_thin_forgery_is_not_taken_for_an_untouched_picture(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tamperscope.train import calibrate as module

    thin = np.zeros((96, 128), bool)
    thin[10] = True
    thick = box((96, 128), slice(20, 60), slice(20, 60))
    pixels = photo(96, 128)
    made = [(pixels, thin), (pixels, thick), (pixels, thick & False), (pixels, thin)]
    monkeypatch.setattr(module, "_pictures", lambda *_: iter(made))
    report = run(photos)
    assert report.numbers["forged_pictures"] == 1
    assert report.numbers["authentic_pictures"] == 1


@pytest.mark.parametrize("options", [{"forged": 0}, {"authentic": 0}], ids=str)
def test_both_sorts_are_needed(photos: Path, options: dict[str, int]) -> None:
    with pytest.raises(TrainingError, match="calibration needs forged and untouched pictures: ask"):
        run(photos, **options)


def test_refusals(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="only a network with an evidence head can be calibra"):
        calibrate(bare(mean_colour()), data_root=photos, synthesis=SYNTHESIS)
    with pytest.raises(ConfigError, match=r"unknown synthesis option \['sise'\]"):
        run(photos, synthesis={"sise": [96, 128]})
    with pytest.raises(DataError, match="no photo for the split 'val'"):
        run(tmp_path)


# --- the fits, on pictures with a known answer ---------------------------------------------------

SHAPE = (20, 30)


def looked(mask: NDArray[np.bool_], *, right: float = 1.0, seed: int = 0) -> FeatureMaps:
    """Evidence of the right sign in a share of the cells; features that follow the mask."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(SHAPE) > right
    evidence = np.where(mask ^ wrong, 1.5, -1.5) + rng.normal(0, 0.5, SHAPE)
    return FeatureMaps(
        two_regions(mask, noise=0.2, seed=seed), torch.from_numpy(evidence.astype(np.float32))
    )


def seen(right: float) -> list[tuple[FeatureMaps, NDArray[np.bool_]]]:
    """Six forged and six untouched pictures with their masks."""
    clean = np.zeros(SHAPE, bool)
    forged = [box(SHAPE, slice(i, i + 8), slice(2 * i, 2 * i + 10)) for i in range(6)]
    masks = [*forged, *[clean] * 6]
    return [(looked(m, right=right, seed=i), m) for i, m in enumerate(masks)]


def collection(right: float) -> list[_Picture]:
    return [_Picture.of(*one) for one in seen(right)]


def test_clear_evidence_is_used() -> None:
    report = fit(collection(0.95), max_false_pixels=0.04, use_margin=True)
    assert report.calibration.evidence > 0
    assert report.numbers["f1"] > 0.9
    assert report.numbers["pixel_auc"] > 0.95
    assert report.numbers["image_auc"] > 0.95
    assert report.numbers["false_pixels"] <= 0.04


def test_margin_helps_where_evidence_errs() -> None:
    pictures = collection(0.75)
    alone = fit(pictures, max_false_pixels=0.04, use_margin=False)
    helped = fit(pictures, max_false_pixels=0.04, use_margin=True)
    assert alone.calibration.margin == 0
    assert helped.calibration.margin > 0
    assert helped.numbers["f1"] > alone.numbers["f1"] + 0.1


@pytest.mark.parametrize("limit", [0.2, 0.05, 0.002])
def test_untouched_pictures_stay_below_the_limit(limit: float) -> None:
    report = fit(
        collection(0.85),
        max_false_pixels=limit,
        max_false_pictures=1.0,
        false_picture_price=0,
        use_margin=False,
    )
    untouched = [
        decide(maps, FocalConfig(), report.calibration).mask
        for maps, truth in seen(0.85)
        if not truth.any()
    ]
    assert np.mean(untouched) == pytest.approx(report.numbers["false_pixels"], abs=1e-4)
    assert np.mean(untouched) <= limit


def test_a_limit_that_no_quantile_keeps_is_kept_all_the_same() -> None:
    pictures = collection(0.6)
    report = fit(pictures, max_false_pixels=0.0, false_picture_price=0, use_margin=False)
    assert report.numbers["false_pixels"] == 0


def test_the_cut_knows_how_rare_forged_cells_are() -> None:
    pictures = collection(0.7)
    calibration = fit(pictures, use_margin=False).calibration
    assert calibration.cut_scale > 0
    forged = [p for p in pictures if p.mask.any()]
    logits = torch.stack([cell_logits(p.cues, calibration) for p in forged])
    told = torch.sigmoid(calibration.cut_scale * logits + calibration.cut_bias).mean()
    assert float(told) == pytest.approx(np.mean([p.mask for p in forged]), abs=0.01)
    # The score itself is made as if half of the cells were forged.
    assert float(torch.sigmoid(logits).mean()) > 1.2 * float(told)


def test_false_alarms_have_a_price() -> None:
    pictures = collection(0.7)
    reports = [
        fit(
            pictures,
            max_false_pixels=1.0,
            max_false_pictures=1.0,
            false_picture_price=price,
            use_margin=False,
        )
        for price in (0.0, 100.0)
    ]
    free, dear = (report.numbers for report in reports)
    assert free["f1"] >= dear["f1"]
    assert dear["false_pictures"] == 0


@pytest.mark.parametrize("limit", [0.0, 0.34, 1.0])
def test_no_more_untouched_pictures_are_flagged_than_allowed(limit: float) -> None:
    pictures = collection(0.7)
    report = fit(
        pictures,
        max_false_pixels=1.0,
        max_false_pictures=limit,
        false_picture_price=0.0,
        use_margin=False,
    )
    assert report.numbers["false_pictures"] <= limit
    if limit == 1.0:
        assert report.numbers["false_pictures"] > 0.34


def test_copies_may_only_speak_for_a_forgery() -> None:
    def with_copies(maps: FeatureMaps, mask: NDArray[np.bool_], sign: float) -> _Picture:
        copies = torch.from_numpy((mask if sign > 0 else ~mask).astype(np.float32))
        return _Picture.of(replace(maps, copies=copies.expand(1, 2, *copies.shape)), mask)

    for sign in (1.0, -1.0):
        pictures = [with_copies(*one, sign) for one in seen(0.8)]
        found = fit(pictures, max_false_pixels=0.04, use_margin=True).calibration.copies
        assert (found > 0) == (sign > 0)
        assert found >= 0


def test_the_surest_copy_counts_for_the_image_score() -> None:
    """Where it is all that tells forged pictures from untouched ones."""
    pictures = []
    for maps, mask in seen(0.0):
        copies = torch.full((1, 2, *SHAPE), 0.9) if mask.any() else torch.zeros(0, 2, *SHAPE)
        pictures.append(_Picture.of(replace(maps, copies=copies), mask))
    report = fit(pictures, max_false_pixels=1.0, use_margin=False)
    assert report.calibration.image_copies > 0
    assert report.numbers["image_auc"] == 1.0


def test_photos_come_as_often_as_their_folders_weigh() -> None:
    photos = [Photo(path=Path(f"few/{i}.jpg")) for i in range(20)]
    photos += [Photo(path=Path(f"many/{i}.jpg")) for i in range(200)]
    rng = np.random.default_rng(0)
    orders = [_shuffled(photos, {"few": 1.0, "many": 1.0}, rng) for _ in range(40)]
    assert all(sorted(order) == list(range(220)) for order in orders)
    first = [index < 20 for order in orders for index in order[:4]]
    assert 0.3 < np.mean(first) < 0.7


def test_untouched_pictures_come_shrunk_and_in_both_sizes_where_training_has_them(
    photos: Path,
) -> None:
    config = {**SYNTHESIS, "small": 0.5, "small_size": [64, 96], "same_size": 2}

    def untouched(shrunk: float) -> list[tuple[int, ...]]:
        options = config_from_dict({**config, "shrunk": shrunk})
        made = _pictures(options, photos, forged=1, authentic=40, seed=1)
        return [image.shape[:2] for image, mask in made if not mask.any()]

    # The photos are no larger than the least side that photos are shrunk to: none is shrunk.
    assert set(untouched(1.0)) == {(140, 180), (96, 128), (64, 96)}
    large = np.zeros((600, 900, 3), np.uint8)
    rng = np.random.default_rng(0)
    sides = [_shrink(rng, large).shape for _ in range(50)]
    assert all(256 <= w <= 900 and abs(h - w / 1.5) <= 1 for h, w, _ in sides)
    assert min(w for _, w, _ in sides) < 320
    assert max(w for _, w, _ in sides) > 700


def test_large_pictures_do_not_outvote_small_ones() -> None:
    """A hundred pictures' worth of cells in one picture counts as one picture."""
    small = collection(0.9)
    mask = box((200, 300), slice(0, 100), slice(0, 150))
    wrong = FeatureMaps(
        two_regions(mask, noise=0.2), torch.where(torch.from_numpy(mask), -1.5, 1.5)
    )
    report = fit([*small, _Picture.of(wrong, mask)], max_false_pixels=0.2, use_margin=False)
    assert report.calibration.evidence > 0
