"""The task face-parser: faces, objective, numbers, runs, export and load."""

import json
import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image as PILImage

from data.faces.toys import label_map
from tamperscope.data.faces.splits import split_of
from tamperscope.errors import ConfigError, DataError
from tamperscope.face_parsing.parts import PARTS
from tamperscope.face_parsing.registry import load_parser
from tamperscope.face_parsing.small import build_small_parser
from tamperscope.losses import parsing as losses
from tamperscope.train import load_recipe, run_training
from tamperscope.train.config import Recipe
from tamperscope.train.evaluate_parsing import evaluate
from tamperscope.train.export import export_run
from tamperscope.train.task_config import ParsingConfig
from tamperscope.train.tasks import make_task
from tamperscope.train.tasks.parsing import ParsingTask, pixel_counts, quality
from tamperscope.train.tasks.parsing_data import (
    HeldBackFaces,
    ParsingSource,
    faces_of,
    mirror,
    place,
    recolour,
)
from train.test_loop import assert_same_checkpoint

SIDE, SIZE = 64, 48
STILL: dict[str, Any] = {
    "flip": 0.0, "rotation": 0.0, "zoom": (1.0, 1.0), "shift": 0.0, "tone": 0.0, "grey": 0.0,
    "soften": 0.0, "jpeg": 0.0,
}  # fmt: skip
_PALETTE = np.random.default_rng(5).integers(0, 256, (len(PARTS), 3), np.uint8)


def drawn(seed: int) -> tuple[Any, Any]:
    """A drawn face in which every part has its colour, and its label map."""
    rng = np.random.default_rng(seed)
    shift = rng.integers(-4, 5, 2)
    labels = np.roll(label_map(SIDE), shift, (0, 1))
    noise = rng.normal(0, 8, (SIDE, SIDE, 3))
    return np.clip(_PALETTE[labels] + noise, 0, 255).astype(np.uint8), labels


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("labelled")
    for i in range(24):
        pixels, labels = drawn(i)
        for name, array in (("images", pixels), ("masks", labels)):
            (folder / name).mkdir(exist_ok=True)
            PILImage.fromarray(array).save(folder / name / f"f{i}.png")
    return folder


def recipe(**changes: dict[str, Any]) -> Recipe:
    tables: dict[str, dict[str, Any]] = {
        "model": {"network": "face-parser", "config": {"widths": [8, 12, 16], "size": SIZE}},
        "parsing": {"size": SIZE, "stored": SIDE},
        "data": {"num_workers": 0, "val_samples": 8},
        "optim": {"batch_size": 4, "lr": 1e-2, "weight_decay": 0.0, "ema_decay": 0.0},
        "schedule": {"total_samples": 32},
        "run": {
            "device": "cpu", "threads": 1, "log_every": 8, "validate_every": 16,
            "checkpoint_every": 8, "tensorboard": False, "best_metric": "mean_iou",
        },
    }  # fmt: skip
    for table, values in changes.items():
        tables[table] = tables.get(table, {}) | values
    return Recipe.from_dict({"task": "face-parser", **tables})


# --------------------------------------------------------------------------- faces


def test_faces_are_split_by_name(root: Path) -> None:
    found = {s: faces_of(root, ParsingConfig(), s) for s in ("train", "valid", "test")}
    assert sum(map(len, found.values())) == 24
    for split, faces in found.items():
        assert all(split_of(face.id) == split for face in faces)
        assert [face.id for face in faces] == sorted(face.id for face in faces)
    assert len(faces_of(root, ParsingConfig(limit=2), "train")) == 2


def test_a_split_without_faces_is_told(tmp_path: Path) -> None:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        PILImage.fromarray(label_map(16)).save(tmp_path / name / "f0.png")
    other = "valid" if split_of("f0") == "train" else "train"
    with pytest.raises(DataError, match=f"none of the 1 labelled faces .* is for {other}"):
        faces_of(tmp_path, ParsingConfig(), other)  # type: ignore[arg-type]


def test_the_mirror_image_has_its_sides_renamed() -> None:
    pixels, labels = drawn(0)
    other_pixels, other = mirror(pixels, labels)
    assert np.array_equal(other_pixels, pixels[:, ::-1])
    for one, two in (("l_eye", "r_eye"), ("l_brow", "r_brow"), ("l_ear", "r_ear")):
        for a, b in ((one, two), (two, one)):
            assert np.array_equal(other == PARTS.index(a), (labels == PARTS.index(b))[:, ::-1])
    # Upper and lower, not left and right.
    for part in ("u_lip", "l_lip", "skin", "neck_l", "ear_r"):
        assert np.array_equal(other == PARTS.index(part), (labels == PARTS.index(part))[:, ::-1])
    assert np.array_equal(mirror(other_pixels, other)[1], labels)


def test_a_face_at_rest_is_only_resized() -> None:
    pixels, labels = drawn(0)
    config = ParsingConfig(size=SIDE, **STILL)
    placed, moved = place(pixels, labels, config, np.random.default_rng(0))
    assert np.array_equal(placed, pixels)
    assert np.array_equal(moved, labels)
    assert recolour(pixels, config, np.random.default_rng(0)) is pixels


def test_labels_move_with_the_pixels() -> None:
    labels = label_map(SIDE)
    # Colours of the labels themselves: what moves differently would show.
    pixels = np.repeat((labels * 12)[..., None], 3, 2)
    config = ParsingConfig(
        **STILL | {"size": 96, "rotation": 40.0, "zoom": (0.6, 1.8), "shift": 0.2}
    )
    for seed in range(8):
        placed, moved = place(pixels, labels, config, np.random.default_rng(seed))
        assert placed.shape == (96, 96, 3)
        inner = cv2.erode((moved > 0).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        # At the picture's edge the neighbours that pixels are mixed from lie outside.
        inner[:2] = inner[-2:] = inner[:, :2] = inner[:, -2:] = False
        inner &= cv2.dilate(moved, np.ones((5, 5))) == cv2.erode(moved, np.ones((5, 5)))
        assert np.array_equal(placed[..., 0][inner], moved[inner] * 12)


def test_around_a_small_face_is_background_of_one_colour() -> None:
    pixels, labels = np.full((64, 64, 3), 7, np.uint8), np.ones((64, 64), np.uint8)
    config = ParsingConfig(**STILL | {"size": 64, "zoom": (0.5, 0.5)})
    placed, moved = place(pixels, labels, config, np.random.default_rng(1))
    assert 0.2 < (moved == 1).mean() < 0.3
    assert len(np.unique(placed[moved == 0][:100].reshape(-1, 3), axis=0)) == 1


def test_light_and_detail_change_and_nothing_moves() -> None:
    pixels, _ = drawn(0)
    for change in ({"tone": 0.5}, {"grey": 1.0}, {"soften": 1.0}, {"jpeg": 1.0}):
        config = ParsingConfig(**STILL | change)  # type: ignore[arg-type]
        out = recolour(pixels, config, np.random.default_rng(3))
        assert out.shape == pixels.shape
        assert out.dtype == np.uint8
        assert not np.array_equal(out, pixels)
    grey = recolour(pixels, ParsingConfig(**STILL | {"grey": 1.0}), np.random.default_rng(0))
    assert np.array_equal(grey[..., 0], grey[..., 2])


def test_samples_follow_from_seed_and_index(root: Path) -> None:
    config = ParsingConfig(size=SIZE, stored=SIDE)
    faces = faces_of(root, config, "train")
    one, two, other = (ParsingSource(faces, config, seed=seed) for seed in (0, 0, 1))
    later = [one[i] for i in (5, 2)]
    assert torch.equal(later[1]["image"], two[2]["image"])
    assert torch.equal(later[0]["mask"], two[5]["mask"])
    assert not torch.equal(two[2]["image"], other[2]["image"])
    assert one[0]["image"].dtype == one[0]["mask"].dtype == torch.uint8
    held = HeldBackFaces(faces, ParsingConfig(size=SIZE, val_size=32))
    assert held[0]["image"].shape == (3, 32, 32)
    assert len(held) == len(faces)


def test_sources_can_be_sent_to_another_process(root: Path) -> None:
    config = ParsingConfig(size=SIZE, stored=SIDE)
    faces = faces_of(root, config, "train")
    for made in (ParsingSource(faces, config, seed=0), HeldBackFaces(faces, config)):
        first = made[0]
        sent = pickle.loads(pickle.dumps(made))
        for name in ("image", "mask"):
            assert torch.equal(sent[0][name], first[name])
            assert torch.equal(sent[1][name], made[1][name])


# --------------------------------------------------------------------------- objective, numbers


def test_the_objective_weighs_rare_parts() -> None:
    logits = torch.randn(2, 19, 6, 6, generator=torch.Generator().manual_seed(0))
    labels = torch.randint(0, 19, (2, 6, 6), generator=torch.Generator().manual_seed(1))
    made = make_task(recipe(parsing={"balance": 0.5, "dice_weight": 0.25}))
    loss, terms = made.objective({"logits": logits}, {"mask": labels}, torch.Generator())
    weights = losses.class_weights(torch.bincount(labels.flatten(), minlength=19), 0.5)
    ce, dice = losses.cross_entropy(logits, labels, weights), losses.soft_dice(logits, labels)
    torch.testing.assert_close(loss, ce + 0.25 * dice)
    assert set(terms) == {"loss", "ce", "dice"}
    plain = make_task(recipe(parsing={"balance": 0.0, "dice_weight": 0.0}))
    loss, terms = plain.objective({"logits": logits}, {"mask": labels}, torch.Generator())
    torch.testing.assert_close(loss, F.cross_entropy(logits, labels))
    assert set(terms) == {"loss", "ce"}


def test_quality_is_over_all_pixels_of_all_pictures() -> None:
    truth = torch.tensor([[0, 0, 1], [1, 1, 2]])
    found = torch.tensor([[0, 1, 1], [1, 3, 2]])
    empty = torch.zeros(2, 3, dtype=torch.long)
    numbers = quality([pixel_counts(found, truth), pixel_counts(empty, empty)])
    assert numbers["iou/background"] == pytest.approx(7 / 8)
    assert numbers["iou/skin"] == pytest.approx(2 / 4)
    assert numbers["iou/nose"] == 1
    # A part that nothing shows is in no mean, however often it is found.
    assert "iou/eye_g" not in numbers
    assert numbers["mean_iou"] == pytest.approx((7 / 8 + 1 / 2 + 1) / 3)
    assert numbers["pixel_accuracy"] == pytest.approx(10 / 12)


def test_perfect_logits_are_perfect() -> None:
    labels = torch.from_numpy(np.stack([drawn(i)[1] for i in range(2)]))
    logits = F.one_hot(labels.long(), 19).movedim(-1, 1) * 50.0
    made = make_task(recipe())
    assert isinstance(made, ParsingTask)
    records = made.numbers({"logits": logits}, {"mask": labels, "kind": ["face"] * 2})
    numbers = made.summarize(records)
    assert numbers["mean_iou"] == numbers["pixel_accuracy"] == 1
    assert numbers["loss"] == pytest.approx(0, abs=1e-4)


# --------------------------------------------------------------------------- runs


def test_training_learns_to_label(root: Path, tmp_path: Path) -> None:
    chosen = recipe(
        parsing={"size": SIZE, "stored": SIDE, **{k: v for k, v in STILL.items() if k != "zoom"}},
        schedule={"total_samples": 320},
        run={"validate_every": 0, "log_every": 80, "checkpoint_every": 0},
    )
    report = run_training(chosen, data_root=root, output=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    trained = [line["loss"] for line in lines if line["event"] == "train"]
    assert trained[-1] < 0.5 * trained[0]
    assert report.metrics["iou/hair"] > 0.7
    assert report.metrics["iou/skin"] > 0.6
    assert report.best_metric == "mean_iou"


def test_a_resumed_run_is_the_uninterrupted_one(root: Path, tmp_path: Path) -> None:
    constant = {"kind": "constant"}
    half, full = (
        recipe(optim={"ema_decay": 0.9, "batch_size": 4}, schedule={**constant, "total_samples": n})
        for n in (16, 32)
    )
    run_training(half, data_root=root, output=tmp_path / "a")
    resumed = run_training(full, data_root=root, output=tmp_path / "a")
    straight = run_training(full, data_root=root, output=tmp_path / "b")
    assert resumed.samples == straight.samples == 32
    assert_same_checkpoint(resumed.checkpoint, straight.checkpoint)


def test_export_card_load_label(root: Path, tmp_path: Path) -> None:
    chosen = recipe()
    run_training(chosen, data_root=root, output=tmp_path / "run")
    out = tmp_path / "parts.safetensors"
    card = export_run(tmp_path / "run", out, data_root=root)
    assert (card.method, card.backbone) == ("face-parsing", "face-parser")
    assert card.options == {"widths": [8, 12, 16], "size": SIZE}
    assert card.decision == {}
    assert {"test_mean_iou", "test_pixel_accuracy", "test_iou_hair"} <= set(card.numbers)
    parser = load_parser(out)
    pixels, _ = drawn(3)
    assert parser(pixels).shape == (SIDE, SIDE)
    again = evaluate(parser, chosen, data_root=root)
    assert {f"test_{k}": v for k, v in again.items()} == card.numbers
    assert again["pictures"] == len(faces_of(root, chosen.parsing, "test"))
    assert "mean_iou" in export_run(tmp_path / "run", tmp_path / "other.safetensors").numbers


# --------------------------------------------------------------------------- recipe


def test_the_shipped_recipe_makes_a_small_parser() -> None:
    chosen = load_recipe("face-parser")
    assert isinstance(make_task(chosen), ParsingTask)
    network = build_small_parser(chosen.model.config)
    assert 2 * sum(p.numel() for p in network.parameters()) < 6e6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("flip=2", r"parsing.flip must be in \[0, 1\], got 2.0"),
        ("rotation=200", r"parsing.rotation must be in \[0, 180\]"),
        ("zoom=[1.5, 0.5]", "parsing.zoom must be above 0, rising"),
        ("size=8", "parsing.size must be at least 16, got 8"),
        ("shift=1", r"parsing.shift must be in \[0, 1\)"),
        ("dice_weight=-1", "parsing.dice_weight must be at least 0"),
        ("jpeg_quality=[0, 50]", "parsing.jpeg_quality must be in 1 to 100, rising"),
    ],
)
def test_settings_that_cannot_be(change: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe("face-parser", [f"parsing.{change}"])


def test_the_table_of_another_task_is_refused() -> None:
    with pytest.raises(
        ConfigError, match="parsing table is for the task face-parser; write task ="
    ):
        load_recipe("smoke", ["parsing.flip=0"])
