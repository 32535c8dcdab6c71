"""Files as others publish them, made by the recipe from the official keys."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from methods.dolos.official import official_state
from reference import recipe


@pytest.fixture(scope="session")
def ffd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """FFD's file: a dict in PyTorch's old format, the network under ``net``."""
    path = tmp_path_factory.mktemp("ffd") / "xcp_reg.tar"
    stored = {"epoch": 3, "net": official_state("attention"), "loss": 0.1}
    torch.save(stored, path, _use_new_zipfile_serialization=False)
    yield path
    path.unlink()


@pytest.fixture(scope="session")
def imagenet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Cadene's file: 1x1 convolutions as matrices, no counters of batch normalisation."""
    state = {
        key: value[:, :, 0, 0] if key.endswith("pointwise.weight") else value
        for key, value in official_state("gradcam-weak").items()
        if not key.endswith("num_batches_tracked")
    }
    for leaf, shape in (("weight", (1000, 2048)), ("bias", (1000,))):
        state[f"fc.{leaf}"] = torch.from_numpy(recipe.value_for(f"fc.{leaf}", shape))
    path = tmp_path_factory.mktemp("imagenet") / "xception-b5690688.pth"
    torch.save(state, path)
    yield path
    path.unlink()
