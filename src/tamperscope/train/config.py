"""Training recipes: frozen dataclasses read from TOML, strict about every key.

A recipe names its ``task`` and has the tables ``model``, ``data``, ``optim``, ``schedule``,
``run`` and one for its task: ``loss`` for ``focal``, ``dolos`` for ``dolos``. All but the two
pass-through tables ``model.config`` and ``data.synthesis`` is checked here; those two are checked
by the code that receives them. All amounts of training are counted in *samples* (pictures seen
over all processes), so that a recipe means the same whatever the batch size or the number of
processes.

This module needs neither torch nor numpy.
"""

import dataclasses
import difflib
import json
import tomllib
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from tamperscope.errors import ConfigError

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["no", "bf16", "fp16"]
Contrastive = Literal["info_nce_pp", "soft_contrastive", "none"]
Balance = Literal["none", "batch", "picture"]
ScheduleKind = Literal["cosine", "constant", "plateau"]

Task = Literal["focal", "dolos"]
Setup = Literal["A", "B", "C"]
Pooling = Literal["expand", "max", "avg"]
MapLoss = Literal["ce", "bce", "l1", "l2", "dice", "focal"]
Resample = Literal["auto", "lanczos", "bilinear"]

VALIDATION_NUMBERS: dict[str, tuple[str, ...]] = {
    "focal": (
        "loss",
        "contrastive",
        "bce",
        "dice",
        "separability",
        "evidence_auc",
        "evidence_f1",
        "evidence_iou",
        "false_alarm",
    ),
    "dolos": ("loss", "label", "map", "iou", "pixel_auc", "ap", "false_alarm"),
}
MINIMISED = ("loss", "contrastive", "bce", "dice", "label", "map", "false_alarm")


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
class LossConfig:
    """Weighted sum of a contrastive term and two evidence terms; a weight of 0 turns one off.

    Attributes:
        contrastive: which contrastive loss; labels are cells whose mask area mean is above 0.5.
        contrastive_weight: its weight.
        temperature: of the contrastive loss.
        variant, metric, max_samples, symmetric: options of ``info_nce_pp``.
        rho, iters: options of ``soft_contrastive``.
        bce_weight: weight of the binary cross-entropy of the evidence logits. Its target is the
            area mean of the mask over the cell.
        balance: ``none`` plain mean over cells; ``batch`` and ``picture`` give the forged cells
            the share ``forged_share`` of the loss and the pristine ones the rest, within the batch
            or each picture.
        forged_share: see ``balance``, in (0, 1).
        dice_weight: weight of the soft Dice loss, over pictures that have a forged cell.
        ignore_mixed: leave out cells with 0.1 < area mean < 0.9 from every term.
    """

    contrastive: Contrastive = "info_nce_pp"
    contrastive_weight: float = 1.0
    temperature: float = 0.1
    variant: Literal["released", "paper"] = "released"
    metric: Literal["cosine", "euclidean"] = "cosine"
    max_samples: int = 1000
    symmetric: bool = False
    rho: float = 2.0
    iters: int = 1
    bce_weight: float = 1.0
    balance: Balance = "batch"
    forged_share: float = 0.5
    dice_weight: float = 0.0
    ignore_mixed: bool = True

    def __post_init__(self) -> None:
        _require(self.temperature > 0, "loss.temperature", self.temperature, "above 0")
        _require(0 < self.forged_share < 1, "loss.forged_share", self.forged_share, "in (0, 1)")
        for name in ("contrastive_weight", "bce_weight", "dice_weight"):
            _require(getattr(self, name) >= 0, f"loss.{name}", getattr(self, name), "at least 0")


@dataclass(frozen=True, kw_only=True)
class DolosConfig:
    """Data and objective of the task ``dolos``; its networks are those of ``model.config``.

    Attributes:
        setup: the paper's: ``A`` real against wholly regenerated pictures and ``B`` real against
            partly regenerated ones, both from image labels; ``C`` partly regenerated ones with
            masks.
        faces: name of the face set below the data folder.
        generators: names of the generators' folders; ``["all"]`` takes every one that is there.
        leave_out: generators to leave out of those.
        extra_whole: further folders of wholly generated pictures for set-up A, relative to the data
            folder or absolute; 70 % of each train and 10 % validate, by a hash of the file name.
        extra_real: further folders of real pictures, likewise.
        reals: share of real pictures among those of set-up C, with empty masks; 0 as in the paper.
        balanced_labels: A and B: as many real pictures as fake ones in every batch; otherwise each
            kind comes as often as it is in the set.
        limit: most pictures of each kind and split; 0 for all.
        size: side in pixels a picture is resized to; 0 for the network's own.
        resample: of that resizing; ``auto`` is the paper's for each network.
        crop: side of a random crop from training pictures, as a share of the picture's; ``size``
            shrinks with it. The networks are convolutional: they learn from a part, and from more
            pictures in the same time.
        flip: mirror half of the training pictures (the paper: from labels only).
        jpeg: share of training and validation pictures compressed once more, real ones and fake
            ones alike, lest the network tells file histories apart instead of generators.
        jpeg_quality: from and to; qualities between are equally likely.
        rescale: share of training pictures that are resized.
        rescale_range: from and to, as a share of the side.
        blur: share of training pictures that are blurred.
        blur_sigma: from and to, in pixels.
        pooling: how Patches learn from labels, see ``tamperscope.losses.dolos.weak_map_loss``.
        map_loss: loss between map and mask in set-up C.
        balanced_map: C with cross-entropy: fake and real cells weigh the same over a batch.
        rho_class, rho_localize: weights of the label and of the map term. From labels, Grad-CAM has
            a label term, Patches a map term, Attention both (``rho_localize`` is its lambda).
        cache: keep decoded pictures in memory.
    """

    setup: Setup = "C"
    faces: str = "celebahq"
    generators: tuple[str, ...] = ("all",)
    leave_out: tuple[str, ...] = ()
    extra_whole: tuple[str, ...] = ()
    extra_real: tuple[str, ...] = ()
    reals: float = 0.0
    balanced_labels: bool = True
    limit: int = 0
    size: int = 0
    resample: Resample = "auto"
    crop: float = 1.0
    flip: bool = False
    jpeg: float = 0.0
    jpeg_quality: tuple[int, int] = (60, 98)
    rescale: float = 0.0
    rescale_range: tuple[float, float] = (0.75, 1.33)
    blur: float = 0.0
    blur_sigma: tuple[float, float] = (0.3, 1.2)
    pooling: Pooling = "expand"
    map_loss: MapLoss = "ce"
    balanced_map: bool = False
    rho_class: float = 0.0
    rho_localize: float = 1.0
    cache: bool = True

    def __post_init__(self) -> None:
        _require(0 <= self.reals < 1, "dolos.reals", self.reals, "in [0, 1)")
        _require(0 < self.crop <= 1, "dolos.crop", self.crop, "in (0, 1]")
        for name in ("jpeg", "rescale", "blur"):
            value = getattr(self, name)
            _require(0 <= value <= 1, f"dolos.{name}", value, "in [0, 1]")
        for name in ("limit", "size", "rho_class", "rho_localize"):
            value = getattr(self, name)
            _require(value >= 0, f"dolos.{name}", value, "at least 0")
        low, high = self.jpeg_quality
        _require(
            1 <= low <= high <= 100, "dolos.jpeg_quality", self.jpeg_quality, "in 1 to 100, rising"
        )
        for name in ("rescale_range", "blur_sigma"):
            low_share, high_share = getattr(self, name)
            _require(
                0 < low_share <= high_share,
                f"dolos.{name}",
                (low_share, high_share),
                "above 0, rising",
            )
        _require(bool(self.generators), "dolos.generators", self.generators, "at least one name")


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
        _require(self.num_workers >= 0, "data.num_workers", self.num_workers, "at least 0")
        _require(self.prefetch >= 1, "data.prefetch", self.prefetch, "at least 1")
        _require(self.val_samples >= 1, "data.val_samples", self.val_samples, "at least 1")


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
        _require(self.lr > 0, "optim.lr", self.lr, "above 0")
        _require(all(0 <= b < 1 for b in self.betas), "optim.betas", self.betas, "in [0, 1)")
        _require(self.weight_decay >= 0, "optim.weight_decay", self.weight_decay, "at least 0")
        _require(self.clip_norm >= 0, "optim.clip_norm", self.clip_norm, "at least 0")
        _require(self.batch_size >= 1, "optim.batch_size", self.batch_size, "at least 1")
        _require(self.accumulate >= 1, "optim.accumulate", self.accumulate, "at least 1")
        _require(0 <= self.ema_decay < 1, "optim.ema_decay", self.ema_decay, "in [0, 1)")


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
        _require(
            self.total_samples >= 1, "schedule.total_samples", self.total_samples, "at least 1"
        )
        _require(
            self.warmup_samples >= 0, "schedule.warmup_samples", self.warmup_samples, "at least 0"
        )
        _require(0 <= self.final_scale <= 1, "schedule.final_scale", self.final_scale, "in [0, 1]")
        _require(0 < self.factor < 1, "schedule.factor", self.factor, "in (0, 1)")
        _require(self.patience >= 0, "schedule.patience", self.patience, "at least 0")


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
        _require(self.threads >= 0, "run.threads", self.threads, "at least 0")
        _require(self.log_every >= 1, "run.log_every", self.log_every, "at least 1")
        _require(self.validate_every >= 0, "run.validate_every", self.validate_every, "at least 0")
        _require(
            self.checkpoint_every >= 0, "run.checkpoint_every", self.checkpoint_every, "at least 0"
        )
        _require(
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
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        name, known = self.run.best_metric.partition("/")[0], VALIDATION_NUMBERS[self.task]
        if name not in known:
            raise ConfigError(
                f"run.best_metric = {self.run.best_metric!r} is not a validation number"
                f"{_did_you_mean(name, known)}; known: {', '.join(known)}"
            )
        if self.task != "focal" and self.loss != LossConfig():
            raise ConfigError(
                f"the loss table is for the task focal; put the settings of {self.task} into"
                f" [{self.task}]"
            )
        if self.task != "dolos" and self.dolos != DolosConfig():
            raise ConfigError('the dolos table is for the task dolos; write task = "dolos"')

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
        recipe = _build(Recipe, tables, "")
        assert isinstance(recipe, Recipe)
        return recipe


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
        _set(tables, keys, _parse_value(text.strip()))
    return Recipe.from_dict(tables)


def changed_keys(old: Recipe, new: Recipe) -> list[str]:
    """Dotted names of the settings that differ."""
    before, after = _flatten(old.to_dict()), _flatten(new.to_dict())
    missing = object()
    return sorted(
        key
        for key in before.keys() | after.keys()
        if before.get(key, missing) != after.get(key, missing)
    )


# --------------------------------------------------------------------------- reading and checking


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
            f"no recipe {str(path_or_name)!r}{_did_you_mean(str(path_or_name), known)};"
            f" give a .toml file or one of: {', '.join(known)}"
        )
    try:
        tables: Any = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (tomllib.TOMLDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"cannot read the recipe {path}: {error}") from error
    if not isinstance(tables, dict):
        raise ConfigError(f"cannot read the recipe {path}: expected tables, got a list or a value")
    return tables


def _build(cls: type, table: Any, prefix: str) -> Any:
    if not isinstance(table, Mapping):
        raise ConfigError(f"{prefix.rstrip('.')} must be a table, got {table!r}")
    hints = get_type_hints(cls)
    for key in table:
        if key not in hints:
            raise ConfigError(
                f"unknown key '{prefix}{key}' in the recipe{_did_you_mean(str(key), hints)};"
                f" known here: {', '.join(hints)}"
            )
    values = {key: _convert(hints[key], value, f"{prefix}{key}") for key, value in table.items()}
    return cls(**values)


def _convert(hint: Any, value: Any, name: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _build(hint, value, f"{name}.")
    origin = get_origin(hint)
    if origin is Literal:
        choices = get_args(hint)
        if value not in choices:
            listed = ", ".join(map(str, choices))
            hint_text = _did_you_mean(str(value), [str(c) for c in choices])
            raise ConfigError(f"{name} = {value!r} is not a choice{hint_text}; known: {listed}")
        return value
    if origin is tuple:
        items = get_args(hint)
        if items[-1] is Ellipsis:
            if not isinstance(value, (list, tuple)):
                raise ConfigError(f"{name} must be a list, got {value!r}")
            return tuple(_convert(items[0], v, f"{name}[{i}]") for i, v in enumerate(value))
        if not isinstance(value, (list, tuple)) or len(value) != len(items):
            raise ConfigError(f"{name} must be a list of {len(items)} values, got {value!r}")
        return tuple(_convert(h, v, name) for h, v in zip(items, value, strict=True))
    if origin in (Union, types.UnionType):
        raise TypeError(f"recipe fields have one type each, {name} has {hint}")
    return _convert_plain(origin or hint, value, name)


def _convert_plain(kind: Any, value: Any, name: str) -> Any:
    if isinstance(kind, type) and issubclass(kind, Mapping):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{name} must be a table, got {value!r}")
        return dict(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    # A bool is an int to Python; as a number in a recipe it is a mistake.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ConfigError(f"{name} must be {_KIND_NAMES[kind]}, got {value!r}")
    return value


_KIND_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a string"}


def _set(tables: dict[str, Any], keys: list[str], value: Any) -> None:
    *parents, last = keys
    table = tables
    for depth, key in enumerate(parents):
        if depth == 0 and key not in tables:
            raise ConfigError(
                f"unknown key '{key}' in the recipe{_did_you_mean(key, tables)};"
                f" known here: {', '.join(tables)}"
            )
        child = table.setdefault(key, {})
        if not isinstance(child, dict):
            raise ConfigError(f"'{'.'.join(keys[: depth + 1])}' is a value, not a table")
        table = child
    table[last] = value


def _parse_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean '{close[0]}'?" if close else ""


def _require(ok: bool, name: str, value: object, condition: str) -> None:
    if not ok:
        raise ConfigError(f"{name} must be {condition}, got {value}")
