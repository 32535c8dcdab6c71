"""Which faces an index stands for, and how they reach the network."""

import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PILImage

from tamperscope.errors import ConfigError, DataError, UnknownNameError
from tamperscope.methods.dolos.network import build_network
from tamperscope.methods.dolos.preprocess import prepare, training_mask
from tamperscope.train.task_config import DolosConfig
from tamperscope.train.tasks.dolos_data import (
    DolosSource,
    Geometry,
    HeldBackSource,
    Picture,
    find_pictures,
)
from tamperscope.train.tasks.draws import REAL
from train.faces import COUNTS, SIZE, face, save, write_set

GEOMETRY = Geometry(size=SIZE, blocks=1, resample="bilinear", mask_resample="nearest")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("faces"))


def source(root: Path, seed: int = 0, kind: Any = DolosSource, **options: Any) -> DolosSource:
    config = DolosConfig(**options)
    split = "valid" if kind is HeldBackSource else "train"
    made: DolosSource = kind(find_pictures(root, config, split), config, GEOMETRY, seed=seed)
    return made


def kinds(made: DolosSource, count: int) -> Counter[str]:
    return Counter(made[i]["kind"] for i in range(count))


# --------------------------------------------------------------------------- finding


def test_the_set_ups_find_their_pictures(root: Path) -> None:
    for setup in ("B", "C"):
        groups = find_pictures(root, DolosConfig(setup=setup), "train")
        assert {name: len(found) for name, found in groups.items()} == {
            "blur": COUNTS["train"],
            "flat": COUNTS["train"],
            REAL: COUNTS["train"],
        }
        assert all(p.mask is not None for p in groups["flat"])
        assert all(p.mask is None for p in groups[REAL])
    whole = find_pictures(root, DolosConfig(setup="A"), "valid")
    assert {name: len(found) for name, found in whole.items()} == {"blur": 4, REAL: 4}
    assert all(p.mask is None for p in whole["blur"])
    names = [p.image.name for p in whole["blur"]]
    assert names == sorted(names)


def test_one_several_and_all_but_one_generator(root: Path) -> None:
    for options, expected in (
        ({"generators": ("flat",)}, ["flat"]),
        ({"generators": ("flat", "blur")}, ["flat", "blur"]),
        ({"leave_out": ("flat",)}, ["blur"]),
    ):
        found = find_pictures(root, DolosConfig(**options), "train")  # type: ignore[arg-type]
        assert [name for name in found if name != REAL] == expected
    assert len(find_pictures(root, DolosConfig(limit=3), "train")["flat"]) == 3


def test_further_folders_keep_a_face_in_one_split(root: Path, tmp_path: Path) -> None:
    for kind in ("fake", "real"):
        for i in range(60):
            save(face(i, 32), tmp_path / "style" / kind / f"{i}.jpg")
    options: dict[str, Any] = {
        "setup": "A",
        "extra_whole": (str(tmp_path / "style/fake"),),
        "extra_real": (str(tmp_path / "style/real"),),
    }
    train = find_pictures(root, DolosConfig(**options), "train")
    valid = find_pictures(root, DolosConfig(**options), "valid")
    first = {p.image.name for p in train["extra:style"]}
    second = {p.image.name for p in valid["extra:style"]}
    assert not first & second
    assert len(first) > 30 > len(second) > 0
    assert len(train[REAL]) == COUNTS["train"] + len(first)


def test_what_is_not_there_is_said(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="'flot'; did you mean 'flat'"):
        find_pictures(root, DolosConfig(generators=("flot",)), "train")
    with pytest.raises(UnknownNameError, match="unknown generator of this face set 'lama'"):
        find_pictures(root, DolosConfig(leave_out=("lama",)), "train")
    with pytest.raises(DataError, match="leaves no generator: name fewer there"):
        find_pictures(root, DolosConfig(leave_out=("flat", "blur")), "train")
    with pytest.raises(DataError, match="holds no partly generated pictures: make them with"):
        find_pictures(tmp_path, DolosConfig(), "train")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty holds no pictures \(.png"):
        find_pictures(root, DolosConfig(setup="A", extra_whole=(str(tmp_path / "empty"),)), "train")


# --------------------------------------------------------------------------- drawing


def test_a_sample_is_the_prepared_picture_and_its_cells(root: Path) -> None:
    made = source(root)
    sample = made[0]
    _, picture = made.draw(0)
    pixels = np.asarray(PILImage.open(picture.image))
    mask = np.asarray(PILImage.open(picture.mask)) == 0  # type: ignore[arg-type]
    again = sample["image"].float() / 255 * 2 - 1
    assert torch.equal(again, prepare(pixels, resample="bilinear", size=SIZE))
    cells = training_mask(mask, grid=15, resample="nearest")
    assert torch.equal(sample["mask"].float(), cells)
    assert sample["kind"] == "blur"


def test_fakes_only_unless_reals_are_asked_for(root: Path) -> None:
    assert kinds(source(root), 40) == {"blur": 20, "flat": 20}
    some = source(root, reals=0.25)
    assert kinds(some, 40) == {"blur": 15, "flat": 15, REAL: 10}
    real = next(some[i] for i in range(9) if some[i]["kind"] == REAL)
    assert not real["mask"].any()


def test_labels_are_balanced_in_every_batch_or_as_the_set_has_them(root: Path) -> None:
    made = source(root, setup="B")
    for start in (0, 6, 20):
        assert sum(made[i]["kind"] == REAL for i in range(start, start + 4)) == 2
    assert kinds(source(root, setup="B", balanced_labels=False), 48)[REAL] == 16


def test_every_picture_comes_once_before_any_comes_twice(root: Path) -> None:
    made = source(root, generators=("flat",))
    first = [made[i]["image"].sum().item() for i in range(8)]
    second = [made[i]["image"].sum().item() for i in range(8, 16)]
    assert len(set(first)) == 8
    assert sorted(first) == sorted(second)
    assert first != second


def test_a_sample_depends_on_seed_and_index_alone(root: Path) -> None:
    options: dict[str, Any] = {
        "flip": True,
        "jpeg": 0.5,
        "rescale": 0.5,
        "blur": 0.5,
        "crop": 0.75,
        "reals": 0.5,
    }
    one, other = source(root, **options), source(root, **options)
    for i in (9, 2, 5):
        assert torch.equal(one[i]["image"], other[i]["image"])
        assert torch.equal(one[i]["mask"], other[i]["mask"])
    different = source(root, seed=1, **options)
    assert any(not torch.equal(one[i]["image"], different[i]["image"]) for i in range(4))


@pytest.mark.parametrize("kind", [DolosSource, HeldBackSource])
@pytest.mark.parametrize("cache", [True, False])
def test_a_source_can_be_sent_to_another_process(root: Path, kind: Any, cache: bool) -> None:
    made = source(root, kind=kind, cache=cache, reals=0.5, jpeg=0.5)
    first = made[0]
    sent = pickle.loads(pickle.dumps(made))
    for name in ("image", "mask"):
        assert torch.equal(sent[0][name], first[name])
        assert torch.equal(sent[1][name], made[1][name])


def test_real_and_fake_pictures_are_changed_alike(root: Path, tmp_path: Path) -> None:
    """A fake that equals its real picture must stay equal to it, whatever is done to both."""
    twin = tmp_path / "twin"
    for i in range(4):
        for folder in ("real", "fake/same/images"):
            save(face(7), twin / "celebahq" / folder / "train" / f"{i}.png")
        masks = twin / "celebahq/fake/same/masks/train"
        save(np.zeros((SIZE, SIZE), np.uint8), masks / f"{i}.png")
    made = source(twin, setup="B", jpeg=1.0, blur=0.5, rescale=0.5, flip=True)
    before = [made[index] for index in range(4)]
    draw = made.draw
    swapped = {REAL: "same", "same": REAL}

    def other_kind(index: int) -> tuple[str, Picture]:
        kind = swapped[draw(index)[0]]
        return kind, made.groups[kind][0]

    made.draw = other_kind  # type: ignore[method-assign]
    for index, sample in enumerate(before):
        other = made[index]
        assert other["kind"] == swapped[sample["kind"]]
        assert torch.equal(other["image"], sample["image"])


def test_mirroring_and_cropping_move_picture_and_mask_together(root: Path) -> None:
    plain, mirrored = source(root), source(root, flip=True)
    turned = [
        torch.equal(mirrored[i]["mask"].flip(1), plain[i]["mask"])
        and torch.equal(mirrored[i]["image"].flip(2), plain[i]["image"])
        for i in range(16)
    ]
    assert 3 < sum(turned) < 13
    part = source(root, crop=0.5)[0]
    assert part["image"].shape == (3, 32, 32)
    assert part["mask"].shape == (7, 7)
    # Noise is kept, what was regenerated is flat: the picture itself tells where the mask must be.
    flat = part["image"].float().std(0)
    cells = torch.nn.functional.adaptive_avg_pool2d(flat[None], 7)[0]
    inner = part["mask"].bool()
    if inner.any() and not inner.all():
        assert cells[inner].mean() < cells[~inner].mean()


def test_recompression_changes_validation_too(root: Path) -> None:
    plain = source(root, kind=HeldBackSource)
    squeezed = source(root, kind=HeldBackSource, jpeg=1.0, jpeg_quality=(40, 50))
    softened = source(root, kind=HeldBackSource, blur=1.0, rescale=1.0, flip=True, crop=0.5)
    assert not torch.equal(plain[0]["image"], squeezed[0]["image"])
    assert torch.equal(plain[0]["mask"], squeezed[0]["mask"])
    assert torch.equal(plain[0]["image"], softened[0]["image"])


def test_validation_is_half_real_and_ends(root: Path) -> None:
    made = source(root, kind=HeldBackSource)
    assert isinstance(made, HeldBackSource)
    assert len(made) == 8
    assert kinds(made, 8) == {REAL: 4, "blur": 2, "flat": 2}
    with pytest.raises(IndexError):
        made[8]


def test_a_mask_of_another_size_is_an_error(tmp_path: Path) -> None:
    root = write_set(tmp_path)
    save(np.zeros((9, 9), np.uint8), root / "celebahq/fake/flat/masks/train/00.png")
    made = source(root, generators=("flat",), limit=1)
    with pytest.raises(DataError, match="has 9 x 9 pixels and its picture 64 x 64: build the set"):
        made[0]


@pytest.mark.parametrize("size", [64, 97, 150, 299])
@pytest.mark.parametrize("block", [1, 2, 3])
def test_the_map_s_side_is_the_network_s(size: int, block: int) -> None:
    network = build_network({"method": "patches", "block": block}).eval()
    with torch.no_grad():
        side = network(torch.zeros(1, 3, size, size))["map_logits"].shape[-1]
    assert side == Geometry(
        size=size, blocks=block, resample="bilinear", mask_resample="nearest"
    ).grid(size)


def test_too_small_a_picture(root: Path) -> None:
    with pytest.raises(ConfigError, match="pictures of 4 pixels are too small; raise dolos.size"):
        GEOMETRY.grid(4)
