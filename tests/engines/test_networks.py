"""Every network of the catalogue as ONNX against itself in PyTorch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image as PILImage
from torch import Tensor, nn

import tamperscope
from hostile import photo
from tamperscope import catalog
from tamperscope.backbones import create_backbone
from tamperscope.engines.onnx_runtime import OnnxEngine
from tamperscope.export import export, graph_of
from tamperscope.methods.dolos.maps import _explained
from tamperscope.methods.dolos.network import METHODS, GradCamNetwork, module_for
from tamperscope.methods.fakelocator.network import FakeLocatorNetwork
from tamperscope.methods.focal.network import FocalNetwork, build_network
from tamperscope.weights import LoadedWeights, WeightsCard, card_for, list_weights

EXAMPLE = Path(__file__).parents[2] / "examples" / "launch_spliced.jpg"
TOLERANCE = 1e-3
SIZES = ((1, 3, 299, 299), (2, 3, 130, 67), (1, 3, 47, 64))


def _lively(network: nn.Module) -> nn.Module:
    """Statistics of batch normalisation that make a difference."""
    draw = torch.Generator().manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1, generator=draw)  # type: ignore[union-attr]
            layer.running_var.uniform_(0.5, 1.5, generator=draw)  # type: ignore[union-attr]
    return network.eval().requires_grad_(False)


def _weights(name: str) -> LoadedWeights:
    card = WeightsCard(
        name=name, summary="", method="", kind="native", backbone="", preprocessing="", data="",
        terms="",
    )  # fmt: skip
    return LoadedWeights(path=Path(name), sha256="0" * 64, card=card)


def _check(
    network: nn.Module,
    cache: Path,
    sizes: Any = SIZES,
    *,
    answer: Callable[[Tensor], dict[str, Tensor]] | None = None,
) -> None:
    """The outputs differ by a thousandth of their range at most."""
    graph = graph_of(network)
    runner = OnnxEngine(cache=cache).runner(graph, _weights(type(network).__name__))
    draw = torch.Generator().manual_seed(1)
    for size in sizes:
        x = torch.rand(size, generator=draw)
        with torch.inference_mode():
            wanted = (answer or network)(x)
        for name, value in runner(x).items():
            scale = float(wanted[name].abs().max()) + 1e-12
            assert value.shape == wanted[name].shape
            assert float((value - wanted[name]).abs().max()) <= TOLERANCE * scale, (name, size)


TINY = {
    "dim": 8,
    "evidence": True,
    "options": {"widths": (8, 8, 12, 16), "depths": (1, 1, 1, 1), "channels": 12, "attention": 1},
}


@pytest.mark.slow
def test_focal_compact_at_any_size(tmp_path: Path) -> None:
    network = _lively(build_network(TINY))
    _check(network, tmp_path, (*SIZES, (1, 3, 1, 1), (2, 3, 16, 16), (1, 3, 5, 33)))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_focal_hrnet(tmp_path: Path) -> None:
    network = _lively(FocalNetwork(create_backbone("focal-hrnet-w32"), dim=0, evidence=False))
    _check(network, tmp_path, ((1, 3, 130, 67), (1, 3, 1, 1)))


@pytest.mark.slow
def test_focal_vit_at_its_own_size(tmp_path: Path) -> None:
    from tamperscope.methods.focal.graph import graph_of as focal_graph

    small = create_backbone(
        "focal-vit-l", img_size=64, embed_dim=32, depth=3, num_heads=2, window_size=3,
        global_blocks=(1,), channels=8,
    )  # fmt: skip
    network = _lively(FocalNetwork(small, dim=0, evidence=False))
    assert isinstance(network, FocalNetwork)
    x = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        wanted = network(x)["features"]
    graph = focal_graph(network, side=64)
    assert graph.side == 64
    runner = OnnxEngine(cache=tmp_path).runner(graph, _weights("vit"))
    torch.testing.assert_close(runner(x)["features"], wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_dolos(method: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = module_for(**METHODS[method])
    _lively(network)
    assert not isinstance(network, nn.Sequential)

    def answer(x: Tensor) -> dict[str, Tensor]:
        if isinstance(network, GradCamNetwork):
            found = _explained(network, x, torch.float32)
            return {name: value.detach() for name, value in found.items()}
        return network.deciding(x)  # type: ignore[union-attr]

    _check(network, tmp_path, answer=answer)


@pytest.mark.slow
@pytest.mark.parametrize("attention", ["none", "parts"])
def test_fakelocator(attention: str, tmp_path: Path) -> None:
    options = {"architecture": "unet", "encoder": "xception", "encoder_depth": 3}
    network = _lively(catalog.build_network("fakelocator", **options, attention=attention))
    assert isinstance(network, FakeLocatorNetwork)
    _check(network, tmp_path, ((1, 3, 256, 256), (2, 3, 70, 133), (1, 3, 5, 31)))
    if attention == "parts":
        x, weight = torch.rand(1, 3, 70, 61), torch.rand(1, 1, 70, 61)
        runner = OnnxEngine(cache=tmp_path).runner(
            graph_of(network), _weights(type(network).__name__)
        )
        with torch.inference_mode():
            wanted = network(x, weight)["map_logits"]
        torch.testing.assert_close(runner(x, weight)["map_logits"], wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sizes"),
    [("face-parser", ((1, 3, 192, 192), (2, 3, 70, 133))), ("bisenet", ((1, 3, 512, 512),))],
)
def test_face_parsers(name: str, sizes: Any, tmp_path: Path) -> None:
    network = _lively(catalog.build_network(name))
    _check(network, tmp_path, sizes, answer=lambda x: {"logits": network(x)})


def test_every_card_has_a_graph_but_the_one_that_runs_no_method() -> None:
    for card in list_weights():
        with torch.device("meta"):
            network = catalog.build_network(card.backbone, **card.options)
        if card.name == "xception-imagenet":
            with pytest.raises(tamperscope.errors.ConfigError, match="runs in no method"):
                graph_of(network)
        else:
            assert graph_of(network).outputs, card.name


# ------------------------------------------------------------------------------ whole methods


def _pictures() -> dict[str, NDArray[np.uint8]]:
    example = np.asarray(PILImage.open(EXAMPLE).convert("RGB"))
    made = {f"{h}x{w}": photo(h, w, seed=h) for h, w in ((97, 131), (256, 256), (333, 250))}
    return {"example": example, "odd": np.ascontiguousarray(example[:211, :317]), **made}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "method",
    [
        card.name
        for card in catalog.list_methods()
        if (known := card_for(card.weights[0])) is not None and known.shipped
    ],
)
def test_shipped_weights_give_the_same_maps_and_masks(method: str, tmp_path: Path) -> None:
    files = [file.path for file in export(method, tmp_path / "network.onnx")]
    exact, other = (
        catalog.load(method, device="cpu"),
        catalog.load(method, engine="onnx", onnx=files),
    )
    for name, pixels in _pictures().items():
        wanted, found = exact.localize(pixels), other.localize(pixels)
        difference = np.abs(wanted.score_map - found.score_map)
        assert difference.max() <= TOLERANCE, name
        assert abs(wanted.image_score - found.image_score) <= TOLERANCE, name
        # A pixel may fall on the other side only where its score is the threshold's.
        changed = wanted.mask != found.mask
        assert changed.mean() <= 1e-4, name
    assert other.describe()["config"]["engine"]["name"] == "onnx"  # type: ignore[index,call-overload]
    assert found.provenance.config["engine"]["files"]  # type: ignore[index,call-overload]
    assert "engine" not in exact.describe()["config"]  # type: ignore[operator]
