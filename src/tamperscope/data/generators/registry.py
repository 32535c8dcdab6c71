"""The literal list of generators, and one function to load any of them by name.

==========================  =====================================================================
name                        what fills the region
==========================  =====================================================================
``telea``, ``ns``           OpenCV; see `classical`
``transposed``,             small decoders that differ in their upsampling; see `decoders`
``nearest``, ``shuffle``
``diffusion``, ``latent``   a small diffusion inpainter; a re-encoding autoencoder
``diffusers-repaint:MODEL`` RePaint with a diffusion model of a hub id or a local folder
``diffusers-ldm:MODEL``     a latent diffusion model, likewise
``onnx:FILE``,              an exported inpainting network; see `exported`
``torchscript:FILE``
==========================  =====================================================================
"""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tamperscope.data.generators.base import Generator
from tamperscope.errors import ConfigError, unknown

_Builder = Callable[..., Generator]


def _classical(name: str) -> _Builder:
    from tamperscope.data.generators.classical import ClassicalInpainter

    def build(*, weights: str | None, device: str, radius: float = 3.0) -> Generator:
        _no_weights(name, weights)
        return ClassicalInpainter("telea" if name == "telea" else "ns", radius=radius)

    return build


def _decoder(name: str) -> _Builder:
    from tamperscope.data.generators.decoders import UPSAMPLINGS, DecoderGenerator

    upsampling = next(kind for kind in UPSAMPLINGS if kind == name)

    def build(*, weights: str | None, device: str) -> Generator:
        return DecoderGenerator(upsampling, weights=weights, device=device)

    return build


def _diffusion(name: str) -> _Builder:
    from tamperscope.data.generators.diffusion import DiffusionGenerator

    return DiffusionGenerator


def _latent(name: str) -> _Builder:
    from tamperscope.data.generators.latent import LatentGenerator

    return LatentGenerator


def _diffusers(name: str) -> _Builder:
    from tamperscope.data.generators.diffusers_models import (
        LatentDiffusionGenerator,
        RePaintGenerator,
    )

    make = RePaintGenerator if name == "diffusers-repaint" else LatentDiffusionGenerator
    return _with_model(name, make, "a hub id or a folder")


def _exported(name: str) -> _Builder:
    from tamperscope.data.generators.exported import OnnxGenerator, TorchScriptGenerator

    make = OnnxGenerator if name == "onnx" else TorchScriptGenerator
    return _with_model(name, make, "a file")


def _with_model(name: str, make: Callable[..., Generator], what: str) -> _Builder:
    def build(*, weights: str | None, device: str, **options: Any) -> Generator:
        if weights is None:
            raise ConfigError(f"generator {name!r} needs {what}: write {name}:MODEL")
        return make(weights, device=device, **options)

    build.__signature__ = inspect.signature(make)  # type: ignore[attr-defined]
    return build


_FAMILIES: Mapping[str, Callable[[str], _Builder]] = MappingProxyType(
    {
        "telea": _classical,
        "ns": _classical,
        "transposed": _decoder,
        "nearest": _decoder,
        "shuffle": _decoder,
        "diffusion": _diffusion,
        "latent": _latent,
        "diffusers-repaint": _diffusers,
        "diffusers-ldm": _diffusers,
        "onnx": _exported,
        "torchscript": _exported,
    }
)

GENERATORS: tuple[str, ...] = tuple(_FAMILIES)
"""Names that `load_generator` takes."""

_SHIPPED = Path(__file__).parent / "weights"
_TAKE_MODEL = frozenset({"diffusers-repaint", "diffusers-ldm", "onnx", "torchscript"})
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
WHOLE = "-whole"
"""Ending of the folders of wholly regenerated pictures; no generator may be called so."""


def load_generator(
    name_or_spec: str,
    *,
    weights: str | Path | None = None,
    device: str = "cpu",
    options: Mapping[str, Any] | None = None,
) -> Generator:
    """The generator of a name, such as ``telea`` or ``onnx:lama.onnx``.

    Args:
        name_or_spec: a name of `GENERATORS`; the model of an external one follows a colon.
        weights: a file in place of the shipped one; for an external generator, its model.
        device: a torch device, for the generators that are networks.
        options: settings of the generator, as in its constructor.

    Raises:
        UnknownNameError: no such generator.
        ConfigError: an option it does not have, two models, or none where one is needed.
        MissingExtraError: it needs a package that is not installed.
        WeightsNotFoundError, WeightsMismatchError: no such file, or not this generator's.
    """
    name, model = _split_spec(name_or_spec)
    if model is not None and weights is not None:
        raise ConfigError(f"generator {name!r} has two models, {model} and {weights}: give one")
    chosen = model if model is not None else None if weights is None else str(weights)
    build = _FAMILIES[name](name)
    known = _options_of(build)
    for option in options or {}:
        if option not in known:
            raise unknown(f"option of generator {name!r}", option, known)
    return build(weights=chosen, device=device, **(options or {}))


def _split_spec(spec: str) -> tuple[str, str | None]:
    name, colon, model = spec.partition(":")
    if name not in _FAMILIES:
        raise unknown("generator", name, GENERATORS)
    if not colon:
        return name, None
    if name not in _TAKE_MODEL:
        raise ConfigError(f"generator {name!r} takes no model after a colon: give it as weights")
    if not model:
        raise ConfigError(f"generator {spec!r} names no model: write {name}:MODEL")
    return name, model


def _options_of(build: _Builder) -> list[str]:
    parameters = inspect.signature(build).parameters.values()
    named = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    return [name for name in named if name not in ("weights", "device")]


def _no_weights(name: str, weights: str | None) -> None:
    if weights is not None:
        raise ConfigError(f"generator {name!r} has no weights: leave {weights} away")


@dataclass(frozen=True, kw_only=True)
class GeneratorChoice:
    """What to load, and the name its pictures go under; can be sent to another process."""

    label: str
    spec: str
    weights: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _split_spec(self.spec)
        if not _LABEL.fullmatch(self.label) or self.label.endswith((WHOLE, ".part")):
            raise ConfigError(
                f"{self.label!r} cannot name a folder of pictures: use letters, digits, '.', '_' "
                f"and '-', and no ending {WHOLE!r}"
            )

    @property
    def model_file(self) -> Path | None:
        """The file or folder it is loaded from, shipped or given, if it is on this machine."""
        name, model = _split_spec(self.spec)
        given = self.weights if self.weights is not None else model
        path = Path(given) if given is not None else _SHIPPED / f"{name}.safetensors"
        return path if path.exists() else None

    def load(self, device: str = "cpu") -> Generator:
        """See `load_generator`."""
        return load_generator(
            self.spec, weights=self.weights, device=device, options=dict(self.options)
        )


def parse_choice(
    text: str,
    *,
    weights: Mapping[str, str] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> GeneratorChoice:
    """A generator as typed: ``NAME``, ``NAME:MODEL`` or, under a label, ``LABEL=NAME:MODEL``.

    Args:
        text: what was typed. Without a label, a file's stem joins the name: ``onnx-lama``.
        weights: label -> file.
        options: label -> settings.

    Raises:
        UnknownNameError, ConfigError: as for `load_generator`; or a label unfit for a folder.
    """
    label, equals, spec = text.partition("=")
    if not equals or ":" in label:
        label, spec = "", text
    name, model = _split_spec(spec)
    if not label:
        file = model is not None and name in ("onnx", "torchscript")
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(model or "").stem)
        label = f"{name}-{stem}"[:64] if file else name
    return GeneratorChoice(
        label=label,
        spec=spec,
        weights=(weights or {}).get(label),
        options=(options or {}).get(label, {}),
    )
