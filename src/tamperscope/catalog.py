"""The literal list of methods. Adding a method is a folder in ``methods/`` and an entry here."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from tamperscope.errors import ConfigError, unknown
from tamperscope.image import DEFAULT_MAX_PIXELS, ImageSource
from tamperscope.localizer import Localizer, MethodCard
from tamperscope.result import Localization, MapKind

if TYPE_CHECKING:
    from torch import nn

    from tamperscope.engines import Engine

WeightsChoice: TypeAlias = "str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None"
OnnxChoice: TypeAlias = "str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None"

ENGINES = ("torch", "onnx")
"""What can run the networks."""


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """What `load` was asked for, as every builder receives it."""

    preset: str
    weights: WeightsChoice
    """A name from the weights list or a file, several to fuse, None for the preset's own."""
    device: str
    precision: str
    max_pixels: int
    config: dict[str, Any]
    """Overrides of single fields of the method's configuration."""
    engine: "Engine | None" = None
    """What runs the networks; None for PyTorch itself."""


Builder: TypeAlias = Callable[[MethodCard, LoadOptions], Localizer]


@dataclass(frozen=True)
class _Entry:
    card: MethodCard
    build: Builder


def _build_focal(card: MethodCard, options: LoadOptions) -> Localizer:
    from tamperscope.methods.focal.localizer import build

    return build(
        card,
        preset=options.preset,
        weights=options.weights,
        device=options.device,
        precision=options.precision,
        max_pixels=options.max_pixels,
        options=options.config,
        engine=options.engine,
    )


def _build_dolos(card: MethodCard, options: LoadOptions) -> Localizer:
    from tamperscope.methods.dolos.localizer import build

    return build(
        card,
        preset=options.preset,
        weights=options.weights,
        device=options.device,
        precision=options.precision,
        max_pixels=options.max_pixels,
        options=options.config,
        engine=options.engine,
    )


def _build_fakelocator(card: MethodCard, options: LoadOptions) -> Localizer:
    from tamperscope.methods.fakelocator.localizer import build

    return build(
        card,
        preset=options.preset,
        weights=options.weights,
        device=options.device,
        precision=options.precision,
        max_pixels=options.max_pixels,
        options=options.config,
        engine=options.engine,
    )


_DOLOS_PAPER = (
    "Tantaru, Oneata, Oneata: Weakly-supervised deepfake localization in diffusion-generated "
    "images, WACV 2024"
)
_DOLOS_LIMITS = (
    "It finds the traces of generators it was trained on, in faces that fill the picture: another "
    "generator, another subject, or a picture that was resized or compressed since may leave it "
    "blind or have it flag what is real. "
)
_TRAINED_ON_FAKES = (
    "As published it is trained on fakes alone, so that a mask does not mean that the picture is "
    "one. Its mask is a lead for an examiner, not proof."
)
_FROM_LABELS = (
    "It was never shown which part is fake: its mask is rougher than one learned from masks, a "
    "lead for an examiner and not proof."
)


def _dolos(
    name: str,
    title: str,
    summary: str,
    *,
    weak: bool,
    weights: tuple[str, ...] = (),
    kind: MapKind = MapKind.PROBABILITY,
    limits: str = "",
) -> _Entry:
    return _Entry(
        MethodCard(
            name=name,
            title=title,
            paper=_DOLOS_PAPER,
            map_kind=kind,
            summary=summary,
            limits=_DOLOS_LIMITS + limits + (_FROM_LABELS if weak else _TRAINED_ON_FAKES),
            weights=(name, *weights),
            presets=("default", "as-published", "clustered"),
            faces=True,
        ),
        _build_dolos,
    )


_ENTRIES = (
    _Entry(
        MethodCard(
            name="focal",
            title="FOCAL",
            paper=(
                "Wu, Chen, Zhou: Rethinking Image Forgery Detection via Soft Contrastive Learning "
                "and Unsupervised Clustering (FOCAL), arXiv:2308.09307"
            ),
            map_kind=MapKind.PROBABILITY,
            summary=(
                "Features learned by contrast between pristine and forged pixels of the same "
                "picture are clustered, by default from where the network sees evidence of "
                "forgery; one of the clusters is called forged."
            ),
            limits=(
                "It compares regions of one picture with each other: a picture that was generated "
                "or edited as a whole has nothing to compare with. Its probabilities were fitted "
                "on made forgeries, forged and pristine pixels counting alike: they rank places "
                "rather than state a chance. Its mask is a lead for an examiner, not proof."
            ),
            weights=("focal-compact", "focal-hrnet-released", "focal-vit-released"),
            presets=("default", "locate", "fast", "as-released", "as-published"),
        ),
        _build_focal,
    ),
    _dolos(
        "dolos-patches",
        "DOLOS Patches, from masks",
        "A shallow network judges every small patch of a face by itself, learned from masks of "
        "partly regenerated faces.",
        weak=False,
        weights=("dolos-patches-released",),
    ),
    _dolos(
        "dolos-patches-weak",
        "DOLOS Patches, from labels",
        "A shallow network judges every small patch of a face by itself, learned only from which "
        "pictures are real and which fake.",
        weak=True,
        weights=("dolos-patches-weak-released",),
    ),
    _dolos(
        "dolos-attention",
        "DOLOS Attention, from masks",
        "A map in the middle of a face classifier that says where to look, learned from masks of "
        "partly regenerated faces.",
        weak=False,
    ),
    _dolos(
        "dolos-attention-weak",
        "DOLOS Attention, from labels",
        "A map in the middle of a face classifier that says where to look, learned only from which "
        "pictures are real and which fake.",
        weak=True,
        weights=("ffd-xcp-reg",),
    ),
    _dolos(
        "dolos-gradcam",
        "DOLOS Grad-CAM's network, from masks",
        "A deep face classifier cut open and given a map for an output, learned from masks of "
        "partly regenerated faces: what Grad-CAM's network can do when it is shown masks.",
        weak=False,
    ),
    _dolos(
        "dolos-gradcam-weak",
        "DOLOS Grad-CAM, from labels",
        "A classifier of real and fake faces, and which places of the picture made it say fake.",
        weak=True,
        kind=MapKind.SALIENCY,
        limits=(
            "Its map is stretched to the full range for every picture, also for a real one: only "
            "the image score says whether there is anything to find. "
        ),
    ),
    _Entry(
        MethodCard(
            name="fakelocator",
            title="FakeLocator",
            paper=(
                "Huang, Juefei-Xu, Guo, Liu, Pu: FakeLocator: Robust Localization of GAN-Based "
                "Face Manipulations, IEEE Transactions on Information Forensics and Security 17, "
                "2022, arXiv:2001.09598"
            ),
            map_kind=MapKind.FAKENESS,
            summary=(
                "A grey-scale map of how strongly a generator changed every pixel of a face, from "
                "the traces that its upsampling leaves, with attention to the parts of the face; "
                "a second branch says whether the picture is fake at all."
            ),
            limits=(
                "It is for one upright face that fills the picture, and knows generators like "
                "those it was trained on: cut out and align faces first, and expect another "
                "generator or strong compression to blind it. The map estimates grey levels of "
                "change, not a chance. Its mask is a lead for an examiner, not proof."
            ),
            weights=("fakelocator",),
            presets=("default", "map-decision"),
            faces=True,
        ),
        _build_fakelocator,
    ),
)

_BY_NAME = {entry.card.name: entry for entry in _ENTRIES}


def list_methods() -> list[MethodCard]:
    """The cards of all methods, in the order of the catalogue. Loads no method."""
    return [entry.card for entry in _ENTRIES]


def card(name: str) -> MethodCard:
    """The card of one method.

    Raises:
        UnknownNameError: no such method; names the nearest.
    """
    return _entry(name).card


def preset_of(name: str, preset: str | None) -> str:
    """The preset of a method that is meant: the given one, or its first. Loads nothing.

    Raises:
        UnknownNameError: no such method or preset; names the nearest.
    """
    known = card(name).presets
    if preset is not None and preset not in known:
        raise unknown(f"preset of {name}", preset, known)
    return known[0] if preset is None else preset


def load(
    name: str,
    *,
    preset: str | None = None,
    weights: WeightsChoice = None,
    device: str = "auto",
    precision: str = "auto",
    max_pixels: int = DEFAULT_MAX_PIXELS,
    engine: "str | Engine" = "torch",
    onnx: OnnxChoice = None,
    **config: Any,
) -> Localizer:
    """Make a method ready to run.

    Args:
        name: a method of `list_methods`.
        preset: one of the card's presets; by default the first.
        weights: a weights name or file in place of the preset's own; several, where the method
            can fuse them.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``...
        precision: ``auto``, ``fp32`` or ``bf16``.
        max_pixels: refuse pictures with more.
        engine: ``torch``, or ``onnx`` for ONNX Runtime, which computes in fp32 on cpu or cuda; or
            a `tamperscope.engines.Engine`.
        onnx: the file that ``tamperscope export`` made of the weights, or several; by default the
            networks are exported on first use and kept in the user's cache.
        **config: single fields of the method's configuration.

    Raises:
        UnknownNameError: no such method or preset.
        ConfigError: a field of the configuration that does not exist or has a wrong value.
        WeightsError: the weights, or the ONNX files, cannot be used.
        MissingExtraError: an optional dependency, such as onnxruntime, is not installed.
    """
    entry, chosen = _entry(name), preset_of(name, preset)
    if isinstance(max_pixels, bool) or not isinstance(max_pixels, int) or max_pixels < 1:
        raise ConfigError(f"max_pixels must be a whole number of at least 1, not {max_pixels!r}")
    for what, value in (("device", device), ("precision", precision)):
        if not isinstance(value, str):
            raise ConfigError(f"{what} must be a name such as 'auto', not {value!r}")
    runs = _engine(engine, onnx, device=device, precision=precision)
    options = LoadOptions(
        preset=chosen,
        weights=weights,
        device="cpu" if runs is not None and device == "auto" else device,
        precision=precision,
        max_pixels=max_pixels,
        config=dict(config),
        engine=runs,
    )
    localizer = entry.build(entry.card, options)
    if runs is not None:
        runs.settle()
    return localizer


def _engine(
    name: "str | Engine", files: OnnxChoice, *, device: str, precision: str
) -> "Engine | None":
    if not isinstance(name, str):
        return name
    if name not in ENGINES:
        raise unknown("engine", name, ENGINES)
    if name == "torch":
        if files:
            raise ConfigError("an ONNX file was given: use engine=onnx (--engine onnx) to run it")
        return None
    if precision == "bf16":
        raise ConfigError("engine=onnx computes in fp32: leave precision out")
    from tamperscope.engines.onnx_runtime import OnnxEngine

    given = [files] if isinstance(files, str | os.PathLike) else list(files or ())
    return OnnxEngine(given, device=device)


def localize(source: ImageSource, *, method: str = "focal", **options: Any) -> Localization:
    """Load a method, run it on one picture, and forget it: ``load(method).localize(source)``.

    Args:
        source: anything `read_image` takes.
        method: a method of `list_methods`.
        **options: as for `load`.

    Raises:
        TamperscopeError: as for `load` and `Localizer.localize`.
    """
    return load(method, **options).localize(source)


def build_network(backbone: str, **options: Any) -> "nn.Module":
    """The network that a weights card describes by its backbone and options, freshly initialised.

    Raises:
        UnknownNameError: no such backbone, or an option that its network does not have.
        ConfigError: a value that cannot be.
    """
    if backbone == "xception":
        from tamperscope.methods.dolos.network import module_for

        return module_for(**options)
    if backbone == "fakelocator":
        from tamperscope.methods.fakelocator.network import module_for as fakelocator_module_for

        return fakelocator_module_for(**options)
    if backbone in ("face-parser", "bisenet"):
        return _build_parser(backbone, options)
    from tamperscope.methods.focal.network import module_for as focal_module_for

    return focal_module_for(backbone, **options)


def _build_parser(backbone: str, options: dict[str, Any]) -> "nn.Module":
    from tamperscope.face_parsing.bisenet import BiSeNet
    from tamperscope.face_parsing.small import build_small_parser

    if backbone == "face-parser":
        return build_small_parser(options)
    for name in options:
        raise unknown("option of bisenet", name, ())
    return BiSeNet()


def _entry(name: str) -> _Entry:
    if name not in _BY_NAME:
        raise unknown("method", name, _BY_NAME)
    return _BY_NAME[name]
