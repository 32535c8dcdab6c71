"""Inpainting with diffusion models of the ``diffusers`` library: any hub id or local folder.

A model works at the size of the pictures; it does best at the size it was trained for
(``--set size=512`` when building a set). Hub ids are downloaded by ``diffusers`` on first use.
"""

import inspect
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tamperscope.data.generators._running import paint_each
from tamperscope.data.generators.base import (
    Family,
    check_masks,
    check_seed,
    everywhere,
    keep_outside,
)
from tamperscope.errors import (
    ConfigError,
    MissingExtraError,
    WeightsNotFoundError,
    missing_extra,
)


class RePaintGenerator:
    """RePaint (Lugmayr et al., CVPR 2022) with an unconditional diffusion model of pixels.

    The model fills the region while the known pixels, noised to the same level, are put back at
    every step; every few steps the sampling jumps back and repeats, so that both agree. With a
    mask of everything it samples a new picture.
    """

    family: Family = "diffusion"
    whole_image = False

    def __init__(
        self,
        model: str | Path,
        *,
        device: str = "cpu",
        steps: int = 250,
        jump_length: int = 10,
        jump_samples: int = 10,
        eta: float = 0.0,
    ) -> None:
        """Load a model.

        Args:
            model: hub id, or folder written by ``save_pretrained``, of a pipeline with a ``unet``
                and a ``scheduler``, such as ``google/ddpm-celebahq-256``.
            device: a torch device.
            steps: denoising steps; the paper's 250 take minutes per picture without a GPU.
            jump_length, jump_samples: how far each jump back goes, and how often the way is gone.
            eta: 0 samples as DDIM, 1 as DDPM.

        Raises:
            MissingExtraError: ``diffusers`` is not installed.
            WeightsNotFoundError: the model cannot be loaded.
            ConfigError: a setting out of range, or a model that predicts something else than noise.
        """
        self.name = "diffusers-repaint"
        self._sampler = _Sampler(
            _load(str(model), device), steps, jump_length, jump_samples, float(eta)
        )
        self._device = torch.device(device)

    def inpaint(
        self, images: NDArray[np.uint8], masks: NDArray[np.bool_], *, seed: int
    ) -> NDArray[np.uint8]:
        """See `Generator.inpaint`."""
        check_masks(images, masks)
        return keep_outside(images, self._sample(images, masks, check_seed(seed)), masks)

    def regenerate(self, images: NDArray[np.uint8], *, seed: int) -> NDArray[np.uint8]:
        """See `Generator.regenerate`; nothing of the picture is left but its size."""
        return self._sample(images, everywhere(images), check_seed(seed))

    def _sample(
        self, images: NDArray[np.uint8], masks: NDArray[np.bool_], seed: int
    ) -> NDArray[np.uint8]:
        return paint_each(
            images,
            masks,
            self._sampler,
            seed=seed,
            stride=self._sampler.stride,
            device=self._device,
        )


class LatentDiffusionGenerator:
    """Inpainting in the latent space of an autoencoder (Rombach et al., CVPR 2022).

    The whole picture passes through the decoder, so every pixel differs a little. Two kinds of
    models are understood: unconditional ones (an autoencoder, a ``unet`` and a ``scheduler``, such
    as ``CompVis/ldm-celebahq-256``) are sampled as by RePaint, on latents; pipelines made for
    inpainting, which take ``image`` and ``mask_image``, are called with ``prompt``.
    """

    family: Family = "latent"
    whole_image = True

    def __init__(
        self,
        model: str | Path,
        *,
        device: str = "cpu",
        steps: int = 50,
        jump_length: int = 10,
        jump_samples: int = 10,
        eta: float = 0.0,
        prompt: str = "a photo of a face",
    ) -> None:
        """Load a model; arguments and errors as for `RePaintGenerator`.

        Args:
            model, device, steps, jump_length, jump_samples, eta: see there.
            prompt: what inpainting pipelines are told; no effect on unconditional models.
        """
        self.name = "diffusers-ldm"
        pipeline = _load(str(model), device)
        self._device = torch.device(device)
        self._painter: _LatentSampler | _PipelinePainter
        if _is_inpainting(pipeline):
            self._painter = _PipelinePainter(pipeline, steps, prompt)
        else:
            sampler = _Sampler(pipeline, steps, jump_length, jump_samples, float(eta))
            self._painter = _LatentSampler(_autoencoder(pipeline, str(model)), sampler)

    def inpaint(
        self, images: NDArray[np.uint8], masks: NDArray[np.bool_], *, seed: int
    ) -> NDArray[np.uint8]:
        """See `Generator.inpaint`."""
        check_masks(images, masks)
        return paint_each(
            images,
            masks,
            self._painter,
            seed=check_seed(seed),
            stride=self._painter.stride,
            device=self._device,
        )

    def regenerate(self, images: NDArray[np.uint8], *, seed: int) -> NDArray[np.uint8]:
        """See `Generator.regenerate`; nothing of the picture is left but its size."""
        return self.inpaint(images, everywhere(images), seed=seed)


class _Sampler:
    """RePaint's algorithm 1 on (1, C, h, w): pictures in [-1, 1] or latents."""

    def __init__(
        self, pipeline: Any, steps: int, jump_length: int, jump_samples: int, eta: float
    ) -> None:
        for name, value in (
            ("steps", steps),
            ("jump_length", jump_length),
            ("jump_samples", jump_samples),
        ):
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name} must be a whole number of at least 1, not {value!r}")
        if not 0 <= eta <= 1:
            raise ConfigError(f"eta must be in [0, 1], not {eta}")
        predicts = pipeline.scheduler.config.get("prediction_type", "epsilon")
        if predicts != "epsilon":
            raise ConfigError(f"RePaint needs a model that predicts noise, not {predicts!r}")
        self._unet = pipeline.unet
        scheduler = _library().RePaintScheduler
        self._scheduler = scheduler.from_config(pipeline.scheduler.config, eta=eta)
        self._scheduler.set_timesteps(steps, jump_length, jump_samples)
        self.stride = 2 ** (len(self._unet.config.block_out_channels) - 1)

    def __call__(self, known: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
        """Fill ``known`` where ``mask`` (1, 1, h, w) is 1."""
        scheduler = self._scheduler
        x: Tensor = torch.randn(known.shape, generator=generator).to(known.device)
        last = int(scheduler.timesteps[0]) + 1
        for step in scheduler.timesteps:
            t = int(step)
            if t < last:
                # A model that also predicts variances has them in further channels.
                noise = self._unet(x, t).sample[:, : known.shape[1]]
                x = scheduler.step(noise, t, x, known, 1 - mask, generator).prev_sample
            else:
                x = scheduler.undo_step(x, last, generator)
            last = t
        return x


class _LatentSampler:
    """`_Sampler` between the two halves of an autoencoder."""

    def __init__(self, autoencoder: Any, sampler: _Sampler) -> None:
        self._autoencoder = autoencoder
        self._sampler = sampler
        self._scale = float(autoencoder.config.get("scaling_factor", 1.0))
        self._cell = 2 ** (len(autoencoder.config.block_out_channels) - 1)
        self.stride = self._cell * sampler.stride

    def __call__(self, picture: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
        code = self._autoencoder.encode(picture)
        latents = code.latents if hasattr(code, "latents") else code.latent_dist.mode()
        # A cell with a single pixel of the region is made anew as a whole.
        cells = F.max_pool2d(mask, self._cell)
        made = self._sampler(latents * self._scale, cells, generator)
        return cast(Tensor, self._autoencoder.decode(made / self._scale).sample)


class _PipelinePainter:
    """A pipeline that takes a picture and a mask."""

    def __init__(self, pipeline: Any, steps: int, prompt: str) -> None:
        self._pipeline = pipeline
        self._options = {"num_inference_steps": steps, "prompt": prompt}
        self.stride = 8 * 2 ** (len(pipeline.unet.config.block_out_channels) - 1)

    def __call__(self, picture: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
        made = self._pipeline(
            image=(picture + 1) / 2,
            mask_image=mask,
            height=picture.shape[2],
            width=picture.shape[3],
            generator=generator,
            output_type="pt",
            **self._options,
        ).images
        return cast(Tensor, made * 2 - 1)


def _is_inpainting(pipeline: Any) -> bool:
    return "mask_image" in inspect.signature(pipeline.__call__).parameters


def _autoencoder(pipeline: Any, model: str) -> Any:
    for name in ("vqvae", "vae"):
        if getattr(pipeline, name, None) is not None:
            return getattr(pipeline, name)
    raise ConfigError(
        f"diffusers model {model!r} has no autoencoder: use it as diffusers-repaint:{model}"
    )


def _library() -> Any:
    try:
        return import_module("diffusers")
    except ImportError as error:
        raise missing_extra("inpainting with diffusion models", "diffusers") from error


def _load(model: str, device: str) -> Any:
    diffusers = _library()
    with warnings.catch_warnings():
        # What the library plans for its own classes is no matter of the person who builds a set.
        warnings.simplefilter("ignore")
        try:
            pipeline = diffusers.DiffusionPipeline.from_pretrained(model)
        except ImportError as error:
            raise MissingExtraError(
                f"diffusers model {model!r} needs another package: {_line(error)}"
            ) from error
        except (OSError, ValueError, AttributeError) as error:
            raise WeightsNotFoundError(
                f"diffusers model {model!r} cannot be loaded ({_line(error)}): give a hub id such "
                "as google/ddpm-celebahq-256, or a folder written by save_pretrained"
            ) from error
    if getattr(pipeline, "unet", None) is None or getattr(pipeline, "scheduler", None) is None:
        raise ConfigError(
            f"diffusers model {model!r} is a {type(pipeline).__name__} without unet or scheduler: "
            "give a diffusion model with both"
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
