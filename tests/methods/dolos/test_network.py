"""The networks against the official ones, their starting weights, and their weights files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from methods.dolos.official import official_state, picture
from methods.dolos.toys import random_network, save_network, save_random
from reference import recipe
from tamperscope.errors import (
    ConfigError,
    UnknownNameError,
    UnsafeWeightsError,
    WeightsError,
    WeightsHashError,
    WeightsMismatchError,
    WeightsNotFoundError,
)
from tamperscope.methods.dolos.network import (
    METHODS,
    AttentionNetwork,
    DolosNetwork,
    XceptionFile,
    build_network,
    module_for,
    network_for,
)
from tamperscope.weights import card_for, detect_kind, load_strict, native_state

PATCHES = np.load(recipe.FOLDER / "dolos_patches.npz")
ATTENTION = np.load(recipe.FOLDER / "dolos_attention.npz")
GRADCAM = np.load(recipe.FOLDER / "dolos_gradcam.npz")


def official(name: str, **config: Any) -> DolosNetwork:
    """A network of ours with the weights of the official run."""
    network = build_network({"init": "scratch", **config})
    state = official_state(name)
    load_strict(network, native_state(state, detect_kind(state)), what=name)
    return network.eval()


def close(found: Tensor, expected: NDArray[Any], tolerance: float = 1e-4) -> None:
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=tolerance, atol=tolerance)


class TestOfficialNumbers:
    @pytest.mark.parametrize("block", [1, 2, 3])
    @torch.inference_mode()
    def test_patches_after_each_block(self, block: int) -> None:
        out = official(f"patches-{block}", block=block)(picture("dolos_patch"))
        close(out["map_logits"], PATCHES[f"logits_block{block}"])
        if block == 2:
            close(out["map_logits"].softmax(1)[:, 1], PATCHES["prob_block2"])

    @torch.inference_mode()
    def test_patches_of_256_pixels(self) -> None:
        out = official("patches-2")(picture("dolos_patch_256", 256, 1))
        close(out["map_logits"], PATCHES["logits_block2_256"])

    @torch.inference_mode()
    def test_patches_with_batch_statistics(self) -> None:
        out = official("patches-2").train()(picture("dolos_patch"))
        close(out["map_logits"], PATCHES["logits_block2_trainmode"])

    @torch.inference_mode()
    def test_attention(self) -> None:
        x = picture("dolos_att")
        out = official("attention", method="attention", supervision="weak")(x)
        close(out["label_logits"], ATTENTION["label_logits"])
        close(out["mask_logits"].sigmoid(), ATTENTION["mask"])
        told = json.loads((recipe.FOLDER / "dolos_attention.json").read_text())
        highest = out["mask_logits"].sigmoid().amax((1, 2, 3))
        np.testing.assert_allclose(highest.numpy(), told["mask_max"], rtol=1e-5)

    @torch.inference_mode()
    def test_gradcams_classifier(self) -> None:
        network = official("gradcam-weak", method="gradcam", supervision="weak")
        close(network(picture("dolos_gc", batch=1))["label_logits"], GRADCAM["logits"])

    @torch.inference_mode()
    def test_gradcams_network_with_masks(self) -> None:
        out = official("gradcam", method="gradcam")(picture("dolos_gc", batch=1))["map_logits"]
        close(out, GRADCAM["fcn_logits"])
        close(out.softmax(1)[0, 1], GRADCAM["fcn_prob"])
        told = json.loads((recipe.FOLDER / "dolos_gradcam.json").read_text())
        mean = float(out.softmax(1)[:, 1].mean())
        assert mean == pytest.approx(told["fcn_label_pred"], abs=1e-5)


class TestBuild:
    @pytest.mark.parametrize("method", METHODS)
    def test_names_and_outputs(self, method: str) -> None:
        network = random_network(method)
        assert (network.name, network.input_size) == (method, 299)
        assert {"method": network.method, "supervision": network.supervision} == METHODS[method]
        shapes = {key: tuple(v.shape) for key, v in network(torch.zeros(2, 3, 96, 96)).items()}
        assert (
            shapes
            == {
                "dolos-patches": {"map_logits": (2, 2, 12, 12)},
                "dolos-patches-weak": {"map_logits": (2, 2, 12, 12)},
                "dolos-attention": {"mask_logits": (2, 1, 6, 6), "label_logits": (2, 2)},
                "dolos-attention-weak": {"mask_logits": (2, 1, 6, 6), "label_logits": (2, 2)},
                "dolos-gradcam": {"map_logits": (2, 2, 6, 6)},
                "dolos-gradcam-weak": {"label_logits": (2, 2)},
            }[method]
        )

    def test_default_is_patches_from_masks_with_its_published_size(self) -> None:
        network = build_network({})
        assert network.name == "dolos-patches"
        assert sum(p.numel() for p in network.parameters()) == 191_330

    def test_map_only_has_nothing_behind_the_map(self) -> None:
        whole = random_network("dolos-attention")
        part = module_for(**METHODS["dolos-attention"], map_only=True)
        wanted = part.state_dict().keys()
        part.load_state_dict({k: v for k, v in whole.state_dict().items() if k in wanted})
        assert not any(key.startswith("xception.block8.") for key in wanted)
        x = torch.rand(1, 3, 96, 96)
        out = part.eval()(x)
        assert set(out) == {"mask_logits"}
        assert torch.equal(out["mask_logits"], whole(x)["mask_logits"])

    def test_what_does_not_exist_is_named(self) -> None:
        with pytest.raises(UnknownNameError, match="of the dolos network 'blok'; did you mean 'bl"):
            build_network({"blok": 2})
        with pytest.raises(ConfigError, match="no method 'patch'; known: patches, attention, grad"):
            build_network({"method": "patch"})
        with pytest.raises(ConfigError, match="no supervision 'half'; known: weak, full"):
            build_network({"supervision": "half"})
        with pytest.raises(ConfigError, match="no init 'zero'; known: paper, scratch"):
            build_network({"init": "zero"})
        with pytest.raises(ConfigError, match="patches end after block 1, 2 or 3, not 4"):
            build_network({"block": 4})
        with pytest.raises(ConfigError, match="map_only is for attention, not for patches"):
            build_network({"map_only": True})
        weak = {"method": "attention", "supervision": "weak", "map_only": True, "init": "scratch"}
        with pytest.raises(ConfigError, match="map_only needs supervision='full'"):
            build_network(weak)


def _layers(network: nn.Module, kind: type) -> list[Any]:
    return [layer for layer in network.modules() if isinstance(layer, kind)]


class TestStart:
    def test_weak_patches_start_small(self) -> None:
        torch.manual_seed(0)
        network = build_network({"supervision": "weak"}).requires_grad_(False)
        for layer in _layers(network, nn.Conv2d):
            receptive = layer.weight[0, 0].numel()
            fans = layer.weight.shape[1] * receptive + layer.weight.shape[0] * receptive
            if layer.weight.numel() > 2000:
                std = 0.02 * (2 / fans) ** 0.5
                assert float(layer.weight.std()) == pytest.approx(std, rel=0.1)
        norms = torch.cat([layer.weight for layer in _layers(network, nn.BatchNorm2d)])
        assert float(norms.mean()) == pytest.approx(1, abs=0.005)
        assert float(norms.std()) == pytest.approx(0.02, rel=0.15)
        assert all(not layer.bias.any() for layer in _layers(network, nn.BatchNorm2d))
        assert not network.head.bias.any()  # type: ignore[union-attr, operator]

    def test_full_patches_start_as_pytorch_does(self) -> None:
        torch.manual_seed(3)
        paper = build_network({}).requires_grad_(False)
        torch.manual_seed(3)
        scratch = build_network({"init": "scratch"}).requires_grad_(False)
        for a, b in zip(paper.parameters(), scratch.parameters(), strict=True):
            assert torch.equal(a, b)
        bound = 1 / 256**0.5
        assert 0.9 * bound < float(paper.head.weight.abs().max()) <= bound  # type: ignore[union-attr, operator]

    def test_normal(self) -> None:
        torch.manual_seed(0)
        network = build_network({"method": "attention", "init": "normal"}).requires_grad_(False)
        weights = torch.cat([c.weight.flatten() for c in _layers(network, nn.Conv2d)])
        assert float(weights.std()) == pytest.approx(0.01, rel=0.01)

    @pytest.mark.parametrize("method", ["attention", "gradcam"])
    def test_the_others_start_from_a_file(self, method: str) -> None:
        with pytest.raises(ConfigError, match=f"{method} starts from pretrained weights: name a f"):
            build_network({"method": method})
        with pytest.raises(ConfigError, match="is given, but init='scratch' of"):
            build_network({"method": method, "init": "scratch", "pretrained": "a.pth"})
        with pytest.raises(WeightsNotFoundError, match=r"no weights file none\.pth"):
            build_network({"method": method, "pretrained": "none.pth"})

    def test_patches_need_no_file_unless_told(self) -> None:
        with pytest.raises(ConfigError, match="init='paper' of patches does not use it"):
            build_network({"pretrained": "a.pth"})
        with pytest.raises(ConfigError, match="patches starts from pretrained weights"):
            build_network({"init": "pretrained"})

    @pytest.mark.parametrize(
        "config", [{"method": "attention"}, {"method": "gradcam"}, {"block": 3}]
    )
    def test_from_imagenet(self, imagenet: Path, config: dict[str, Any]) -> None:
        """Cadene's old form: 1x1 convolutions as matrices, no counters, 1000 classes."""
        network = build_network({**config, "init": "pretrained", "pretrained": str(imagenet)})
        key = "block3.rep.1.pointwise.weight"
        expected = torch.from_numpy(recipe.value_for(key, (728, 256, 1, 1)))
        assert torch.equal(network.state_dict()[f"xception.{key}"], expected)

    def test_from_ffd(self, ffd: Path) -> None:
        network = build_network({"method": "attention", "pretrained": str(ffd)})
        expected = torch.from_numpy(recipe.value_for("map.c.c.weight", (728, 1, 3, 3))[:1])
        assert torch.equal(network.state_dict()["map.conv1.weight"][:1], expected)
        expected = torch.from_numpy(recipe.value_for("last_linear.weight", (2, 2048)))
        assert torch.equal(network.state_dict()["xception.fc.weight"], expected)

    def test_a_file_that_its_card_does_not_know(self, tmp_path: Path) -> None:
        path = save_random(tmp_path / "a.safetensors", "dolos-patches", sha256="0" * 64)
        with pytest.raises(WeightsHashError, match=r"a\.safetensors .* its card says 00000"):
            build_network({"init": "pretrained", "pretrained": str(path)})

    def test_too_shallow_a_file(self, tmp_path: Path) -> None:
        path = save_random(tmp_path / "a.safetensors", "dolos-patches")
        with pytest.raises(WeightsMismatchError, match="no Xception that dolos-gradcam can start"):
            build_network({"method": "gradcam", "pretrained": str(path)})

    def test_on_the_trunk_of_a_shallower_one(self, tmp_path: Path) -> None:
        path = save_random(tmp_path / "a.safetensors", "dolos-patches")
        config = {"method": "attention", "supervision": "full", "map_only": True}
        torch.manual_seed(0)
        scratch = build_network({**config, "init": "scratch"}).state_dict()
        torch.manual_seed(0)
        built = build_network({**config, "init": "trunk", "pretrained": str(path)}).state_dict()
        shallow = load_file(path)
        for key, value in built.items():
            taken = key in shallow and key.startswith("xception.")
            assert torch.equal(value, shallow[key].to(value.dtype) if taken else scratch[key])
        assert torch.equal(built["xception.conv1.weight"], shallow["xception.conv1.weight"])
        save_file({"head.weight": torch.zeros(2, 256, 1, 1)}, tmp_path / "b.safetensors")
        with pytest.raises(WeightsError):
            build_network({"init": "trunk", "pretrained": str(tmp_path / "b.safetensors")})


class TestFiles:
    @pytest.mark.parametrize("method", METHODS)
    def test_card_and_weights_give_the_network_back(self, method: str, tmp_path: Path) -> None:
        expected = random_network(method, seed=3)
        path = save_network(tmp_path / "a.safetensors", expected, method)
        network, loaded = network_for(path, method)
        assert loaded.card is not None
        assert (loaded.path, loaded.card.name) == (path, "a")
        for key, value in expected.state_dict().items():
            rounded = value.half().float() if value.is_floating_point() else value
            assert torch.equal(network.state_dict()[key], rounded)

    def test_a_map_only_card(self, tmp_path: Path) -> None:
        whole = random_network("dolos-attention", map_only=True)
        path = save_network(tmp_path / "a.safetensors", whole, "dolos-attention")
        network, _ = network_for(path, "dolos-attention")
        assert isinstance(network, AttentionNetwork)
        assert network.map_only

    def test_another_method(self, tmp_path: Path) -> None:
        path = save_random(tmp_path / "a.safetensors", "dolos-patches-weak")
        with pytest.raises(WeightsError, match="trained for dolos-patches-weak: run it as that"):
            network_for(path, "dolos-patches")
        with pytest.raises(WeightsError, match="is for the method 'focal', not dolos-patches"):
            network_for("focal-compact", "dolos-patches")

    def test_a_network_of_objects(self, imagenet: Path) -> None:
        with pytest.raises(WeightsError, match="classifies objects: dolos-gradcam-weak can be tra"):
            network_for(imagenet, "dolos-gradcam-weak")

    @pytest.mark.parametrize("method", ["dolos-patches", "dolos-patches-weak"])
    @pytest.mark.parametrize("block", [1, 2, 3])
    def test_official_patches(self, method: str, block: int, tmp_path: Path) -> None:
        path = tmp_path / "best_model_7_neg-loss=-0.0123.pt"
        torch.save(official_state(f"patches-{block}"), path)
        network, loaded = network_for(path, method)
        assert (network.name, network.feature_block, loaded.card) == (method, block, None)
        with pytest.raises(WeightsError, match="is a checkpoint for dolos-patches or dolos-p"):
            network_for(path, "dolos-gradcam")

    def test_official_attention_and_ffd(self, ffd: Path) -> None:
        network, _ = network_for(ffd, "dolos-attention-weak")
        out = network.eval()(picture("dolos_att")[:1])
        close(out["mask_logits"].sigmoid(), ATTENTION["mask"][:1])

    @pytest.mark.parametrize("name", ["gradcam", "gradcam-weak"])
    def test_official_gradcam(self, name: str, tmp_path: Path) -> None:
        path = tmp_path / "best_model_1_neg-loss=-0.5.pt"
        torch.save({f"module.{key}": value for key, value in official_state(name).items()}, path)
        network, _ = network_for(path, f"dolos-{name}")
        assert network.name == f"dolos-{name}"

    def test_any_other_file(self, tmp_path: Path) -> None:
        path = tmp_path / "w.pth"
        torch.save({"weight": torch.zeros(2)}, path)
        with pytest.raises(WeightsError, match="no card beside it and is no published DOLOS or"):
            network_for(path, "dolos-patches")

    def test_a_tar_that_would_run_code(self, tmp_path: Path) -> None:
        path = tmp_path / "xcp_reg.tar"
        torch.save({"net": official_state("patches-2"), "made_by": nn.Linear(1, 1)}, path)
        with pytest.raises(UnsafeWeightsError, match="nothing was loaded; ask its author"):
            network_for(path, "dolos-attention-weak")

    @pytest.mark.parametrize("method", METHODS)
    def test_weights_of_every_methods_own_name(self, method: str) -> None:
        """Shipped ones run; others say in one line how to get them."""
        card = card_for(method)
        assert card is not None
        assert (card.method, card.backbone) == (method, "xception")
        described = module_for(**card.options)
        assert isinstance(described, DolosNetwork)
        assert described.name == method
        if card.shipped:
            network, loaded = network_for(method, method)
            assert (network.name, loaded.sha256) == (method, card.sha256)
            return
        with pytest.raises(WeightsNotFoundError, match=f"train {method.removesuffix('-weak')}-"):
            network_for(method, method)

    def test_a_card_of_object_classes(self) -> None:
        network = module_for(classes=1000)
        assert isinstance(network, XceptionFile)
        assert network.eval()(torch.zeros(1, 3, 71, 71)).shape == (1, 1000)
