from typing import Any

import pytest
import torch

from tamperscope.errors import ConfigError, UnknownNameError
from tamperscope.face_parsing.small import build_small_parser


def test_the_default_fits_into_six_megabytes_of_half_precision() -> None:
    weights = sum(p.numel() for p in build_small_parser({}).parameters())
    assert 900_000 < weights < 3_000_000


@pytest.mark.parametrize("size", [(64, 64), (33, 70), (1, 1), (5, 200)])
@torch.inference_mode()
def test_any_size(size: tuple[int, int]) -> None:
    network = build_small_parser({"widths": [8, 12, 16]}).eval()
    logits = network(torch.rand(2, 3, *size) * 2 - 1)
    assert logits.shape == (2, 19, *size)
    assert bool(torch.isfinite(logits).all())


def test_it_learns_halves_that_differ_only_by_where_they_are() -> None:
    torch.manual_seed(0)
    network = build_small_parser({"widths": [8, 16, 16]})
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    truth = torch.zeros(2, 32, 32, dtype=torch.long)
    truth[..., 16:] = 5
    for _ in range(25):
        x = torch.rand(2, 3, 32, 32) * 0.1
        loss = torch.nn.functional.cross_entropy(network(x), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (network(x).argmax(1) == truth).float().mean() > 0.9


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ({"width": 3}, UnknownNameError, "unknown option of the face parser 'width'"),
        ({"widths": [8]}, ConfigError, r"widths must be 2 to 7 whole numbers, not \[8\]"),
        ({"widths": [8, 0.5]}, ConfigError, "widths must be"),
        ({"size": 8}, ConfigError, "size must be from 32 to 4096 pixels, not 8"),
        ({"size": "big"}, ConfigError, "not 'big'"),
    ],
)
def test_options_that_cannot_be(config: dict[str, Any], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        build_small_parser(config)
