"""Which pairs an index stands for, and how they reach the network."""

import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tamperscope.data.faces.splits import split_of
from tamperscope.data.fakeness import fakeness_map
from tamperscope.errors import DataError, UnknownNameError
from tamperscope.face_parsing.parts import PARTS
from tamperscope.image import read_image
from tamperscope.train.task_config import FakeLocatorConfig
from tamperscope.train.tasks.attention import FaceLabels, face_labels
from tamperscope.train.tasks.draws import REAL
from tamperscope.train.tasks.fakelocator_data import (
    FakenessSource,
    HeldBackFakeness,
    degrade,
    find_groups,
)
from train.faces import face, save
from train.pairs import COUNTS, SIZE, write_labels, write_pairs

PLAIN: dict[str, Any] = {"augment": "none", "flip": False, "attention_dropout": 0.0}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> FaceLabels:
    folder = write_labels(tmp_path_factory.mktemp("labels") / "faces")
    return face_labels({"face": 1.0, "background": 0.25}, labels=folder, parser="")


def source(
    root: Path, kind: Any = FakenessSource, labels: FaceLabels | None = None, **options: Any
) -> FakenessSource:
    config = FakeLocatorConfig(**options)
    split = "valid" if kind is HeldBackFakeness else "train"
    groups = find_groups(root, config, split)
    made: FakenessSource = kind(groups, config, size=SIZE, labels=labels, seed=0)
    return made


# --------------------------------------------------------------------------- finding


def test_kinds_are_generators_and_variants(root: Path) -> None:
    n = COUNTS["train"]
    groups = find_groups(root, FakeLocatorConfig(), "train")
    assert {name: len(found) for name, found in groups.items()} == {
        "blur/region": n, "blur/whole": n, "flat/region": n, REAL: n,
    }  # fmt: skip
    for options, expected in (
        ({"variant": "whole"}, {"blur/whole"}),
        ({"variant": "region", "leave_out": ("flat",)}, {"blur/region"}),
        ({"generators": ("flat",)}, {"flat/region"}),
    ):
        found = find_groups(root, FakeLocatorConfig(**options), "train")  # type: ignore[arg-type]
        assert set(found) == expected | {REAL}
    assert len(find_groups(root, FakeLocatorConfig(limit=3), "train")["flat/region"]) == 3


def test_regions_keep_what_was_changed_in_nothing_else(root: Path) -> None:
    n = COUNTS["train"]
    found = find_groups(root, FakeLocatorConfig(regions=("nose", "hair")), "train")
    assert len(found["flat/region"]) == n
    assert len(found["blur/whole"]) == n
    with pytest.raises(DataError, match="has no train pictures of blur/region, flat/region"):
        find_groups(root, FakeLocatorConfig(regions=("hair",)), "train")
    with pytest.raises(UnknownNameError, match="unknown face region 'hare'"):
        find_groups(root, FakeLocatorConfig(regions=("hare",)), "train")


def test_synthetic_faces_are_fake_everywhere_and_keep_their_split(
    root: Path, tmp_path: Path
) -> None:
    for kind in ("fake", "real"):
        for i in range(60):
            save(face(i, 32), tmp_path / "style" / kind / f"{i}.png")
    options: dict[str, Any] = {
        "synthetic": (str(tmp_path / "style" / "fake"),),
        "extra_real": (str(tmp_path / "style" / "real"),),
    }
    train, valid = (find_groups(root, FakeLocatorConfig(**options), s) for s in ("train", "valid"))
    faces = {pair.face for pair in train["synthetic/style"]}
    assert faces.isdisjoint(pair.face for pair in valid["synthetic/style"])
    assert faces == {pair.face for pair in train[REAL] if pair.id.startswith("style/")}
    made = source(root, **options, **PLAIN, reals=0.0, generators=("flat",))
    sample = next(s for s in (made[i] for i in range(4)) if s["kind"] == "synthetic/style")
    assert sample["image"].shape == (3, SIZE, SIZE)
    assert (sample["mask"] == 1).all()


def test_what_is_missing_is_named(root: Path, tmp_path: Path) -> None:
    for options in ({"generators": ("flt",)}, {"leave_out": ("flt",)}):
        with pytest.raises(UnknownNameError, match="generator of this face set 'flt'; did you"):
            find_groups(root, FakeLocatorConfig(**options), "train")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="leaves no generator"):
        find_groups(root, FakeLocatorConfig(leave_out=("flat", "blur")), "train")
    with pytest.raises(DataError, match="no such folder"):
        find_groups(tmp_path / "none", FakeLocatorConfig(), "train")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no pictures"):
        find_groups(root, FakeLocatorConfig(extra_real=(str(tmp_path / "empty"),)), "train")
    save(face(0), tmp_path / "one" / "0.png")
    lonely = FakeLocatorConfig(synthetic=(str(tmp_path / "one"),))
    other = "valid" if split_of("0") == "train" else "train"
    with pytest.raises(DataError, match=f"has no {other} pictures of synthetic/"):
        find_groups(root, lonely, other)


# --------------------------------------------------------------------------- drawing


def test_the_map_is_that_of_the_pair(root: Path) -> None:
    made = source(root, reals=0.0, generators=("flat",), **PLAIN)
    sample, pair = made[3], made.groups["flat/region"]
    chosen = [p for p in pair if np.array_equal(read_image(p.image).pixels, _pixels(sample))]
    assert len(chosen) == 1
    real, fake = (read_image(path).pixels for path in (chosen[0].real, chosen[0].fake) if path)
    torch.testing.assert_close(sample["mask"], torch.from_numpy(fakeness_map(real, fake)))
    assert 0 < float((sample["mask"] > 0).float().mean()) < 0.5


def _pixels(sample: Any) -> Any:
    return sample["image"].movedim(0, -1).numpy()


def test_a_real_picture_has_an_empty_map(root: Path) -> None:
    made = source(root, **PLAIN)
    sample = next(s for s in (made[i] for i in range(4)) if s["kind"] == REAL)
    assert not sample["mask"].any()
    assert sample["mask"].dtype == torch.float32


def test_kinds_come_in_turn_and_pictures_once_a_round(root: Path) -> None:
    made = source(root, reals=0.25, **PLAIN)
    seen = Counter(made[i]["kind"] for i in range(32))
    assert seen == {REAL: 8, "blur/region": 8, "blur/whole": 8, "flat/region": 8}
    reals = {_pixels(s).tobytes() for s in (made[i] for i in range(32)) if s["kind"] == REAL}
    assert len(reals) == 8


def test_samples_do_not_depend_on_the_order(root: Path, labels: FaceLabels) -> None:
    options: dict[str, Any] = {"crop": 0.5, "augment": "both", "augment_share": 1.0}
    one, other = (source(root, labels=labels, **options) for _ in range(2))
    later = [one[i] for i in reversed(range(8))][::-1]
    for i, sample in enumerate(later):
        again = other[i]
        assert sample["kind"] == again["kind"]
        for name in ("image", "mask", "attention"):
            assert torch.equal(sample[name], again[name])


@pytest.mark.parametrize("kind", [FakenessSource, HeldBackFakeness])
@pytest.mark.parametrize("cache", [True, False])
def test_a_source_can_be_sent_to_another_process(
    root: Path, labels: FaceLabels, kind: Any, cache: bool
) -> None:
    made = source(root, kind, labels=labels, cache=cache, crop=0.5, augment="both")
    first = made[0]
    sent = pickle.loads(pickle.dumps(made))
    for name in ("image", "mask", "attention"):
        assert torch.equal(sent[0][name], first[name])
        assert torch.equal(sent[1][name], made[1][name])


def test_crops_and_mirrors_move_everything_together(root: Path, labels: FaceLabels) -> None:
    made = source(
        root, labels=labels, crop=0.5, reals=0.0, generators=("flat",), augment="none",
        attention_dropout=0.0,
    )  # fmt: skip
    for index in range(12):
        sample = made[index]
        assert sample["image"].shape[-2:] == sample["mask"].shape == (SIZE // 2, SIZE // 2)
        assert sample["attention"].shape == (1, SIZE // 2, SIZE // 2)
        # The regenerated part is flat, all else is noise.
        flat = _steps(sample["image"]) == 0
        changed = sample["mask"] > 0
        assert changed.any()
        assert flat[changed].float().mean() > 0.8
        assert (~flat)[~changed].float().mean() > 0.95 or changed.all()


def _steps(image: Any) -> Any:
    right = torch.roll(image, -1, -1).float() - image.float()
    left = torch.roll(image, 1, -1).float() - image.float()
    return torch.minimum(right.abs().sum(0), left.abs().sum(0))


@pytest.mark.parametrize(
    ("augment", "changed"), [("real", {REAL}), ("both", {REAL, "flat/region"}), ("none", set())]
)
def test_partial_augmentation_is_a_switch(root: Path, augment: str, changed: set[str]) -> None:
    options: dict[str, Any] = {"generators": ("flat",), "flip": False}
    plain = source(root, **options, augment="none")
    made = source(root, **options, augment=augment, augment_share=1.0)
    found = set()
    for i in range(12):
        if not torch.equal(made[i]["image"], plain[i]["image"]):
            found.add(made[i]["kind"])
        assert torch.equal(made[i]["mask"], plain[i]["mask"])
    assert found == changed


def test_a_share_of_pictures_is_degraded_in_four_ways() -> None:
    pixels = face(0)
    config = FakeLocatorConfig(augment_share=0.5)
    outcomes = [degrade(pixels, config, np.random.default_rng(i)) for i in range(60)]
    assert all(out.shape == pixels.shape and out.dtype == np.uint8 for out in outcomes)
    same = sum(np.array_equal(out, pixels) for out in outcomes)
    assert 20 <= same <= 40
    assert len({out.tobytes() for out in outcomes}) > 20
    never = FakeLocatorConfig(augment_share=0.0)
    assert degrade(pixels, never, np.random.default_rng(0)) is pixels


def test_held_back_pictures_are_untouched_and_come_once(root: Path) -> None:
    made = source(root, HeldBackFakeness, augment="both", augment_share=1.0, crop=0.5)
    assert len(made) == 2 * COUNTS["valid"]
    samples = [made[i] for i in range(len(made))]
    assert Counter(s["kind"] == REAL for s in samples) == {True: 4, False: 4}
    assert all(s["image"].shape == (3, SIZE, SIZE) for s in samples)
    disk = {read_image(p.image).pixels.tobytes() for g in made.groups.values() for p in g}
    assert {_pixels(s).tobytes() for s in samples} <= disk
    with pytest.raises(IndexError):
        made[len(made)]


# --------------------------------------------------------------------------- attention


def test_attention_is_the_weight_of_the_part(root: Path, labels: FaceLabels) -> None:
    made = source(root, labels=labels, **PLAIN)
    attention = made[0]["attention"][0]
    assert attention[32, 32] == 1
    assert attention[0, 0] == 0.25
    assert "attention" not in source(root, **PLAIN)[0]


def test_attention_is_left_out_at_times(root: Path, labels: FaceLabels) -> None:
    made = source(root, labels=labels, attention_dropout=0.5, augment="none")
    everywhere = [bool((made[i]["attention"] == 1).all()) for i in range(24)]
    assert 6 <= sum(everywhere) <= 18
    held = source(root, HeldBackFakeness, labels=labels, attention_dropout=1.0)
    assert (held[0]["attention"] != 1).any()


def test_a_parser_labels_what_has_no_labels(root: Path, tmp_path: Path) -> None:
    seen = []

    def parser(pixels: Any) -> Any:
        seen.append(pixels.shape)
        return np.full(pixels.shape[:2], 1, np.int64)

    parsed = FaceLabels({"skin": 0.5}, {}, parser)
    made = source(root, labels=parsed, reals=0.0, **PLAIN)
    # A fake has the labels of the face it was made from: each is parsed once.
    for i in range(24):
        assert (made[i]["attention"] == 0.5).all()
    assert len(seen) == COUNTS["train"]


@pytest.mark.parametrize(
    ("part", "side", "faces"),
    [("hair", SIZE, False), ("skin", 8, False), ("skin", 16, True), ("background", 0, False)],
)
def test_without_a_face_attention_is_everywhere(
    root: Path, part: str, side: int, faces: bool
) -> None:
    def parser(pixels: Any) -> Any:
        labels = np.zeros(pixels.shape[:2], np.uint8)
        labels[:side, :side] = PARTS.index(part)
        return labels

    parsed = FaceLabels({"background": 0.25, "skin": 0.5, "hair": 0.5}, {}, parser)
    attention = source(root, labels=parsed, **PLAIN)[0]["attention"]
    assert bool((attention == 1).all()) is not faces
    if faces:
        assert set(attention.unique().tolist()) == {0.25, 0.5}


def test_labels_on_disk_may_show_no_face(root: Path, tmp_path: Path) -> None:
    folder = write_labels(tmp_path / "faces")
    for path in (folder / "masks").iterdir():
        save(np.full((SIZE, SIZE), PARTS.index("cloth"), np.uint8), path)
    found = face_labels({"face": 1.0, "cloth": 0.25}, labels=folder, parser="")
    made = source(root, labels=found, **PLAIN)
    assert all((made[i]["attention"] == 1).all() for i in range(4))


def test_faces_without_labels_are_named(root: Path, tmp_path: Path) -> None:
    groups = find_groups(root, FakeLocatorConfig(), "train")
    pairs = [pair for group in groups.values() for pair in group]
    with pytest.raises(DataError, match=r"8 faces have no labels \(first: train0\): set fakeloc"):
        FaceLabels({"face": 1.0}, {}, None).check(pairs)
    with pytest.raises(DataError, match="no folder"):
        face_labels({"face": 1.0}, labels=tmp_path / "none", parser="")
