"""Training recipes: frozen dataclasses read from TOML, strict about every key.

A recipe names its ``task`` and has the tables ``model``, ``data``, ``optim``, ``schedule``,
``run`` and one for its task (``tamperscope.train.task_config``). All but the two pass-through
tables ``model.config`` and ``data.synthesis`` is checked here; those two are checked by the code
that receives them. All amounts of training are counted in *samples* (pictures seen over all
processes), so that a recipe means the same whatever the batch size or the number of processes.

This module needs neither torch nor numpy.
"""

import dataclasses
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from tamperscope.errors import ConfigError
from tamperscope.train.tables import (
    build,
    did_you_mean,
    flatten,
    parse_value,
    require,
    set_value,
)
from tamperscope.train.task_config import (
    TABLES,
    VALIDATION_NUMBERS,
    DolosConfig,
    FakeLocatorConfig,
    LossConfig,
    ParsingConfig,
    Task,
)

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["no", "bf16", "fp16"]
ScheduleKind = Literal["cosine", "constant", "plateau"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The network.

    Attributes:
        network: name of a builder in ``tamperscope.train.setup.NETWORKS``.
        config: passed to the builder as it is.
        init_from: weights file to start from (strict load); empty for the builder's own start.
        channels_last: NHWC memory layout, faster convolutions on CPUs and tensor cores.
        freeze_bn_after_first_val: keep batch-norm statistics fixed after the first validation, as
            the released FOCAL code does by accident (its networks never return to training mode).
    """

    network: str = "focal"
    config: Mapping[str, Any] = field(default_factory=dict)
    init_from: str = ""
    channels_last: bool = True
    freeze_bn_after_first_val: bool = False


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the pictures come from.

    Attributes:
        synthesis: options of the on-the-fly forgeries, passed on as they are.
        num_workers: loader processes per training process; 0 makes samples in the training process.
        prefetch: batches each worker prepares ahead.
        val_samples: size of the fixed validation set.
        val_seed: its seed; independent of ``run.seed``, so that runs can be compared.
        val_cache: keep the validation pictures in memory (uint8) instead of making them each time.
    """

    synthesis: Mapping[str, Any] = field(default_factory=dict)
    num_workers: int = 2
    prefetch: int = 4
    val_samples: int = 256
    val_seed: int = 0
    val_cache: bool = True

    def __post_init__(self) -> None:
        require(self.num_workers >= 0, "data.num_workers", self.num_workers, "at least 0")
        require(self.prefetch >= 1, "data.prefetch", self.prefetch, "at least 1")
        require(self.val_samples >= 1, "data.val_samples", self.val_samples, "at least 1")


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """AdamW (with ``weight_decay = 0`` this is Adam); no decay on norms and biases.

    Attributes:
        lr: peak learning rate.
        betas, eps, weight_decay: of AdamW.
        clip_norm: largest gradient norm; 0 for no clipping.
        batch_size: pictures per optimizer step, over all processes and accumulation pieces.
        accumulate: pieces each process cuts its share of a batch into, to save memory.
        ema_decay: decay of the running average of the weights per step; 0 for none.
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    batch_size: int = 16
    accumulate: int = 1
    ema_decay: float = 0.999

    def __post_init__(self) -> None:
        require(self.lr > 0, "optim.lr", self.lr, "above 0")
        require(all(0 <= b < 1 for b in self.betas), "optim.betas", self.betas, "in [0, 1)")
        require(self.weight_decay >= 0, "optim.weight_decay", self.weight_decay, "at least 0")
        require(self.clip_norm >= 0, "optim.clip_norm", self.clip_norm, "at least 0")
        require(self.batch_size >= 1, "optim.batch_size", self.batch_size, "at least 1")
        require(self.accumulate >= 1, "optim.accumulate", self.accumulate, "at least 1")
        require(0 <= self.ema_decay < 1, "optim.ema_decay", self.ema_decay, "in [0, 1)")


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """Learning rate over samples: a linear warm-up, then one of three shapes.

    Attributes:
        kind: ``cosine`` down to ``final_scale * lr`` at the end, ``constant``, or ``plateau``:
            multiply by ``factor`` after more than ``patience`` validations without a better
            ``run.best_metric``.
        total_samples: where training ends.
        warmup_samples: length of the warm-up.
        final_scale: last learning rate of ``cosine`` as a share of the first.
        factor, patience, min_lr: of ``plateau``.
    """

    kind: ScheduleKind = "cosine"
    total_samples: int = 100_000
    warmup_samples: int = 0
    final_scale: float = 0.01
    factor: float = 0.5
    patience: int = 3
    min_lr: float = 1e-8

    def __post_init__(self) -> None:
        require(self.total_samples >= 1, "schedule.total_samples", self.total_samples, "at least 1")
        require(
            self.warmup_samples >= 0, "schedule.warmup_samples", self.warmup_samples, "at least 0"
        )
        require(0 <= self.final_scale <= 1, "schedule.final_scale", self.final_scale, "in [0, 1]")
        require(0 < self.factor < 1, "schedule.factor", self.factor, "in (0, 1)")
        require(self.patience >= 0, "schedule.patience", self.patience, "at least 0")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """How the run behaves; nothing here but ``seed`` and ``precision`` changes what is learned.

    Attributes:
        seed: of the weights, of the training stream and of every draw.
        device: ``auto`` takes a GPU when there is one.
        precision: ``no`` (float32), ``bf16`` or ``fp16`` (GPU only) automatic mixed precision.
        threads: CPU threads of the training process; 0 leaves them as they are.
        log_every, validate_every, checkpoint_every: intervals in samples; 0 never validates or
            checkpoints before the end.
        keep_checkpoints: how many of the newest full checkpoints stay on disk.
        best_metric: validation number that decides which weights are kept as best, one of the
            task's ``VALIDATION_NUMBERS`` or such a number for one kind of picture
            (``separability/removal``); losses and false alarms are minimised, the others maximised.
        tensorboard: also write TensorBoard events when it is installed.
        find_unused_parameters: needed on several processes when some weights get no gradient.
    """

    seed: int = 0
    device: Device = "auto"
    precision: Precision = "no"
    threads: int = 0
    log_every: int = 400
    validate_every: int = 5_000
    checkpoint_every: int = 2_000
    keep_checkpoints: int = 1
    best_metric: str = "separability"
    tensorboard: bool = True
    find_unused_parameters: bool = False

    def __post_init__(self) -> None:
        require(self.threads >= 0, "run.threads", self.threads, "at least 0")
        require(self.log_every >= 1, "run.log_every", self.log_every, "at least 1")
        require(self.validate_every >= 0, "run.validate_every", self.validate_every, "at least 0")
        require(
            self.checkpoint_every >= 0, "run.checkpoint_every", self.checkpoint_every, "at least 0"
        )
        require(
            self.keep_checkpoints >= 1, "run.keep_checkpoints", self.keep_checkpoints, "at least 1"
        )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that defines a training run. Make one with :func:`load_recipe`.

    ``task`` decides which pictures are learned from, the objective and the validation numbers.
    """

    task: Task = "focal"
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    dolos: DolosConfig = field(default_factory=DolosConfig)
    fakelocator: FakeLocatorConfig = field(default_factory=FakeLocatorConfig)
    parsing: ParsingConfig = field(default_factory=ParsingConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        name, known = self.run.best_metric.partition("/")[0], VALIDATION_NUMBERS[self.task]
        if name not in known:
            raise ConfigError(
                f"run.best_metric = {self.run.best_metric!r} is not a validation number"
                f"{did_you_mean(name, known)}; known: {', '.join(known)}"
            )
        for task, table in TABLES.items():
            given = getattr(self, table)
            if task != self.task and given != type(given)():
                raise ConfigError(_misplaced(table, task, self.task))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able tables, every default filled in."""
        tables: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return tables

    @staticmethod
    def from_dict(tables: Mapping[str, Any]) -> "Recipe":
        """Inverse of :meth:`to_dict`; missing keys take their defaults.

        Raises:
            ConfigError: an unknown key, a value of the wrong type or out of range.
        """
        recipe = build(Recipe, tables, "")
        assert isinstance(recipe, Recipe)
        return recipe


def _misplaced(table: str, owner: str, task: str) -> str:
    if table == "loss":
        remedy = f"put the settings of {task} into [{TABLES[task]}]"
    else:
        remedy = f'write task = "{owner}"'
    return f"the {table} table is for the task {owner}; {remedy}"


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    folder = resources.files("tamperscope.train") / "recipes"
    return sorted(f.name[: -len(".toml")] for f in folder.iterdir() if f.name.endswith(".toml"))


def load_recipe(path_or_name: str | Path, overrides: Iterable[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        path_or_name: a ``.toml`` or ``.json`` file (a run folder's ``recipe.json`` too), or the
            name of a recipe of the package.
        overrides: ``"table.key=value"`` items applied on top; the value is read as TOML, and as a
            plain string when it is not valid TOML (``optim.lr=1e-3``, ``run.device=cpu``).

    Raises:
        ConfigError: no such recipe, unreadable file, unknown key, bad value.
    """
    return override(Recipe.from_dict(_read_tables(path_or_name)), overrides)


def override(recipe: Recipe, overrides: Iterable[str]) -> Recipe:
    """A copy of ``recipe`` with ``"table.key=value"`` items applied, checked like a file."""
    tables = recipe.to_dict()
    for item in overrides:
        dotted, equals, text = item.partition("=")
        keys = dotted.strip().split(".")
        if not equals or len(keys) < 2 or not all(keys):
            raise ConfigError(f"cannot read the override {item!r}; write table.key=value")
        set_value(tables, keys, parse_value(text.strip()))
    return Recipe.from_dict(tables)


def changed_keys(old: Recipe, new: Recipe) -> list[str]:
    """Dotted names of the settings that differ."""
    before, after = flatten(old.to_dict()), flatten(new.to_dict())
    missing = object()
    return sorted(
        key
        for key in before.keys() | after.keys()
        if before.get(key, missing) != after.get(key, missing)
    )


def _read_tables(path_or_name: str | Path) -> dict[str, Any]:
    path = Path(path_or_name)
    if path.is_file():
        text = path.read_text(encoding="utf-8")
    elif str(path_or_name) in recipe_names():
        text = (
            resources.files("tamperscope.train") / "recipes" / f"{path_or_name}.toml"
        ).read_text(encoding="utf-8")
    else:
        known = recipe_names()
        raise ConfigError(
            f"no recipe {str(path_or_name)!r}{did_you_mean(str(path_or_name), known)};"
            f" give a .toml file or one of: {', '.join(known)}"
        )
    try:
        tables: Any = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (tomllib.TOMLDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"cannot read the recipe {path}: {error}") from error
    if not isinstance(tables, dict):
        raise ConfigError(f"cannot read the recipe {path}: expected tables, got a list or a value")
    return tables
