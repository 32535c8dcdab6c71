"""The seam between the loop and what is learned."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from tamperscope.train.batches import SampleSource

Record = dict[str, float | str]
"""Validation numbers of one picture; ``kind`` is the kind of picture."""


class Task(Protocol):
    """What the loop asks of a task. Tasks keep no state between calls."""

    def source(self, data_root: Path, split: str) -> SampleSource:
        """The samples of ``"train"`` or ``"val"``; a ``__len__`` caps the validation set."""

    def network_inputs(
        self, batch: Mapping[str, Any], device: torch.device, channels_last: bool
    ) -> tuple[Tensor, ...]:
        """What the network is called with, float32 on ``device``: the images (B, 3, h, w) first."""

    def objective(
        self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and ``{name: detached scalar}`` with ``loss`` and each unweighted term.

        Args:
            outputs: of the network, on its device.
            batch: of the loader, on the CPU.
            generator: of the objective's draws (CPU).
        """

    def numbers(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any]) -> list[Record]:
        """One record per picture; a number that a picture does not define is absent."""

    def summarize(self, records: Iterable[Record]) -> dict[str, float]:
        """The validation's numbers, overall and for one kind of picture (``name/kind``)."""


def as_outputs(result: Tensor | Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """What a network returned, by name; a network with one output may return it as it is."""
    return {"logits": result} if isinstance(result, Tensor) else result
