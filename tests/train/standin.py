"""A tiny network and a tiny data set for the training tests; also a script that trains them.

As a script: ``python standin.py OUTPUT WORKERS KILL_AT_STEP [TABLE.KEY=VALUE ...]``; a
KILL_AT_STEP of 0 never kills; ``model.config.noisy`` and ``data.synthesis.all_forged`` are the
options of the network and the data.
"""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tamperscope.train.config import Recipe, override
from tamperscope.train.loop import TrainReport, run_training

SIZE = 32


class Squares:
    """Noise with a brighter square, the forged region; every fourth picture has none."""

    def __init__(self, first: int = 0, *, all_forged: bool = False) -> None:
        self.first, self.all_forged = first, all_forged
        self.seen: list[int] = []

    def __getitem__(self, index: int) -> dict[str, Any]:
        self.seen.append(index)
        draw = torch.Generator().manual_seed(self.first + index)
        image = torch.randint(0, 60, (3, SIZE, SIZE), generator=draw, dtype=torch.uint8)
        mask = torch.zeros(SIZE, SIZE, dtype=torch.uint8)
        if self.all_forged or index % 4 != 3:
            y, x = (int(v) for v in torch.randint(0, 16, (2,), generator=draw))
            mask[y : y + 12, x : x + 12] = 1
            image[:, mask.bool()] += 60
        return {"image": image, "mask": mask, "kind": "square" if mask.any() else "pristine"}


class TinyNet(nn.Module):
    """Two convolutions with what makes resuming hard: batch-norm statistics and dropout.

    ``at_step`` is called with the number of training steps taken before each of them.
    """

    def __init__(self, *, noisy: bool = True, evidence: bool = True, at_step: Any = None) -> None:
        super().__init__()
        middle = [nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout2d(0.2)] if noisy else [nn.ReLU()]
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), *middle, nn.Conv2d(8, 8, 3, 2, 1))
        self.head = nn.Conv2d(8, 1, 1) if evidence else None
        self.at_step, self.steps = at_step, 0

    def __deepcopy__(self, memo: dict[int, Any]) -> "TinyNet":
        twin = TinyNet(noisy=len(self.body) > 3, evidence=self.head is not None)
        twin.load_state_dict(self.state_dict())
        return twin

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        if self.training and self.at_step is not None:
            self.at_step(self.steps)
            self.steps += 1
        features = self.body(x)
        return {"features": features} | (
            {} if self.head is None else {"evidence": self.head(features)}
        )


def recipe(**changes: Any) -> Recipe:
    """48 samples in batches of 4 on one CPU thread; ``changes`` are tables to merge."""
    tables: dict[str, dict[str, Any]] = {
        "data": {"num_workers": 0, "val_samples": 8},
        "optim": {"batch_size": 4, "lr": 0.01, "ema_decay": 0.9},
        "schedule": {"total_samples": 48, "warmup_samples": 8},
        "run": {
            "device": "cpu",
            "threads": 1,
            "log_every": 8,
            "validate_every": 24,
            "checkpoint_every": 16,
            "tensorboard": False,
        },
    }
    for table, values in changes.items():
        tables[table] = tables.get(table, {}) | values
    return Recipe.from_dict(tables)


def train(
    chosen: Recipe,
    output: Path,
    *,
    network: Any = TinyNet,
    train_source: Any = None,
    **options: Any,
) -> TrainReport:
    """``run_training`` on the stand-ins."""

    def source(_recipe: Recipe, _root: Path, split: str) -> Any:
        if split == "val":
            return Squares(10_000)
        return train_source if train_source is not None else Squares()

    def build(_config: Mapping[str, Any]) -> nn.Module:
        built: nn.Module = network()
        return built

    return run_training(
        chosen,
        data_root="unused",
        output=output,
        network_builder=build,
        source_builder=source,
        **options,
    )


def main(arguments: list[str]) -> None:
    output, workers, kill_at, *overrides = arguments

    def kill(step: int) -> None:
        if step == int(kill_at) > 0:
            os.kill(os.getpid(), signal.SIGKILL)

    chosen = override(
        recipe(data={"num_workers": int(workers), "val_samples": 8}),
        overrides,
    )
    train(
        chosen,
        Path(output),
        network=lambda: TinyNet(noisy=chosen.model.config.get("noisy", True), at_step=kill),
        train_source=Squares(all_forged=chosen.data.synthesis.get("all_forged", False)),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
