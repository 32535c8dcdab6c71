"""Checkpoints of the official code, filled by the recipe of the reference numbers."""

import json

import torch
from torch import Tensor

from reference import recipe

FILES = {
    "patches-1": "dolos_patches_block1",
    "patches-2": "dolos_patches_block2",
    "patches-3": "dolos_patches_block3",
    "attention": "dolos_attention",
    "gradcam": "dolos_gradcam_full",
    "gradcam-weak": "dolos_gradcam_weak",
}


def official_state(name: str) -> dict[str, Tensor]:
    """Tensors under the official keys."""
    text = (recipe.FOLDER / f"keys_{FILES[name]}.json").read_text(encoding="utf-8")
    return {
        key: torch.from_numpy(recipe.value_for(key, tuple(entry["shape"])))
        for key, entry in json.loads(text).items()
    }


def picture(name: str, side: int = 299, batch: int = 2) -> Tensor:
    """A network's input of the reference runs."""
    return torch.from_numpy(recipe.make_input(name, (batch, 3, side, side), "signed"))
