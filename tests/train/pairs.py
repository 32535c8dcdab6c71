"""A tiny set of pairs: noise whose regenerated part is flat, and a recipe for it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamperscope.data.faces import output
from tamperscope.data.faces.layout import FAKELOCATOR
from tamperscope.train.config import Recipe
from train.faces import face, regenerated, save

SIZE = 64
COUNTS = {"train": 8, "valid": 4, "test": 2}
GENERATORS = ("blur", "flat")


def region(number: int, shift: int) -> NDArray[np.bool_]:
    mask = np.zeros((SIZE, SIZE), bool)
    y, x = 4 + 4 * (number % 4), 4 + 16 * shift
    mask[y : y + 40, x : x + 40] = True
    return mask


def write_pairs(root: Path) -> Path:
    """Reals, partly regenerated ones of two generators, wholly regenerated ones of the first."""
    rows: list[dict[str, Any]] = []

    def add(pixels: NDArray[np.uint8], image: str, **row: Any) -> None:
        save(pixels, root / image)
        rows.append({"image": image, "mask": None, "seed": 0, **row})

    for number, (split, count) in enumerate(COUNTS.items()):
        for i in range(count):
            pixels, name = face(100 * number + i, SIZE), f"{split}{i}"
            about = {"id": name, "face": name, "split": split}
            add(pixels, FAKELOCATOR.real_path("celebahq", split, name), kind="real", **about)
            for shift, generator in enumerate(GENERATORS):
                path = FAKELOCATOR.region_path("celebahq", generator, split, name)
                fake = regenerated(pixels, region(i, shift))
                add(fake, path, kind="fake", generator=generator, parts=["nose"], **about)
            path = FAKELOCATOR.whole_path("celebahq", GENERATORS[0], split, name)
            whole = regenerated(pixels, np.ones((SIZE, SIZE), bool))
            add(whole, path, kind="whole", generator=GENERATORS[0], **about)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (root / output.MANIFEST).write_text(lines, encoding="utf-8")
    output.agree(root, FAKELOCATOR, {}, {name: {} for name in GENERATORS})
    return root


def write_labels(folder: Path) -> Path:
    """Labelled faces of the same names: skin in the middle, background around it."""
    labels = np.zeros((SIZE, SIZE), np.uint8)
    labels[16:48, 16:48] = 1
    for number, (split, count) in enumerate(COUNTS.items()):
        for i in range(count):
            save(face(100 * number + i, SIZE), folder / "images" / f"{split}{i}.png")
            save(labels, folder / "masks" / f"{split}{i}.png")
    return folder


NETWORK: dict[str, Any] = {
    "architecture": "unet",
    "encoder": "resnet18",
    "encoder_depth": 2,
    "decoder_channels": [16, 8],
    "attention": "none",
}


def recipe(**changes: dict[str, Any]) -> Recipe:
    """A short run on pictures of `SIZE`; ``changes`` are tables to merge."""
    tables: dict[str, dict[str, Any]] = {
        "model": {"network": "fakelocator", "config": NETWORK},
        "fakelocator": {"size": SIZE},
        "data": {"num_workers": 0, "val_samples": 8},
        "optim": {"batch_size": 4, "lr": 3e-3, "weight_decay": 0.0, "ema_decay": 0.0},
        "schedule": {"total_samples": 32},
        "run": {
            "device": "cpu",
            "threads": 1,
            "log_every": 8,
            "validate_every": 16,
            "checkpoint_every": 8,
            "tensorboard": False,
            "best_metric": "loss",
        },
    }
    for table, values in changes.items():
        merged = tables.get(table, {}) | values
        if table == "model" and "config" in values:
            merged["config"] = NETWORK | values["config"]
        tables[table] = merged
    return Recipe.from_dict({"task": "fakelocator", **tables})
