"""A published checkpoint, made by the recipe from the official keys."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from reference import recipe
from tamperscope.backbones import create_backbone


@pytest.fixture(scope="session")
def published_hrnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """HRNet-W32 under its published keys."""
    state = {
        f"module.{key}": torch.from_numpy(recipe.value_for(key, tuple(value.shape), 0.5))
        for key, value in create_backbone("focal-hrnet-w32").state_dict().items()
    }
    path = tmp_path_factory.mktemp("published") / "FOCAL_HRNet_weights.pth"
    torch.save(state, path)
    yield path
    path.unlink()
