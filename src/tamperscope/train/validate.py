"""Validation on a fixed set of pictures: the loop over them; the numbers are the task's."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

from tamperscope.train.tasks.base import Record, Task, as_outputs


@torch.no_grad()
def validate(
    network: nn.Module,
    batches: Iterable[Mapping[str, Any]],
    task: Task,
    *,
    device: torch.device,
    channels_last: bool,
    autocast: AbstractContextManager[Any],
) -> list[Record]:
    """One record of numbers per picture.

    ``network`` is put into eval mode and its mode restored afterwards. A number that a picture
    does not define (AUC without a forged cell) is absent from its record.
    """
    modes = {module: module.training for module in network.modules()}
    network.eval()
    records: list[Record] = []
    try:
        for batch in batches:
            with autocast:
                inputs = task.network_inputs(batch, device, channels_last)
                outputs = as_outputs(network(*inputs))
            records += task.numbers({k: v.float() for k, v in outputs.items()}, batch)
    finally:
        for module, training in modes.items():
            module.training = training
    return records
