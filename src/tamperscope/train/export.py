"""From a finished run to weights that can be used: export, calibrate, card."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tamperscope.errors import ConfigError, TrainingError
from tamperscope.methods.focal.network import network_for
from tamperscope.train.calibrate import calibrate
from tamperscope.train.checkpoint import export_weights, write_text
from tamperscope.train.config import Recipe, load_recipe
from tamperscope.weights import WeightsCard, card_for
from tamperscope.weights.cards import format_card, sidecar


def export_run(
    run_dir: str | Path,
    out: str | Path,
    *,
    data_root: str | Path | None = None,
    which: str = "best",
    dtype: str = "float16",
    card_fields: Mapping[str, Any] | None = None,
    average: str | Path | None = None,
    share: float = 0.5,
    progress: Callable[[int], None] | None = None,
    **options: Any,
) -> WeightsCard:
    """Write the weights of a run and their card; with ``data_root`` also calibrate the decision.

    The network is calibrated as exported, after rounding to ``dtype``.

    Args:
        run_dir: a run folder.
        out: the ``.safetensors`` file to write; the card lies beside it as ``.toml``.
        data_root: the photos or the face set of the run; None leaves the decision uncalibrated.
            A face parser has no decision: its numbers are measured on the faces that neither
            training nor validation saw.
        which, dtype, card_fields, average, share: as for `export_weights`.
        progress: called with the number of calibration pictures done.
        **options: further arguments of what fits the task: `calibrate`,
            `calibrate_dolos.calibrate`, `calibrate_fakelocator.calibrate` or
            `evaluate_parsing.evaluate`.

    Raises:
        TrainingError: no such weights in the run, or a network without an evidence head.
        ConfigError: an unknown ``which``, ``dtype`` or card field, or ``out`` has another suffix.
    """
    if Path(out).suffix != ".safetensors":
        raise ConfigError(f"weights are written as safetensors: end {out} in .safetensors")
    export_weights(
        run_dir,
        out,
        dtype=dtype,
        which=which,
        card_fields=card_fields,
        average=average,
        share=share,
    )
    card = card_for(out)
    if card is None:
        raise TrainingError(f"{sidecar(out)} was not written: check the disk")
    if data_root is None:
        return card
    recipe = load_recipe(Path(run_dir) / "recipe.json")
    decision, numbers = _FITS[recipe.task](
        recipe, Path(out), data_root, progress=progress, **options
    )
    card = replace(card, decision=decision, numbers=numbers)
    write_text(sidecar(out), format_card(card))
    return card


def _calibrate_focal(
    recipe: Recipe, weights: Path, data_root: str | Path, **options: Any
) -> tuple[dict[str, float], dict[str, float]]:
    network, _ = network_for(weights)
    synthesis = dict(recipe.data.synthesis)
    report = calibrate(network.eval(), data_root=data_root, synthesis=synthesis, **options)
    numbers = {f"synthetic_{name}": value for name, value in report.numbers.items()}
    return asdict(report.calibration), numbers


def _calibrate_dolos(
    recipe: Recipe, weights: Path, data_root: str | Path, **options: Any
) -> tuple[dict[str, float], dict[str, float]]:
    from tamperscope.methods.dolos.network import module_for
    from tamperscope.train import calibrate_dolos
    from tamperscope.weights.load import load_weights

    card = card_for(weights)
    network = module_for(**(card.options if card is not None else recipe.model.config))
    load_weights(network, weights)
    report = calibrate_dolos.calibrate(network, recipe, data_root=data_root, **options)
    return report.decision, {f"valid_{name}": value for name, value in report.numbers.items()}


def _calibrate_fakelocator(
    recipe: Recipe, weights: Path, data_root: str | Path, **options: Any
) -> tuple[dict[str, float], dict[str, float]]:
    from tamperscope.methods.fakelocator.network import network_for as fakelocator_for
    from tamperscope.train import calibrate_fakelocator

    network, _ = fakelocator_for(weights)
    report = calibrate_fakelocator.calibrate(network, recipe, data_root=data_root, **options)
    return report.decision, {f"valid_{name}": value for name, value in report.numbers.items()}


def _evaluate_parser(
    recipe: Recipe, weights: Path, data_root: str | Path, **options: Any
) -> tuple[dict[str, float], dict[str, float]]:
    from tamperscope.face_parsing.registry import load_parser
    from tamperscope.train import evaluate_parsing

    parser = load_parser(weights)
    numbers = evaluate_parsing.evaluate(parser, recipe, data_root=data_root, **options)
    return {}, {f"test_{name}": value for name, value in numbers.items()}


_FITS = {
    "focal": _calibrate_focal,
    "dolos": _calibrate_dolos,
    "fakelocator": _calibrate_fakelocator,
    "face-parser": _evaluate_parser,
}
