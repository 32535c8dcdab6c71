"""Everything that happens once, before the first step."""

import importlib
import json
import math
import os
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import nn

from tamperscope.errors import ConfigError, TrainingError, unknown
from tamperscope.provenance import tool_commit, tool_version
from tamperscope.train import checkpoint as store
from tamperscope.train.batches import SampleSource
from tamperscope.train.config import Recipe, ScheduleConfig, changed_keys

NetworkBuilder = Callable[[Mapping[str, Any]], nn.Module]
SourceBuilder = Callable[[Recipe, Path, str], SampleSource]

NETWORKS = {
    "focal": "tamperscope.methods.focal.network:build_network",
    "dolos": "tamperscope.methods.dolos.network:build_network",
    "fakelocator": "tamperscope.methods.fakelocator.network:build_network",
    "face-parser": "tamperscope.face_parsing.small:build_small_parser",
}

# A resumed run may change these: they do not alter what the samples so far have taught.
_FREE_ON_RESUME = (
    "run.",
    "data.num_workers",
    "data.prefetch",
    "data.val_cache",
    "dolos.cache",
    "fakelocator.cache",
    "optim.accumulate",
)
_FIXED_ON_RESUME = ("run.seed", "run.precision", "run.best_metric")
_FREE_EXACT = ("schedule.total_samples",)


def learning_rate(schedule: ScheduleConfig, lr: float, samples: int, batch_size: int) -> float:
    """Learning rate of the step after ``samples`` samples (``plateau``: before its cuts)."""
    if samples < schedule.warmup_samples:
        return lr * min(1.0, (samples + batch_size) / schedule.warmup_samples)
    if schedule.kind != "cosine":
        return lr
    span = max(1, schedule.total_samples - schedule.warmup_samples)
    done = min(1.0, (samples - schedule.warmup_samples) / span)
    scale = schedule.final_scale + (1 - schedule.final_scale) * 0.5 * (1 + math.cos(math.pi * done))
    return lr * scale


def make_accelerator(recipe: Recipe) -> Accelerator:
    """The accelerator of the recipe's device and precision.

    Raises:
        ConfigError: a GPU, or half precision on one, is asked for and there is none.
    """
    run = recipe.run
    on_cpu = run.device == "cpu" or not torch.cuda.is_available()
    if run.device == "cuda" and on_cpu:
        raise ConfigError("run.device = 'cuda' but torch finds no GPU; set run.device=auto or cpu")
    if run.precision == "fp16" and on_cpu:
        raise ConfigError("run.precision = 'fp16' needs a GPU; set run.precision=bf16 or no")
    return Accelerator(
        cpu=on_cpu,
        mixed_precision=run.precision,
        step_scheduler_with_optimizer=False,
        kwargs_handlers=[
            DistributedDataParallelKwargs(find_unused_parameters=run.find_unused_parameters)
        ],
    )


def named_builder(name: str) -> NetworkBuilder:
    """The builder behind ``model.network``; its module is imported when it is first used.

    Raises:
        UnknownNameError: not in ``NETWORKS``.
    """
    if name not in NETWORKS:
        raise unknown("network", name, NETWORKS)
    module, function = NETWORKS[name].split(":")

    def build(config: Mapping[str, Any]) -> nn.Module:
        network: nn.Module = getattr(importlib.import_module(module), function)(dict(config))
        return network

    return build


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW over all trainable weights, in two groups: with and without decay."""
    weights = [p for p in network.parameters() if p.requires_grad]
    optim = recipe.optim
    # Vectors are biases and norm scales: shrinking them towards zero regularises nothing.
    groups = [
        {"params": [p for p in weights if p.ndim > 1], "weight_decay": optim.weight_decay},
        {"params": [p for p in weights if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=optim.lr, betas=optim.betas, eps=optim.eps)


def resume_point(recipe: Recipe, run_dir: Path, resume: str | Path) -> Path | None:
    """The checkpoint to start from, or None for a fresh start; see ``run_training``'s ``resume``.

    Raises:
        ConfigError: the run folder belongs to another run or another recipe.
        TrainingError: its recipe cannot be read.
    """
    found = store.checkpoints(run_dir)
    if resume == "never":
        if found:
            raise ConfigError(
                f"{run_dir} already holds a run; resume it, or name another output folder"
            )
        return None
    if resume != "auto":
        inside = store.checkpoints(Path(resume))
        start = inside[-1] if inside else Path(resume)
        if found and start.resolve() != found[-1].resolve():
            raise ConfigError(
                f"{run_dir} already holds a run that ends with {found[-1].name};"
                f" name another output folder to go on from {start}"
            )
        return start
    if found:
        _check_same_recipe(recipe, run_dir, found[-1])
        return found[-1]
    return None


def _check_same_recipe(recipe: Recipe, run_dir: Path, newest: Path) -> None:
    try:
        before = Recipe.from_dict(json.loads((run_dir / "recipe.json").read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"{run_dir} has checkpoints but no readable recipe.json: {error};"
            f" name the checkpoint to resume from, or another output folder"
        ) from error
    if changed := [key for key in changed_keys(before, recipe) if not _free(key)]:
        raise ConfigError(
            f"{run_dir} was trained with another recipe ({', '.join(changed)} changed);"
            f" name another output folder, or resume={newest} to go on with the new settings"
        )


def _free(key: str) -> bool:
    if key in _FIXED_ON_RESUME:
        return False
    return key in _FREE_EXACT or key.startswith(_FREE_ON_RESUME)


def describe_run(run_dir: Path, recipe: Recipe, accelerator: Accelerator) -> None:
    """Write ``recipe.json`` and ``environment.json`` into the run folder."""
    run_dir.mkdir(parents=True, exist_ok=True)
    store.write_text(run_dir / "recipe.json", json.dumps(recipe.to_dict(), indent=2) + "\n")
    about = {
        "version": tool_version(),
        "commit": tool_commit(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": str(accelerator.device),
        "device_name": torch.cuda.get_device_name(accelerator.device)
        if accelerator.device.type == "cuda"
        else platform.processor() or platform.machine(),
        "processes": accelerator.num_processes,
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }
    store.write_text(run_dir / "environment.json", json.dumps(about, indent=2) + "\n")
