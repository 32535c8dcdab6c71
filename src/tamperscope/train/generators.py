"""Trains the small generators of ``tamperscope.data.generators`` on faces with parsing labels.

    python -m tamperscope.train.generators generator-transposed --faces FACES --output RUN

FACES is a folder in one of the layouts of ``tamperscope.data.faces.celebamask``. Only faces of the
training split are learnt from; the validation split gives the numbers. A run that was interrupted
goes on from its last checkpoint, with the same samples as if it had not been.
"""

import argparse
import json
import math
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Protocol, cast, get_args

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from tamperscope.data.generators.decoders import RegionDecoder, Upsampling
from tamperscope.data.generators.diffusion import Denoiser
from tamperscope.data.generators.latent import LatentPainter
from tamperscope.data.generators.samples import SIZE, FaceSamples
from tamperscope.errors import ConfigError, TamperscopeError, TrainingError, unknown
from tamperscope.losses.texture import laplacian_loss, spectrum_loss
from tamperscope.train import checkpoint as store
from tamperscope.train.ema import Ema
from tamperscope.train.logging import RunLog
from tamperscope.train.meter import StopRequest

NetworkName = Literal["transposed", "nearest", "shuffle", "latent", "diffusion"]
NETWORKS: tuple[NetworkName, ...] = get_args(NetworkName)


@dataclass(frozen=True, kw_only=True)
class GeneratorRecipe:
    """Settings of a run.

    Attributes:
        network: which generator.
        total_samples, batch_size: pictures seen in all, and per step.
        lr, warmup_samples: of Adam, decaying to 2 % along a cosine after the warm-up.
        ema_decay: of the averaged weights, which are the ones exported.
        init_from: run folder or weights file; layers of equal name and shape start from it.
        whole_share: share of samples whose mask covers everything.
        region_weight: extra weight of the absolute error inside the mask.
        laplacian: weight of the error of three Laplacian pyramid levels.
        spectrum: weight of the error of log magnitudes of local spectra (16 x 16).
        adversarial, adversarial_from: weight of the hinge loss of a small patch discriminator, and
            the sample from which it counts.
        discriminator_lr: its Adam's learning rate.
        precision: ``bf16`` (autocast) or ``no``.
        seed, threads, log_every, validate_every, checkpoint_every: as in other recipes, in samples.
        validation_samples: fixed samples of held-back faces that a validation looks at.
    """

    network: NetworkName
    total_samples: int
    batch_size: int = 8
    lr: float = 1e-3
    warmup_samples: int = 200
    ema_decay: float = 0.997
    init_from: str = ""
    whole_share: float = 0.3
    region_weight: float = 1.0
    laplacian: float = 1.0
    spectrum: float = 0.15
    adversarial: float = 0.05
    adversarial_from: int = 1500
    discriminator_lr: float = 2e-4
    precision: Literal["bf16", "no"] = "bf16"
    seed: int = 1
    threads: int = 1
    log_every: int = 400
    validate_every: int = 2000
    checkpoint_every: int = 1000
    validation_samples: int = 48

    def __post_init__(self) -> None:
        if self.network not in NETWORKS:
            raise unknown("generator network", self.network, NETWORKS)
        positive = ("total_samples", "batch_size", "lr", "log_every", "checkpoint_every")
        for name in (*positive, "validate_every", "warmup_samples", "validation_samples"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} must be positive, not {getattr(self, name)}")
        if not 0 <= self.whole_share <= 1:
            raise ConfigError(f"whole_share must be in [0, 1], not {self.whole_share}")
        if self.precision not in ("bf16", "no"):
            raise ConfigError(f"precision must be bf16 or no, not {self.precision!r}")


def load_generator_recipe(name: str | Path, overrides: Sequence[str] = ()) -> GeneratorRecipe:
    """Read a recipe: a ``.toml`` file or the name of one that comes with the package.

    Args:
        name: e.g. ``generator-transposed``.
        overrides: ``"key=value"`` items on top.

    Raises:
        ConfigError: no such recipe, an unknown key, or an impossible value.
    """
    folder = resources.files("tamperscope.train") / "recipes" / "generators"
    known = sorted(f.name.removesuffix(".toml") for f in folder.iterdir())
    if Path(name).is_file():
        text = Path(name).read_text(encoding="utf-8")
    elif str(name) in known:
        text = (folder / f"{name}.toml").read_text(encoding="utf-8")
    else:
        raise ConfigError(
            f"no recipe {str(name)!r}; give a .toml file or one of: {', '.join(known)}"
        )
    try:
        values: dict[str, Any] = tomllib.loads(text)
        for item in overrides:
            key, _, value = item.partition("=")
            values[key.strip()] = _toml_value(value)
        return _strict(values)
    except (tomllib.TOMLDecodeError, TypeError) as error:
        raise ConfigError(f"cannot read the recipe {name}: {error}") from error


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        return text


def _strict(values: Mapping[str, Any]) -> GeneratorRecipe:
    known = {f.name for f in fields(GeneratorRecipe)}
    strange = sorted(set(values) - known)
    if strange:
        raise ConfigError(f"unknown key {strange[0]!r} in the recipe; known: {', '.join(known)}")
    return GeneratorRecipe(**values)


# --------------------------------------------------------------------------- objectives


class Painting(Protocol):
    """A network trained to re-create pictures; see `RegionDecoder`."""

    def __call__(self, pictures: Tensor, masks: Tensor, noise: Tensor) -> Tensor: ...

    def draw_noise(
        self, generator: torch.Generator, batch: int, height: int, width: int
    ) -> Tensor: ...


class PatchDiscriminator(nn.Module):
    """Real or made, patch by patch: (B, 3, h, w) -> (B, 1, h/8, w/8) logits."""

    def __init__(self) -> None:
        super().__init__()
        normed = nn.utils.parametrizations.spectral_norm
        self.layers = nn.Sequential(
            normed(nn.Conv2d(3, 32, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
            normed(nn.Conv2d(32, 64, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
            normed(nn.Conv2d(64, 96, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
            normed(nn.Conv2d(96, 96, 3, padding=1)),
            nn.LeakyReLU(0.2),
            nn.Conv2d(96, 1, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.layers(x))


def _adversarial_step(run: "_Run", pictures: Tensor, masks: Tensor) -> dict[str, float]:
    """One step of the generator and one of the discriminator."""
    recipe = run.recipe
    noise = cast(Painting, run.network).draw_noise(run.random, len(pictures), SIZE, SIZE)
    with run.autocast():
        output = run.network(pictures, masks, noise)
    output = output.float()
    terms = {
        "l1": (output - pictures).abs().mean(),
        "region": ((output - pictures).abs() * masks).sum() / (3 * masks.sum()).clamp(min=1),
        "laplacian": laplacian_loss(output, pictures),
        "spectrum": spectrum_loss(output, pictures),
    }
    weights = (1.0, recipe.region_weight, recipe.laplacian, recipe.spectrum)
    loss = sum((w * t for w, t in zip(weights, terms.values(), strict=True)), output.new_zeros(()))
    # A whole-image generator shows the discriminator all it made, the others only the region.
    shown = output if run.whole_image else torch.lerp(pictures, output, masks)
    if recipe.adversarial and run.samples >= recipe.adversarial_from:
        run.discriminator.requires_grad_(False)
        with run.autocast():
            fooled = run.discriminator(shown)
        terms["fool"] = -fooled.float().mean()
        loss = loss + recipe.adversarial * terms["fool"]
        run.discriminator.requires_grad_(True)
    run.step(run.optimizer, loss, run.network)
    if recipe.adversarial:
        terms["discriminator"] = _discriminator_step(run, pictures, shown.detach())
    return {name: float(term.detach()) for name, term in terms.items()}


def _discriminator_step(run: "_Run", real: Tensor, made: Tensor) -> Tensor:
    with run.autocast():
        scores = run.discriminator(torch.cat([real, made])).float()
    on_real, on_made = scores.chunk(2)
    loss = (F.relu(1 - on_real).mean() + F.relu(1 + on_made).mean()) / 2
    run.step(run.discriminator_optimizer, loss, run.discriminator)
    return loss.detach()


def _denoising_step(run: "_Run", pictures: Tensor, masks: Tensor) -> dict[str, float]:
    """One step of a network that has its own objective."""
    with run.autocast():
        loss = cast(Denoiser, run.network).training_loss(pictures, masks, run.random)
    run.step(run.optimizer, loss, run.network)
    return {"denoising": float(loss.detach())}


# --------------------------------------------------------------------------- the run


def build_generator_network(name: str) -> nn.Module:
    """A freshly initialised network of one of `NETWORKS`."""
    if name == "latent":
        return LatentPainter()
    if name == "diffusion":
        return Denoiser()
    return RegionDecoder(cast(Upsampling, name))


class _Run:
    """A training run: its networks, optimizers, counters and files."""

    def __init__(self, recipe: GeneratorRecipe, faces: Path, run_dir: Path) -> None:
        self.recipe, self.run_dir = recipe, run_dir
        torch.set_num_threads(recipe.threads)
        torch.manual_seed(recipe.seed)
        self.samples = 0
        self.random = torch.Generator()
        last = torch.channels_last
        self.network = build_generator_network(recipe.network).to(memory_format=last)
        self.discriminator = PatchDiscriminator().to(memory_format=last)
        self.whole_image = recipe.network == "latent"
        resumed = store.checkpoints(run_dir)
        if recipe.init_from and not resumed:
            self._start_from(Path(recipe.init_from))
        self.ema = Ema(self.network, recipe.ema_decay)
        self.optimizer = torch.optim.Adam(self.network.parameters(), betas=(0.9, 0.99))
        self.discriminator_optimizer = torch.optim.Adam(
            self.discriminator.parameters(), betas=(0.5, 0.99)
        )
        if resumed:
            self._resume(resumed[-1])
        else:
            run_dir.mkdir(parents=True, exist_ok=True)
            text = json.dumps(asdict(recipe), indent=2)
            store.write_text(run_dir / "recipe.json", text + "\n")
        self.train_faces = FaceSamples(faces, "train", whole_share=recipe.whole_share)
        self.valid_faces = FaceSamples(faces, "valid", whole_share=recipe.whole_share)
        self.do_step = _denoising_step if isinstance(self.network, Denoiser) else _adversarial_step

    def autocast(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.recipe.precision == "bf16")

    def step(self, optimizer: torch.optim.Optimizer, loss: Tensor, network: nn.Module) -> None:
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss became {value} after {self.samples} samples: lower lr and resume"
            )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    def train(self) -> bool:
        """Train to the end; False if a signal asked to stop before."""
        recipe = self.recipe
        log = RunLog(
            self.run_dir,
            total=recipe.total_samples,
            samples=self.samples,
            tensorboard=False,
            active=True,
        )
        sums: dict[str, list[float]] = {}
        with log, StopRequest() as stop:
            while self.samples < recipe.total_samples and not stop.requested:
                before = self.samples
                for name, value in self._one_step().items():
                    sums.setdefault(name, []).append(value)
                log.advance(self.samples, next(iter(sums.values()))[-1])
                if self._crossed(recipe.log_every, before):
                    means = {name: sum(v) / len(v) for name, v in sums.items()}
                    log.record("train", self.samples, means)
                    sums = {}
                if self._crossed(recipe.validate_every, before):
                    log.record("validation", self.samples, self.validate())
                if self._crossed(recipe.checkpoint_every, before):
                    self.save()
            numbers = self.validate()
            log.record("validation", self.samples, numbers)
            self.save()
        self.export(numbers)
        return self.samples >= recipe.total_samples

    def _one_step(self) -> dict[str, float]:
        recipe = self.recipe
        for optimizer, lr in (
            (self.optimizer, recipe.lr),
            (self.discriminator_optimizer, recipe.discriminator_lr),
        ):
            optimizer.param_groups[0]["lr"] = lr * self._rate()
        self.random.manual_seed(recipe.seed * 1_000_003 + self.samples)
        batch = self.train_faces.batch(recipe.seed, self.samples, recipe.batch_size)
        terms = self.do_step(self, *batch)
        self.ema.update(self.network)
        self.samples += recipe.batch_size
        return terms

    def _rate(self) -> float:
        recipe = self.recipe
        warm = min(1.0, (self.samples + recipe.batch_size) / recipe.warmup_samples)
        done = min(1.0, self.samples / recipe.total_samples)
        return warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))

    def _crossed(self, every: int, before: int) -> bool:
        return before // every != self.samples // every

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Mean loss of the denoiser, or PSNR (dB) of regions and whole pictures."""
        numbers: dict[str, list[float]] = {}
        for index in range(self.recipe.validation_samples):
            pictures, masks = self.valid_faces.batch(0, index, 1)
            random = torch.Generator().manual_seed(index)
            for name, value in self._validate_one(pictures, masks, random).items():
                numbers.setdefault(name, []).append(value)
        return {name: sum(values) / len(values) for name, values in numbers.items()}

    def _validate_one(
        self, pictures: Tensor, masks: Tensor, random: torch.Generator
    ) -> dict[str, float]:
        network = self.ema.module
        if isinstance(network, Denoiser):
            return {"denoising": float(network.training_loss(pictures, masks, random))}
        painter = cast(Painting, network)
        noise = torch.zeros_like(painter.draw_noise(random, 1, SIZE, SIZE))
        numbers = {}
        for name, mask in (("region", masks), ("whole", torch.ones_like(masks))):
            gap = painter(pictures, mask, noise).clamp(-1, 1) - pictures
            mean = (gap.square() / 4 * mask).sum() / (3 * mask.sum())
            numbers[f"psnr_{name}"] = -10 * math.log10(max(float(mean), 1e-10))
        return numbers

    # ------------------------------------------------------------------ files

    def save(self) -> None:
        """Write a checkpoint and drop all but the last two."""
        store.save_checkpoint(
            self.run_dir,
            samples=self.samples,
            network=store.plain(self.network.state_dict()),
            ema=store.plain(self.ema.module.state_dict()),
            state={
                "samples": self.samples,
                "recipe": asdict(self.recipe),
                "ema_updates": self.ema.updates,
                "optimizer": self.optimizer.state_dict(),
                "discriminator": self.discriminator.state_dict(),
                "discriminator_optimizer": self.discriminator_optimizer.state_dict(),
            },
        )
        store.prune(self.run_dir, 2)

    def _resume(self, folder: Path) -> None:
        point = store.load_checkpoint(folder)
        if point.state["recipe"]["network"] != self.recipe.network:
            raise ConfigError(
                f"{self.run_dir} is a run of {point.state['recipe']['network']!r}, not of"
                f" {self.recipe.network!r}: give another output folder"
            )
        self.network.load_state_dict(point.network)
        self.ema.module.load_state_dict(point.ema or point.network)
        self.ema.updates = point.state["ema_updates"]
        self.optimizer.load_state_dict(point.state["optimizer"])
        self.discriminator.load_state_dict(point.state["discriminator"])
        self.discriminator_optimizer.load_state_dict(point.state["discriminator_optimizer"])
        self.samples = point.state["samples"]

    def _start_from(self, source: Path) -> None:
        found = store.checkpoints(source)
        if found:
            point = store.load_checkpoint(found[-1])
            weights = point.ema or point.network
            self.discriminator.load_state_dict(point.state["discriminator"])
        elif source.is_file():
            weights = {name: value.float() for name, value in load_file(source).items()}
        else:
            raise ConfigError(f"init_from {source}: neither a run folder nor a weights file")
        own = self.network.state_dict()
        same = {k: v for k, v in weights.items() if k in own and own[k].shape == v.shape}
        if not any(value.ndim > 1 for value in same.values()):
            raise ConfigError(f"init_from {source}: no layer has the name and shape of one here")
        self.network.load_state_dict(same, strict=False)

    def export(self, numbers: Mapping[str, float]) -> Path:
        """Write ``generator.safetensors``: averaged weights in half precision."""
        weights = {k: v.half() for k, v in store.plain(self.ema.module.state_dict()).items()}
        header = {
            "recipe": json.dumps(store.without_folders(asdict(self.recipe))),
            "training": json.dumps({"samples": self.samples, **numbers}),
        }
        path = self.run_dir / "generator.safetensors"
        store.write_weights(path, weights, header)
        return path


def train_generator(recipe: GeneratorRecipe, *, faces: str | Path, output: str | Path) -> bool:
    """Train a generator, or go on with an interrupted run; False if a signal stopped it.

    Args:
        recipe: see `load_generator_recipe`.
        faces: folder with ``images`` and ``masks``.
        output: run folder: checkpoints, ``log.jsonl``, and ``generator.safetensors`` at the end.

    Raises:
        ConfigError: the folder belongs to another network.
        DataError: no faces.
        TrainingError: a loss that is not finite.
    """
    return _Run(recipe, Path(faces), Path(output)).train()


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 finished, 3 stopped by a signal, 1 on an error."""
    parser = argparse.ArgumentParser(
        prog="python -m tamperscope.train.generators",
        description="Train a generator of local manipulations. Interrupted runs go on.",
    )
    parser.add_argument("recipe", help="a .toml file or a recipe's name, e.g. generator-shuffle")
    parser.add_argument("--faces", required=True, help="folder with images/ and masks/")
    parser.add_argument("--output", "-o", required=True, help="run folder")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args(arguments)
    try:
        recipe = load_generator_recipe(options.recipe, options.set)
        finished = train_generator(recipe, faces=options.faces, output=options.output)
    except TamperscopeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0 if finished else 3


if __name__ == "__main__":
    sys.exit(main())
