"""The training loop: one class, one step after another, on Hugging Face accelerate.

Nothing is drawn from a random stream that lives across steps: the samples of a step, the
contrastive draws and any dropout follow from (seed, step, process) alone. That makes a run that
was killed and resumed equal, bit for bit on a CPU, to one that was not.
"""

import hashlib
import math
import time
from collections.abc import Iterable, Mapping, Sized
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import (
    broadcast,
    gather_object,
)
from torch import Tensor, nn

from tamperscope.errors import ConfigError, TrainingError
from tamperscope.train import checkpoint as store
from tamperscope.train.batches import (
    Sharding,
    fixed_loader,
    train_loader,
)
from tamperscope.train.config import Recipe, override
from tamperscope.train.ema import Ema
from tamperscope.train.logging import RunLog
from tamperscope.train.meter import Meter, StopRequest
from tamperscope.train.setup import (
    NetworkBuilder,
    SourceBuilder,
    describe_run,
    learning_rate,
    make_accelerator,
    make_optimizer,
    named_builder,
    resume_point,
)
from tamperscope.train.task_config import MINIMISED
from tamperscope.train.tasks import make_task
from tamperscope.train.tasks.base import Record, as_outputs
from tamperscope.train.validate import validate
from tamperscope.weights.load import load_strict, load_weights


@dataclass(frozen=True, kw_only=True)
class TrainReport:
    """How a call of :func:`run_training` ended.

    Attributes:
        run_dir: the run folder.
        samples, steps: done in total, earlier calls included.
        finished: False after a stop signal.
        best_metric, best_value, best_samples: the best validation; value None before the first one.
        metrics: numbers of the last validation.
        checkpoint: the newest checkpoint folder.
        seconds: wall-clock seconds of this call.
    """

    run_dir: Path
    samples: int
    steps: int
    finished: bool
    best_metric: str
    best_value: float | None
    best_samples: int
    metrics: dict[str, float]
    checkpoint: Path
    seconds: float


def run_training(
    recipe: Recipe,
    *,
    data_root: str | Path,
    output: str | Path,
    resume: str | Path = "auto",
    overrides: Iterable[str] = (),
    network_builder: NetworkBuilder | None = None,
    source_builder: SourceBuilder | None = None,
) -> TrainReport:
    """Train until the recipe's last sample, or until SIGINT or SIGTERM asks for a clean stop.

    Args:
        recipe: see :func:`tamperscope.train.config.load_recipe`.
        data_root: folder of photos the forgeries are made from, or of the task's data set.
        output: the run folder (made if needed; its files are described in ``checkpoint``).
        resume: ``auto`` goes on from the newest checkpoint of ``output`` and starts afresh without
            one; ``never`` refuses a folder that has one; a path (of a checkpoint or run folder)
            takes its weights, optimizer and sample count and goes on with this recipe, whatever it
            was before.
        overrides: ``"table.key=value"`` items on top of the recipe.
        network_builder: ``model.config`` -> network, instead of the one the recipe names. For the
            task focal its ``forward(x)`` takes (B, 3, h, w) in [0, 1] and returns a dict with
            ``features`` (B, C, h', w') and optionally ``evidence`` (B, 1, h', w') logits; for
            dolos see ``tamperscope.methods.dolos.network``.
        source_builder: ``(recipe, data_root, "train" | "val")`` -> samples, instead of the task's.

    Raises:
        ConfigError: an impossible recipe, or a run folder that belongs to another recipe.
        TrainingError: a loss or gradient that is not finite, or a checkpoint that cannot be used.
    """
    recipe = override(recipe, overrides)
    accelerator = make_accelerator(recipe)
    if recipe.run.threads:
        torch.set_num_threads(recipe.run.threads)
    try:
        trainer = _Trainer(
            recipe,
            accelerator,
            data_root=Path(data_root),
            run_dir=Path(output),
            resume=resume,
            network_builder=network_builder or named_builder(recipe.model.network),
            source_builder=source_builder,
        )
        return trainer.run()
    finally:
        if accelerator.num_processes == 1:
            # accelerate's state is global; the next run in this process may want another precision.
            AcceleratorState._reset_state(True)


@dataclass(kw_only=True)
class _Progress:
    """All of a run's state besides weights and optimizer; plain values, saved as they are."""

    samples: int = 0
    steps: int = 0
    best_value: float | None = None
    best_samples: int = 0
    bad_validations: int = 0
    plateau_scale: float = 1.0
    bn_frozen: bool = False
    validated_at: int = -1
    metrics: dict[str, float] = field(default_factory=dict)


class _Trainer:
    def __init__(
        self,
        recipe: Recipe,
        accelerator: Accelerator,
        *,
        data_root: Path,
        run_dir: Path,
        resume: str | Path,
        network_builder: NetworkBuilder,
        source_builder: SourceBuilder | None,
    ) -> None:
        self.recipe, self.accelerator, self.run_dir = recipe, accelerator, run_dir
        self.task = make_task(recipe)
        self.device = accelerator.device
        self.progress = _Progress()
        self.sharding = Sharding(
            batch_size=recipe.optim.batch_size,
            accumulate=recipe.optim.accumulate,
            world=accelerator.num_processes,
            rank=accelerator.process_index,
        )
        start_from = resume_point(recipe, run_dir, resume)
        self.train_source, self.val_source = (
            source_builder(recipe, data_root, split)
            if source_builder is not None
            else self.task.source(data_root, split)
            for split in ("train", "val")
        )
        self.val_batches: list[Mapping[str, Any]] | None = None

        torch.manual_seed(recipe.run.seed)
        self.network = network_builder(recipe.model.config)
        if recipe.model.init_from and start_from is None:
            load_weights(self.network, recipe.model.init_from)
        self.network.to(self.device)
        if recipe.model.channels_last:
            self.network.to(memory_format=torch.channels_last)
        self.ema = Ema(self.network, recipe.optim.ema_decay) if recipe.optim.ema_decay else None
        optimizer = make_optimizer(self.network, recipe)
        self.model, self.optimizer = accelerator.prepare(self.network, optimizer)
        if start_from is not None:
            self._restore(start_from)

    # ----------------------------------------------------------------- the loop

    def run(self) -> TrainReport:
        recipe, progress, run = self.recipe, self.progress, self.recipe.run
        started = time.perf_counter()
        if self.accelerator.is_main_process:
            describe_run(self.run_dir, recipe, self.accelerator)
        self.accelerator.wait_for_everyone()
        log = RunLog(
            self.run_dir,
            total=recipe.schedule.total_samples,
            samples=progress.samples,
            tensorboard=run.tensorboard,
            active=self.accelerator.is_main_process,
        )
        with log, StopRequest() as stop:
            log.say(self._opening_line())
            finished = self._steps(log, stop)
            if finished and progress.validated_at != progress.samples:
                self._validate(log)
            folder = self._save()
            log.say(
                f"{'finished' if finished else 'stopped on request'}"
                f" after {progress.samples} samples; checkpoint: {folder}"
            )
        return self._report(finished, folder, time.perf_counter() - started)

    def _steps(self, log: RunLog, stop: StopRequest) -> bool:
        """Step until the last sample; False when a signal asked to stop before it."""
        recipe, progress, run = self.recipe, self.progress, self.recipe.run
        meter = Meter()
        batches = iter(self._train_loader())
        self._set_training_mode()
        while progress.samples < recipe.schedule.total_samples:
            before = progress.samples
            terms, lr = self._step(batches, meter)
            meter.add(terms, recipe.optim.batch_size)
            now = progress.samples
            log.advance(now, terms["loss"])
            if _crossed(run.log_every, before, now):
                log.record("train", now, meter.numbers(self.accelerator) | {"lr": lr})
            if _crossed(run.validate_every, before, now):
                with meter.paused():
                    self._validate(log)
            if self._everyone_agrees(stop.requested):
                return False
            if _crossed(run.checkpoint_every, before, now):
                with meter.paused():
                    self._save()
        return True

    def _step(self, batches: Any, meter: Meter) -> tuple[dict[str, Tensor], float]:
        """One optimizer step over all pieces of a batch: the mean terms and the learning rate."""
        recipe, progress = self.recipe, self.progress
        lr = self._learning_rate()
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        generator = self._seed_step()
        pieces = recipe.optim.accumulate
        sums: dict[str, Tensor] = {}
        for piece in range(pieces):
            batch = meter.wait_for(batches)
            with nullcontext() if piece == pieces - 1 else self.accelerator.no_sync(self.model):
                inputs = self.task.network_inputs(batch, self.device, recipe.model.channels_last)
                outputs = as_outputs(self.model(*inputs))
                loss, terms = self.task.objective(outputs, batch, generator)
                self._check_finite(loss, "loss")
                self.accelerator.backward(loss / pieces)
            for name, value in terms.items():
                sums[name] = sums.get(name, torch.zeros_like(value)) + value / pieces
        self._clip()
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.ema is not None:
            self.ema.update(self.network)
        progress.samples += recipe.optim.batch_size
        progress.steps += 1
        return sums, lr

    def _seed_step(self) -> torch.Generator:
        key = f"{self.recipe.run.seed}/{self.progress.steps}/{self.sharding.rank}"
        seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "little")
        torch.manual_seed(seed)
        return torch.Generator().manual_seed(seed)

    def _clip(self) -> None:
        limit = self.recipe.optim.clip_norm or math.inf
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), limit)
        # In fp16 an overflow is part of the game: the scaler skips the step and halves its scale.
        if norm is not None and self.recipe.run.precision != "fp16":
            self._check_finite(norm, "gradient")

    def _check_finite(self, value: Tensor, what: str) -> None:
        number = float(value.detach())
        if not math.isfinite(number):
            raise TrainingError(
                f"the {what} became {number} at step {self.progress.steps}"
                f" ({self.progress.samples} samples): lower optim.lr, lengthen"
                " schedule.warmup_samples or set run.precision=no, and resume from the last"
                " checkpoint"
            )

    def _learning_rate(self) -> float:
        recipe = self.recipe
        lr = learning_rate(
            recipe.schedule, recipe.optim.lr, self.progress.samples, recipe.optim.batch_size
        )
        if recipe.schedule.kind == "plateau" and self.progress.plateau_scale < 1:
            return max(lr * self.progress.plateau_scale, recipe.schedule.min_lr)
        return lr

    def _train_loader(self) -> Iterable[Mapping[str, Any]]:
        data = self.recipe.data
        return train_loader(
            self.train_source,
            self.sharding,
            start=self.progress.samples,
            stop=self.recipe.schedule.total_samples,
            num_workers=data.num_workers,
            prefetch=data.prefetch,
            seed=self.recipe.run.seed,
        )

    def _set_training_mode(self) -> None:
        self.model.train()
        if self.progress.bn_frozen:
            for module in self.network.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()

    def _everyone_agrees(self, stop: bool) -> bool:
        if self.accelerator.num_processes == 1:
            return stop
        flag = torch.tensor(float(stop), device=self.device)
        return bool(self.accelerator.reduce(flag, "sum") > 0)

    # ----------------------------------------------------------------- validation

    def _validate(self, log: RunLog) -> None:
        recipe, progress = self.recipe, self.progress
        evaluated = self.ema.module if self.ema is not None else self.network
        if self.accelerator.num_processes > 1:
            # Data-parallel training keeps batch-norm statistics per process; the saved ones count.
            for buffer in evaluated.buffers():
                broadcast(buffer, from_process=0)
        records: list[Record] = validate(
            evaluated,
            self._validation_batches(),
            self.task,
            device=self.device,
            channels_last=recipe.model.channels_last,
            autocast=self._autocast(),
        )
        if self.accelerator.num_processes > 1:
            records = gather_object(records)
        progress.metrics = self.task.summarize(records)
        progress.validated_at = progress.samples
        log.record("validation", progress.samples, progress.metrics)
        if self._is_best(progress.metrics):
            self._keep_best(evaluated)
        if recipe.model.freeze_bn_after_first_val:
            progress.bn_frozen = True
        self._set_training_mode()

    def _autocast(self) -> AbstractContextManager[Any]:
        kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
        if self.recipe.run.precision == "no":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=kinds[self.recipe.run.precision])

    def _validation_batches(self) -> Iterable[Mapping[str, Any]]:
        if self.val_batches is not None:
            return self.val_batches
        data, split = self.recipe.data, self.sharding
        there = len(self.val_source) if isinstance(self.val_source, Sized) else data.val_samples
        loader = fixed_loader(
            self.val_source,
            list(range(split.rank, min(data.val_samples, there), split.world)),
            size=split.piece,
            num_workers=data.num_workers,
            prefetch=data.prefetch,
        )
        if not data.val_cache:
            return loader
        self.val_batches = list(loader)
        return self.val_batches

    def _is_best(self, metrics: Mapping[str, float]) -> bool:
        """Compare with the best so far; also counts for the plateau schedule."""
        progress, name = self.progress, self.recipe.run.best_metric
        if name not in metrics:
            raise ConfigError(
                f"run.best_metric = {name!r} is defined by no picture of the validation set;"
                f" those that are: {', '.join(metrics)}"
            )
        value = metrics[name]
        sign = -1.0 if name.partition("/")[0] in MINIMISED else 1.0
        if progress.best_value is None or sign * value > sign * progress.best_value:
            progress.best_value, progress.best_samples = value, progress.samples
            progress.bad_validations = 0
            return True
        progress.bad_validations += 1
        if progress.bad_validations > self.recipe.schedule.patience:
            progress.plateau_scale *= self.recipe.schedule.factor
            progress.bad_validations = 0
        return False

    def _keep_best(self, evaluated: nn.Module) -> None:
        if not self.accelerator.is_main_process:
            return
        progress = self.progress
        notes = {
            "samples": progress.samples,
            "steps": progress.steps,
            "averaged": self.ema is not None,
            "metrics": {k: float(f"{v:.6g}") for k, v in progress.metrics.items()},
            "buffers": [name for name, _ in evaluated.named_buffers()],
        }
        store.save_best(self.run_dir, evaluated.state_dict(), notes)

    # ----------------------------------------------------------------- checkpoints

    def _save(self) -> Path:
        progress = self.progress
        folder = self.run_dir / store.FOLDER
        if self.accelerator.is_main_process:
            scaler = self.accelerator.scaler
            state = {
                **asdict(progress),
                "optimizer": self.optimizer.state_dict(),
                "scaler": scaler.state_dict() if scaler is not None else {},
                "ema_updates": self.ema.updates if self.ema is not None else 0,
                "buffers": [name for name, _ in self.network.named_buffers()],
            }
            folder = store.save_checkpoint(
                self.run_dir,
                samples=progress.samples,
                network=self.network.state_dict(),
                ema=self.ema.module.state_dict() if self.ema is not None else None,
                state=state,
            )
            store.prune(self.run_dir, self.recipe.run.keep_checkpoints)
        self.accelerator.wait_for_everyone()
        return folder

    def _restore(self, folder: Path) -> None:
        saved = store.load_checkpoint(folder)
        state = dict(saved.state)
        load_strict(self.network, saved.network, what=str(folder))
        if self.ema is not None:
            load_strict(self.ema.module, saved.ema or saved.network, what=str(folder))
            self.ema.updates = state["ema_updates"]
        self.optimizer.load_state_dict(state["optimizer"])
        # These are settings, not memories: they follow the recipe when that has changed.
        optim = self.recipe.optim
        for group, decay in zip(
            self.optimizer.param_groups, (optim.weight_decay, 0.0), strict=True
        ):
            group.update(weight_decay=decay, betas=optim.betas, eps=optim.eps)
        if self.accelerator.scaler is not None and state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        names = _Progress.__dataclass_fields__
        self.progress = _Progress(**{k: v for k, v in state.items() if k in names})
        self.progress.bn_frozen &= self.recipe.model.freeze_bn_after_first_val
        if folder.resolve().parent.parent != self.run_dir.resolve():
            # The best weights stayed in the other run's folder; this one has to find its own.
            self.progress.best_value, self.progress.best_samples = None, 0
            self.progress.bad_validations = 0

    # ----------------------------------------------------------------- words

    def _opening_line(self) -> str:
        progress, recipe = self.progress, self.recipe
        weights = sum(p.numel() for p in self.network.parameters())
        start = f"resuming after {progress.samples} samples" if progress.samples else "starting"
        return (
            f"{start}: {recipe.model.network}, {weights / 1e6:.2f} M weights,"
            f" {recipe.schedule.total_samples} samples in batches of {recipe.optim.batch_size}"
            f" ({self.sharding.world} process(es) x {self.sharding.accumulate} piece(s)"
            f" x {self.sharding.piece}), {self.device}, precision {recipe.run.precision},"
            f" {torch.get_num_threads()} thread(s)"
        )

    def _report(self, finished: bool, folder: Path, seconds: float) -> TrainReport:
        progress = self.progress
        return TrainReport(
            run_dir=self.run_dir,
            samples=progress.samples,
            steps=progress.steps,
            finished=finished,
            best_metric=self.recipe.run.best_metric,
            best_value=progress.best_value,
            best_samples=progress.best_samples,
            metrics=dict(progress.metrics),
            checkpoint=folder,
            seconds=seconds,
        )


def _crossed(every: int, before: int, now: int) -> bool:
    return every > 0 and before // every != now // every
