"""The network and how it gets its weights: names, files with cards, published checkpoints."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from methods.focal.toys import TINY, save_tiny, save_weights, tiny_network
from reference import recipe
from tamperscope.errors import (
    ConfigError,
    UnknownNameError,
    WeightsError,
    WeightsHashError,
    WeightsMismatchError,
    WeightsNotFoundError,
)
from tamperscope.methods.focal.network import FocalNetwork, build_network, module_for, network_for
from tamperscope.train.checkpoint import plain
from tamperscope.weights import list_weights
from tamperscope.weights.cards import sidecar


class TestBuild:
    def test_default(self) -> None:
        network = build_network({})
        assert (network.backbone.name, network.stride, network.channels) == ("compact", 4, 64)
        out = network.eval()(torch.rand(2, 3, 40, 52))
        assert {k: tuple(v.shape) for k, v in out.items()} == {
            "features": (2, 64, 10, 13),
            "evidence": (2, 1, 10, 13),
        }

    def test_backbone_alone(self) -> None:
        network = build_network({**TINY, "dim": 0, "evidence": False})
        assert network.channels == TINY["options"]["channels"]
        x = torch.rand(1, 3, 32, 32)
        out = network.eval()(x)
        assert set(out) == {"features"}
        assert torch.equal(out["features"], network.backbone(x))
        assert all(key.startswith("backbone.") for key in network.state_dict())

    def test_any_backbone(self) -> None:
        network = build_network({"backbone": "timm:resnet18", "dim": 16})
        assert network.eval()(torch.rand(1, 3, 64, 64))["features"].shape[1] == 16

    def test_lists_from_a_file_become_tuples(self) -> None:
        widths = build_network(TINY).backbone.stem[0].out_channels  # type: ignore[index, union-attr]
        assert widths == TINY["options"]["widths"][0]

    def test_what_does_not_exist_is_named(self) -> None:
        with pytest.raises(UnknownNameError, match="of the focal network 'dims'; did you mean 'di"):
            build_network({"dims": 8})
        with pytest.raises(UnknownNameError, match="unknown backbone 'compct'; did you mean 'com"):
            build_network({"backbone": "compct"})
        with pytest.raises(ConfigError, match="backbone compact has no such option"):
            build_network({"options": {"stride": 8}})

    def test_a_card_says_whether_there_are_heads(self) -> None:
        assert isinstance(module_for("compact", dim=8, evidence=False), FocalNetwork)
        assert not isinstance(module_for("compact"), FocalNetwork)


class TestFiles:
    def test_card_and_weights_give_the_network_back(self, tmp_path: Path) -> None:
        path = save_tiny(tmp_path / "a.safetensors", seed=3)
        network, loaded = network_for(path)
        x = torch.rand(1, 3, 32, 48)
        expected = tiny_network(3)(x)
        found = network.eval()(x)
        assert torch.equal(found["features"], expected["features"])
        assert torch.equal(found["evidence"], expected["evidence"])
        assert loaded.card is not None
        assert (loaded.path, loaded.card.name) == (path, "a")

    def test_shipped_weights(self) -> None:
        for card in list_weights():
            if card.shipped and card.method == "focal":
                network, loaded = network_for(card.name)
                assert loaded.sha256 == card.sha256
                assert network.evidence is not None

    def test_another_network(self, tmp_path: Path) -> None:
        state = tiny_network().state_dict()
        other = {**TINY, "dim": 16}
        path = save_weights(tmp_path / "a.safetensors", state, backbone="compact", options=other)
        with pytest.raises(WeightsMismatchError, match=r"2 mis-shaped: projection\.3\.weight is"):
            network_for(path)

    def test_a_missing_key(self, tmp_path: Path) -> None:
        state = dict(tiny_network().state_dict())
        del state["evidence.3.bias"]
        path = save_weights(tmp_path / "a.safetensors", state, backbone="compact", options=TINY)
        with pytest.raises(WeightsMismatchError, match=r"1 missing: evidence\.3\.bias\. Use the"):
            network_for(path)

    def test_a_changed_file(self, tmp_path: Path) -> None:
        path = save_tiny(tmp_path / "a.safetensors")
        save_file(plain(tiny_network(1).state_dict()), path)
        with pytest.raises(WeightsHashError, match="its card says"):
            network_for(path)

    def test_a_web_page(self, tmp_path: Path) -> None:
        path = tmp_path / "FOCAL_HRNet_weights.pth"
        path.write_text("<!DOCTYPE html><html>Confirm download</html>")
        with pytest.raises(WeightsError, match="is a web page, not weights"):
            network_for(path)

    def test_no_card(self, tmp_path: Path) -> None:
        path = save_tiny(tmp_path / "a.safetensors")
        sidecar(path).unlink()
        with pytest.raises(WeightsError, match="has no card beside it and is no published FOCAL"):
            network_for(path)

    def test_weights_of_another_method(self, tmp_path: Path) -> None:
        path = save_tiny(tmp_path / "a.safetensors", method="other")
        with pytest.raises(WeightsError, match="is for the method 'other', not for focal"):
            network_for(path)

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsNotFoundError, match="no weights file"):
            network_for(tmp_path / "none.safetensors")
        with pytest.raises(UnknownNameError, match="did you mean 'focal-compact'"):
            network_for("focal-compct")


class TestPublished:
    def test_hrnet_is_told_by_its_keys(self, published_hrnet: Path) -> None:
        network, loaded = network_for(published_hrnet)
        assert loaded.card is None
        assert (network.stride, network.channels, network.evidence) == (4, 32, None)
        key = "net.conv1.weight"
        expected = torch.from_numpy(recipe.value_for(key, (64, 3, 3, 3), 0.5))
        assert torch.equal(network.backbone.state_dict()[key], expected)
