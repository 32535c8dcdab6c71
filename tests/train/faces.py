"""A tiny set of the DOLOS layout: noise whose regenerated part is smooth, and a recipe for it."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from tamperscope.train.config import Recipe

SIZE = 64
COUNTS = {"train": 8, "valid": 4, "test": 2}


def face(seed: int, size: int = SIZE) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(40, 216, (size, size, 3), np.uint8)


def regenerated(pixels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The masked part flat, as a bad generator would make it."""
    out = pixels.copy()
    out[mask] = pixels[mask].mean(0).astype(np.uint8)
    return out


def save(array: NDArray[Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PILImage.fromarray(array).save(path)


def write_set(root: Path, generators: tuple[str, ...] = ("blur", "flat")) -> Path:
    """Faces, partly and wholly regenerated ones, on disk; returns ``root``."""
    base = root / "celebahq"
    for number, (split, count) in enumerate(COUNTS.items()):
        for i in range(count):
            pixels, name = face(100 * number + i), f"{number}{i}.png"
            save(pixels, base / "real" / split / name)
            for shift, generator in enumerate(generators):
                mask = np.zeros((SIZE, SIZE), bool)
                y, x = 4 + 4 * (i % 4), 4 + 16 * shift
                mask[y : y + 40, x : x + 40] = True
                fake = base / "fake" / generator
                save(regenerated(pixels, mask), fake / "images" / split / name)
                save((~mask).astype(np.uint8) * 255, fake / "masks" / split / name)
            whole = regenerated(pixels, np.ones((SIZE, SIZE), bool))
            save(whole, base / "fake" / f"{generators[0]}-whole" / split / name)
    return root


def recipe(method: str = "patches", setup: str = "C", **changes: dict[str, Any]) -> Recipe:
    """A short run of a DOLOS network on pictures of `SIZE`; ``changes`` are tables to merge."""
    supervision = "full" if setup == "C" else "weak"
    config: dict[str, Any] = {"method": method, "supervision": supervision, "init": "scratch"}
    if method == "patches":
        config["block"] = 1
    tables: dict[str, dict[str, Any]] = {
        "model": {"network": "dolos", "config": config},
        "dolos": {"setup": setup, "size": SIZE, "rho_class": 0.0 if setup == "C" else 1.0},
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
        tables[table] = tables.get(table, {}) | values
    return Recipe.from_dict({"task": "dolos", **tables})
