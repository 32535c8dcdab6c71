"""Padding and cropping that a graph can do for pictures of any size.

Everything is written as indexing, without a question about the size: what is traced for one size
holds for all.
"""

import torch
from torch import Tensor, nn


def mirrored(x: Tensor, multiple: int) -> Tensor:
    """A batch (B, C, h, w) extended at the bottom and right to sides that divide by ``multiple``,
    the new pixels mirroring the picture, as often as needed."""
    for axis in (-2, -1):
        index, size = _places(x, multiple, axis), x.shape[axis]
        period = torch.full((1,), 2 * (size - 1), device=x.device).clamp(min=1)
        index = index % period
        x = x.index_select(axis, torch.where(index < size, index, period - index))
    return x


def repeated(x: Tensor, multiple: int) -> Tensor:
    """The same, the new pixels repeating the last row and column."""
    for axis in (-2, -1):
        x = x.index_select(axis, _places(x, multiple, axis).clamp(max=x.shape[axis] - 1))
    return x


def covered(x: Tensor, like: Tensor, cell: int) -> Tensor:
    """The cells of ``x`` (B, C, rows, columns) that a picture ``like`` (B, C, h, w) reaches into,
    for cells of ``cell`` x ``cell`` pixels."""
    for axis in (-2, -1):
        count = (like.shape[axis] + cell - 1) // cell
        x = x.index_select(axis, torch.arange(count, device=x.device))
    return x


def _places(x: Tensor, multiple: int, axis: int) -> Tensor:
    padded = multiple * ((x.shape[axis] + multiple - 1) // multiple)
    return torch.arange(padded, device=x.device)


class Padded(nn.Module):
    """A network that needs sides dividing by ``multiple``, for any size: the last row and column
    are repeated, and outputs with a grid are cropped again.

    Args:
        network: from one or more (B, C, h, w) to outputs by name.
        multiple: of the sides it needs.
        cells: output -> picture pixels per cell of its grid; others are left as they are.
    """

    def __init__(self, network: nn.Module, multiple: int, cells: dict[str, int]) -> None:
        super().__init__()
        self.network, self.multiple, self.cells = network, multiple, cells

    def forward(self, *inputs: Tensor) -> dict[str, Tensor]:
        """The network's outputs."""
        outputs: dict[str, Tensor] = self.network(*(repeated(x, self.multiple) for x in inputs))
        return {
            name: covered(output, inputs[0], self.cells[name]) if name in self.cells else output
            for name, output in outputs.items()
        }
