import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as PILImage

from tamperscope import perturb
from tamperscope.data.generators.registry import load_generator
from tamperscope.data.synthesis import (
    SynthesisConfig,
    SynthesisDataset,
    compose,
    history,
    regions,
)
from tamperscope.data.synthesis.dataset import config_from_dict
from tamperscope.data.synthesis.sources import find_photos, held_back
from tamperscope.data.synthesis.writer import write_dataset
from tamperscope.errors import ConfigError, DataError, UnknownNameError
from tamperscope.perturb import resize

SIZE = (64, 96)


def photo(seed: int, size: tuple[int, int] = (90, 130)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (7, 9, 3), dtype=np.uint8)
    fine = rng.integers(-8, 9, (*size, 3))
    return np.clip(resize(coarse, size).astype(int) + fine, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    for folder in ("things/images", "things/masks", "plain"):
        (root / folder).mkdir(parents=True)
    for i in range(12):
        PILImage.fromarray(photo(i)).save(root / "things/images" / f"t{i}.jpg", quality=90)
        mask = np.zeros((90, 130), np.uint8)
        mask[20:60, 30:80] = 255
        PILImage.fromarray(mask).save(root / "things/masks" / f"t{i}.png")
        PILImage.fromarray(photo(100 + i, (130, 70))).save(root / "plain" / f"p{i}.png")
    return root


def dataset(photos: Path, **options: object) -> SynthesisDataset:
    config = SynthesisConfig(size=SIZE, **options)  # type: ignore[arg-type]
    return SynthesisDataset(config, root=photos, seed=5)


@pytest.mark.parametrize(
    "kind",
    [
        "splice-object",
        "splice-shape",
        "copymove",
        "reprocess",
        "removal",
        "regenerate",
        "pristine",
    ],
)
def test_every_kind_marks_what_it_changed(photos: Path, kind: str) -> None:
    data = dataset(photos, mixture={kind: 1.0}, max_fraction=0.3)
    made = [data.forgery(i) for i in range(12)]
    assert all(m.image.shape == (*SIZE, 3) and m.image.dtype == np.uint8 for m in made)
    assert all(m.mask.shape == SIZE and m.mask.dtype == bool for m in made)
    forged = [m for m in made if m.mask.any()]
    assert (not forged) == (kind == "pristine")
    assert all(0 < m.mask.mean() <= 0.5 for m in forged)
    assert all((m.kind == "pristine") != m.mask.any() for m in made)


@pytest.mark.parametrize("kind", ["splice-shape", "copymove", "reprocess", "removal"])
def test_nothing_changes_far_from_the_mask(photos: Path, kind: str) -> None:
    """Before the last save, pixels more than the feather away from the mask are the host's own."""
    host = photo(50, SIZE)
    functions = {
        "splice-shape": lambda r: compose.splice(r, host, photo(51), None, 0.1),
        "copymove": lambda r: compose.copy_move(r, host, None, 0.1),
        "reprocess": lambda r: compose.reprocess(r, host, None, 0.1),
        "removal": lambda r: compose.remove(r, host, None, 0.1),
    }
    changed = 0
    for seed in range(15):
        made = functions[kind](np.random.default_rng(seed))
        grown = made.mask
        for _ in range(9):
            grown = grown | np.roll(grown, 1, 0) | np.roll(grown, -1, 0)
            grown = grown | np.roll(grown, 1, 1) | np.roll(grown, -1, 1)
        difference = (made.image != host).any(2)
        assert not (difference & ~grown).any()
        changed += int((difference & made.mask).sum() > 0.2 * made.mask.sum())
    assert changed >= 12


def test_a_sample_depends_on_seed_and_index_alone(photos: Path) -> None:
    first, second = dataset(photos), dataset(photos)
    second.forgery(3)
    assert np.array_equal(first.forgery(7).image, second.forgery(7).image)
    assert not np.array_equal(first.forgery(7).image, first.forgery(8).image)
    with pytest.raises(IndexError):
        first.forgery(len(first))


def test_twins_differ_by_the_forgery_alone(photos: Path) -> None:
    mixture = {"splice-shape": 0.5, "copymove": 0.3, "pristine": 0.2}
    data = dataset(photos, twins=1.0, mixture=mixture)
    lossless = 0
    for i in range(0, 40, 2):
        forged, before = data.forgery(i), data.forgery(i + 1)
        assert before.kind == "pristine"
        assert not before.mask.any()
        assert forged.mask.any()
        apart = np.abs(forged.image.astype(int) - before.image).max(2)
        # JPEG and filters reach a few pixels further than the forgery.
        near = cv2.dilate(forged.mask.astype(np.uint8), np.ones((41, 41))) > 0
        # WebP's prediction carries a change across the picture, weakened.
        assert apart[~near].mean() < 0.6 * apart[forged.mask].mean()
        lossless += not apart[~near].any()
    assert lossless >= 5


def test_twins_come_as_often_as_asked(photos: Path) -> None:
    half = dataset(photos, twins=0.5, mixture={"splice-shape": 1.0})
    untouched = sum(not half.forgery(i).mask.any() for i in range(120))
    assert 20 <= untouched <= 40
    none = dataset(photos, mixture={"splice-shape": 1.0})
    assert all(none.forgery(i).mask.any() for i in range(20))


def test_an_untouched_photo_as_it_is_on_disk(photos: Path) -> None:
    """Every such sample is a window of a photo, on its block grid, to the bit."""
    data = dataset(photos, as_is=1.0, mixture={"pristine": 1.0}, flip=False)
    originals = [np.asarray(PILImage.open(p.path).convert("RGB")) for p in data.photos]
    windows = {
        original[y : y + SIZE[0], x : x + SIZE[1]].tobytes()
        for original in originals
        for y in range(0, original.shape[0] - SIZE[0] + 1, 8)
        for x in range(0, original.shape[1] - SIZE[1] + 1, 8)
    }
    large = sum(o.shape[0] >= SIZE[0] and o.shape[1] >= SIZE[1] for o in originals)
    found = sum(data.forgery(i).image.tobytes() in windows for i in range(60))
    assert found >= 15
    assert large
    other = dataset(photos, mixture={"pristine": 1.0}, flip=False)
    assert sum(other.forgery(i).image.tobytes() in windows for i in range(60)) < 5


def test_untouched_photos_as_on_disk_are_saved_as_often_as_asked(photos: Path) -> None:
    def unlike(resaved: float) -> int:
        data = dataset(photos, as_is=1.0, resaved=resaved, mixture={"pristine": 1.0}, flip=False)
        bare = dataset(photos, as_is=1.0, mixture={"pristine": 1.0}, flip=False)
        pairs = [(data.forgery(i), bare.forgery(i)) for i in range(60)]
        assert not any(a.mask.any() for a, _ in pairs)
        return sum(not np.array_equal(a.image, b.image) for a, b in pairs)

    assert unlike(0.0) == 0
    # Not every photo is large enough to be taken as it is.
    every = unlike(1.0)
    assert every >= 20
    assert 0.25 * every < unlike(0.5) < 0.75 * every


def test_a_shrunk_photo_is_low_passed_and_has_no_other_past(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = (32, 40)
    striped = np.zeros((128, 160, 3), np.uint8)
    striped[:, ::2] = 255
    for seed in range(10):
        # Without a low-pass, stripes a pixel wide would become stripes or a flat black or white.
        grey = history.shrink(np.random.default_rng(seed), striped, small)
        assert grey.shape == (*small, 3)
        assert 100 < grey.min() <= grey.max() < 155
    calls: list[str] = []
    for name in ("camera_history", "last_save", "shrink"):
        original = getattr(history, name)

        def counted(*args: object, name: str = name, made=original, **options: object) -> object:
            calls.append(name)
            return made(*args, **options)

        monkeypatch.setattr(history, name, counted)
    options = {"size": small, "mixture": {"pristine": 1.0}}
    for share, expected in ((1.0, {"shrink"}), (0.0, {"camera_history", "last_save"})):
        data = SynthesisDataset({**options, "shrunk": share}, root=photos, seed=5)
        calls.clear()
        assert all(data.forgery(i).image.shape == (*small, 3) for i in range(20))
        assert set(calls) == expected


def test_plain_donors_keep_their_pixels(photos: Path) -> None:
    """Pasted at their own scale, unturned, with a hard edge, the pixels of a donor are in the
    forgery to the bit, and only where donors are plain.
    """
    host, donor = photo(1, SIZE), photo(2, SIZE)

    def kept(plain: float) -> int:
        count = 0
        for seed in range(30):
            rng = np.random.default_rng(seed)
            made = compose.splice(rng, host, donor, None, 0.1, plain=plain)
            inside = made.image[made.mask]
            same = [(inside == d[made.mask]).all(1).mean() for d in (donor, donor[:, ::-1])]
            count += max(same) > 0.9
        return count

    assert kept(1.0) >= 4
    assert kept(0.0) <= 1


def test_samples_of_two_sizes_come_in_runs(photos: Path) -> None:
    data = dataset(photos, small=0.4, small_size=(32, 48), same_size=4, twins=0.5)
    sizes = [data.forgery(i).mask.shape for i in range(80)]
    assert sizes == [data.size_of(i) for i in range(80)]
    assert set(sizes) == {SIZE, (32, 48)}
    assert all(len(set(sizes[i : i + 4])) == 1 for i in range(0, 80, 4))
    assert 3 <= sum(s == (32, 48) for s in sizes[::4]) <= 14
    assert {dataset(photos).size_of(i) for i in range(20)} == {SIZE}


def test_samples_as_tensors(photos: Path) -> None:
    sample = dataset(photos)[0]
    assert tuple(sample["image"].shape) == (3, *SIZE)
    assert tuple(sample["mask"].shape) == SIZE
    assert set(sample["mask"].unique().tolist()) <= {0, 1}


def test_splits_never_share_a_photo(photos: Path) -> None:
    train = {p.path for p in find_photos(photos, split="train", val_share=0.3)}
    val = {p.path for p in find_photos(photos, split="val", val_share=0.3)}
    assert train
    assert val
    assert not train & val
    assert len(train | val) == 24
    assert {held_back("a", 0.0), held_back("a", 1.0)} == {False, True}


def test_validation_has_no_photo_of_training_under_another_name(tmp_path: Path) -> None:
    for i in range(40):
        PILImage.fromarray(photo(200 + i)).save(tmp_path / f"{i}.png")
    held = find_photos(tmp_path, split="val", val_share=0.5)
    twin, name = held[0].path, "copy"
    while held_back(name, 0.5):
        name += "-again"
    PILImage.open(twin).resize((260, 180)).save(tmp_path / f"{name}.jpg", quality=70)
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8not a picture")
    assert find_photos(tmp_path, split="val", val_share=0.5, distinct=True) == [
        p for p in find_photos(tmp_path, split="val", val_share=0.5) if p.path != twin
    ]
    for path in tmp_path.iterdir():
        if path.stem not in (twin.stem, name):
            path.unlink()
    with pytest.raises(DataError, match="nearly the same as one to train on: add other pictures"):
        find_photos(tmp_path, split="val", val_share=0.5, distinct=True)


def test_object_masks_are_found_by_stem_and_only_where_they_are_ones(photos: Path) -> None:
    def with_object(sets: tuple[str, ...] | None) -> int:
        found = find_photos(photos, split="train", val_share=0.0, object_sets=sets)
        return sum(p.has_object for p in found)

    assert (with_object(None), with_object(("things",)), with_object(("plain",))) == (12, 12, 0)


def test_an_unreadable_photo_is_passed_over(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes((photos / "things/images/t0.jpg").read_bytes())
    (tmp_path / "b.jpg").write_bytes(b"\xff\xd8not a picture")
    data = SynthesisDataset(SynthesisConfig(size=SIZE, val_share=0.0), root=tmp_path)
    assert all(data.forgery(i).image.shape == (*SIZE, 3) for i in range(8))


def test_settings_that_cannot_be_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="multiples of 8"):
        SynthesisConfig(size=(60, 64))
    with pytest.raises(ConfigError, match="unknown kind of forgery"):
        SynthesisConfig(mixture={"deepfake": 1.0})
    with pytest.raises(ConfigError, match="min_fraction"):
        SynthesisConfig(min_fraction=0.4, max_fraction=0.2)
    with pytest.raises(ConfigError, match=r"strong_saves must be in \[0, 0\.86\]"):
        SynthesisConfig(strong_saves=0.9)
    with pytest.raises(ConfigError, match="and camera in"):
        SynthesisConfig(camera=2.0)
    for name in ("several", "centred", "twins", "as_is", "shrunk", "resaved", "small"):
        for value in (-0.1, 1.5, float("nan")):
            with pytest.raises(ConfigError, match=f"{name} .*a share in"):
                config_from_dict({name: value})
    with pytest.raises(ConfigError, match="plain_donors 2.0: a share in"):
        SynthesisConfig(plain_donors=2.0)
    with pytest.raises(ConfigError, match="same_size 5: an even number"):
        SynthesisConfig(same_size=5)
    with pytest.raises(ConfigError, match=r"size \(60, 64\): both sides"):
        SynthesisConfig(small_size=(60, 64))
    with pytest.raises(ConfigError, match="twins need a kind of forgery"):
        SynthesisConfig(twins=0.5, mixture={"pristine": 1.0})
    with pytest.raises(ConfigError, match="'regenerate' needs generators"):
        SynthesisConfig(mixture={"regenerate": 1.0}, generators=())
    with pytest.raises(ConfigError, match="lowest_quality 95"):
        SynthesisConfig(lowest_quality=95)
    with pytest.raises(ConfigError, match="unknown synthesis option"):
        config_from_dict({"sizes": [64, 64]})
    with pytest.raises(DataError, match="no photo for the split"):
        find_photos(tmp_path, split="train")
    with pytest.raises(DataError, match="no folder"):
        find_photos(tmp_path / "nowhere", split="train")


def test_a_sensor_keeps_colours_and_leaves_its_mosaic() -> None:
    flat = np.full((65, 98, 3), (200, 120, 40), np.uint8)
    for seed in range(12):
        seen = history.sensor(np.random.default_rng(seed), flat)
        assert (seen.shape, seen.dtype) == (flat.shape, np.uint8)
        np.testing.assert_allclose(seen.mean((0, 1)), (200, 120, 40), atol=1.5)
    noisy = perturb.add_noise(np.full((96, 96, 3), 128, np.uint8), 6.0, np.random.default_rng(0))
    mosaiced = history.sensor(np.random.default_rng(3), noisy).astype(float)
    # Two of three colours of a pixel are interpolated: they vary less than what was measured.
    green = mosaiced[..., 1]
    spread = [green[y::2, x::2].std() for y in (0, 1) for x in (0, 1)]
    assert max(spread) > 1.15 * min(spread)


def test_strong_saves_leave_coarser_steps(photos: Path) -> None:
    picture = photo(3, (96, 128))

    def blockiness(strong: float) -> float:
        rng = np.random.default_rng(5)
        saved = [history.last_save(rng, picture, strong=strong, lowest=30) for _ in range(30)]
        change = [np.abs(s.astype(float) - picture).mean() for s in saved]
        return float(np.mean(change))

    assert blockiness(0.86) > 1.2 * blockiness(0.0)


def test_sensors_change_samples_and_are_off_by_default(photos: Path) -> None:
    plain, seen = (dataset(photos, camera=c).forgery(2).image for c in (0.0, 1.0))
    assert (plain != seen).any()
    np.testing.assert_array_equal(plain, dataset(photos).forgery(2).image)


@pytest.mark.parametrize("name", ["transposed", "nearest", "shuffle", "latent", "telea"])
def test_generators_fill_regions(photos: Path, name: str) -> None:
    host, painter = photo(60, SIZE), load_generator(name)
    inside, outside = [], []
    for seed in range(6):
        made = compose.regenerate(np.random.default_rng(seed), host, None, 0.1, painter)
        assert made.kind == "regenerate"
        assert made.mask.any()
        changed = (made.image != host).any(2)
        far = cv2.dilate(made.mask.astype(np.uint8), np.ones((25, 25), np.uint8)) == 0
        inside.append(changed[made.mask].mean())
        outside.append(changed[far].mean())
    assert min(inside) > 0.5
    # What passes through a decoder as a whole keeps its traces outside the region half of the time.
    assert (max(outside) > 0.5) == painter.whole_image
    assert min(outside) == 0


def test_regenerated_samples_come_from_the_generators_named(photos: Path) -> None:
    mixture = {"regenerate": 1.0}
    data = dataset(photos, mixture=mixture, generators=("nearest",))
    made = data.forgery(1)
    assert made.kind == "regenerate"
    assert made.mask.any()
    assert list(data.synthesizer._painters) == ["nearest"]
    with pytest.raises(UnknownNameError, match="generator"):
        dataset(photos, mixture=mixture, generators=("dall-e",)).forgery(0)


def test_several_forgeries_in_one_picture(photos: Path) -> None:
    def regions_of(several: float) -> list[int]:
        data = dataset(
            photos,
            mixture={"splice-shape": 1.0, "pristine": 1.0},
            several=several,
            min_fraction=0.02,
            max_fraction=0.03,
        )
        masks = [data.forgery(i).mask for i in range(60)]
        assert all(mask.mean() <= 0.5 for mask in masks)
        return [int(cv2.connectedComponents(m.astype(np.uint8))[0]) - 1 for m in masks]

    one, more = regions_of(0.0), regions_of(1.0)
    assert max(more) > max(one) or sum(more) > 1.3 * sum(one)
    # An untouched picture stays one.
    assert one.count(0) == more.count(0) > 10


def test_forgeries_leave_the_middle(photos: Path) -> None:
    def spread(centred: float) -> float:
        rng = np.random.default_rng(4)
        places = [regions.placement(rng, (100, 200), centred=centred) for _ in range(400)]
        return float(np.std([y / 100 for y, _ in places]))

    assert spread(0.0) > 1.15 * spread(1.0)
    middle, anywhere = (
        dataset(photos, mixture={"splice-shape": 1.0}, centred=c).forgery(5).mask
        for c in (1.0, 0.0)
    )
    assert (middle != anywhere).any()


@pytest.mark.parametrize("fraction", [0.02, 0.1, 0.3])
def test_shapes_have_about_the_asked_area(fraction: float) -> None:
    rng = np.random.default_rng(0)
    areas = [regions.blob(rng, (128, 192), fraction).mean() for _ in range(20)]
    assert 0.4 * fraction < np.median(areas) <= 1.05 * fraction


def test_a_written_set_is_the_same_with_any_number_of_workers_and_after_a_stop(
    photos: Path, tmp_path: Path
) -> None:
    seen: list[int] = []
    one = write_dataset(photos, tmp_path / "one", count=6, seed=3, size=SIZE, progress=seen.append)
    assert one["count"] == 6
    assert seen == [1, 2, 3, 4, 5, 6]
    write_dataset(photos, tmp_path / "two", count=3, seed=3, size=SIZE)
    again = write_dataset(photos, tmp_path / "two", count=6, seed=3, size=SIZE, workers=2)
    assert again["kinds"] == one["kinds"]
    for folder in ("one", "two"):
        assert not list((tmp_path / folder).rglob("*.part"))
    for path in sorted((tmp_path / "one/images").iterdir()):
        assert path.read_bytes() == (tmp_path / "two/images" / path.name).read_bytes()
    rows = [json.loads(r) for r in (tmp_path / "one/manifest.jsonl").read_text().splitlines()]
    mask = np.asarray(PILImage.open(tmp_path / "one" / rows[2]["mask"]))
    assert set(np.unique(mask)) <= {0, 255}
    assert (mask > 0).mean() == pytest.approx(rows[2]["forged_fraction"], abs=1e-6)


def test_a_folder_with_another_set_is_left_alone(photos: Path, tmp_path: Path) -> None:
    write_dataset(photos, tmp_path, count=1, seed=1, size=SIZE)
    with pytest.raises(ConfigError, match="other settings"):
        write_dataset(photos, tmp_path, count=1, seed=2, size=SIZE)
