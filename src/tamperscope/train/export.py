"""From a finished run to weights that can be used: export, calibrate, card."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tamperscope.errors import ConfigError, TrainingError
from tamperscope.methods.focal.network import network_for
from tamperscope.train.calibrate import calibrate
from tamperscope.train.checkpoint import export_weights, write_text
from tamperscope.train.config import load_recipe
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
    progress: Callable[[int], None] | None = None,
    **options: Any,
) -> WeightsCard:
    """Write the weights of a run and their card; with ``data_root`` also calibrate the decision.

    The network is calibrated as exported, after rounding to ``dtype``.

    Args:
        run_dir: a run folder.
        out: the ``.safetensors`` file to write; the card lies beside it as ``.toml``.
        data_root: the photos of the run; None leaves the decision uncalibrated.
        which, dtype, card_fields: as for `export_weights`.
        progress: called with the number of calibration pictures done.
        **options: further arguments of `calibrate`.

    Raises:
        TrainingError: no such weights in the run, or a network without an evidence head.
        ConfigError: an unknown ``which``, ``dtype`` or card field, or ``out`` has another suffix.
    """
    if Path(out).suffix != ".safetensors":
        raise ConfigError(f"weights are written as safetensors: end {out} in .safetensors")
    export_weights(run_dir, out, dtype=dtype, which=which, card_fields=card_fields)
    card = card_for(out)
    if card is None:
        raise TrainingError(f"{sidecar(out)} was not written: check the disk")
    if data_root is None:
        return card
    recipe = load_recipe(Path(run_dir) / "recipe.json")
    network, _ = network_for(out)
    report = calibrate(
        network.eval(),
        data_root=data_root,
        synthesis=dict(recipe.data.synthesis),
        progress=progress,
        **options,
    )
    numbers = {f"synthetic_{name}": value for name, value in report.numbers.items()}
    card = replace(card, decision=asdict(report.calibration), numbers=numbers)
    write_text(sidecar(out), format_card(card))
    return card
