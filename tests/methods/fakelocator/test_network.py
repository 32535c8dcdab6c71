import copy
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from methods.fakelocator.toys import NETWORK, random_network, save_network, save_random
from tamperscope.errors import ConfigError, UnknownNameError, WeightsError, WeightsHashError
from tamperscope.face_parsing.attention import DEFAULT_WEIGHTS
from tamperscope.methods.fakelocator.network import (
    FakeLocatorNetwork,
    build_network,
    module_for,
    network_for,
)


def picture(batch: int = 2, h: int = 64, w: int = 64) -> torch.Tensor:
    return torch.rand(batch, 3, h, w, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize(
    "config",
    [
        {"encoder": "resnet18", "encoder_depth": 3, "decoder_channels": 32},
        {"encoder": "resnet18", "encoder_depth": 4, "decoder_channels": [32]},
        {"architecture": "unet", "encoder": "resnet18", "encoder_depth": 2},
        {"architecture": "unet", "encoder": "mobilenet_v2", "encoder_depth": 4},
        {"architecture": "unet", "encoder": "tu-resnet10t", "encoder_depth": 3},
        {"architecture": "fpn", "encoder": "efficientnet-b0"},
        {"architecture": "linknet", "encoder": "resnet18", "attention_mode": "residual"},
        {"architecture": "pspnet", "encoder": "resnet18", "encoder_depth": 3},
        {"architecture": "unet", "encoder": "mit_b0", "attention": "none"},
    ],
    ids=str,
)
@torch.inference_mode()
def test_architectures_and_encoders(config: dict[str, Any]) -> None:
    network = build_network(config).eval()
    outputs = network(picture())
    assert outputs["map_logits"].shape == (2, 1, 64, 64)
    assert outputs["label_logits"].shape == (2, 2)
    assert outputs["embedding"].shape == (2, network.label_head.in_features)
    assert network.uses_attention == (config.get("attention") != "none")
    if network.uses_attention:
        nothing = network(picture(), torch.zeros(2, 1, 64, 64))
        assert not torch.equal(nothing["map_logits"], outputs["map_logits"])


def test_the_default_is_the_paper_s_size() -> None:
    with torch.device("meta"):
        network = build_network({})
    weights = sum(p.numel() for p in network.parameters())
    assert 26e6 < weights < 28e6
    assert network.input_size == 256
    assert network.attention_weights == dict(DEFAULT_WEIGHTS)


def test_stages_that_the_depth_leaves_out_cost_nothing() -> None:
    network = build_network(NETWORK)
    assert not hasattr(network.encoder, "layer4")
    assert sum(p.numel() for p in network.parameters()) < 1_000_000
    loss = sum(output.sum() for output in network(picture()).values())
    assert isinstance(loss, torch.Tensor)
    loss.backward()
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize("size", [(1, 1), (33, 70), (256, 100)])
@torch.inference_mode()
def test_any_size(size: tuple[int, int]) -> None:
    network = random_network()
    outputs = network(picture(1, *size), torch.rand(1, 1, *size))
    assert outputs["map_logits"].shape == (1, 1, *size)
    assert all(bool(torch.isfinite(value).all()) for value in outputs.values())


# --- attention ---------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", [0, 1, 2])
@torch.inference_mode()
def test_attention_is_multiplied_into_the_stage(stage: int) -> None:
    network = random_network(attention_stage=stage)
    attention = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(2))
    plain = random_network(attention="none")
    encoder: Any = plain.encoder
    layers = [lambda x: encoder.layer1(encoder.maxpool(x)), encoder.layer2]
    x = encoder.relu(encoder.bn1(encoder.conv1(picture())))
    features = [picture()]
    for i in range(3):
        if i:
            x = layers[i - 1](x)
        if i == stage:
            cell = 2 ** (i + 1)
            small = torch.nn.functional.interpolate(
                attention, size=(64 // cell, 64 // cell), mode="bilinear", antialias=True
            )
            x = x * small
        features.append(x)
    outputs = network(picture(), attention)
    pooled = torch.cat([features[-1].mean((2, 3)), features[-1].amax((2, 3))], 1)
    torch.testing.assert_close(outputs["embedding"], pooled)
    expected = plain.map_head(plain.decoder(features))
    torch.testing.assert_close(outputs["map_logits"], expected)


@torch.inference_mode()
def test_none_is_the_same_as_one_everywhere() -> None:
    for mode in ("multiply", "residual"):
        network = random_network(attention_mode=mode)
        torch.testing.assert_close(
            network(picture())["map_logits"],
            network(picture(), torch.ones(2, 1, 64, 64))["map_logits"],
        )


@torch.inference_mode()
def test_residual_attention_of_zero_is_no_attention() -> None:
    network, plain = random_network(attention_mode="residual"), random_network(attention="none")
    plain.load_state_dict(network.state_dict())
    nothing = network(picture(), torch.zeros(2, 1, 64, 64))
    torch.testing.assert_close(nothing["map_logits"], plain(picture())["map_logits"])


@torch.inference_mode()
def test_what_is_not_attended_to_is_not_seen() -> None:
    network = random_network()
    blank = torch.zeros(1, 1, 64, 64)
    a, b = picture(2).split(1)
    assert torch.equal(network(a, blank)["embedding"], network(b, blank)["embedding"])
    assert not torch.equal(network(a)["embedding"], network(b)["embedding"])


@torch.inference_mode()
def test_networks_without_attention_ignore_it() -> None:
    network = random_network(attention="none")
    assert torch.equal(
        network(picture())["map_logits"],
        network(picture(), torch.zeros(2, 1, 64, 64))["map_logits"],
    )


def test_threads_do_not_see_each_other_s_attention() -> None:
    network = random_network()
    attentions = [torch.zeros(1, 1, 64, 64), torch.ones(1, 1, 64, 64)]
    with torch.inference_mode():
        expected = [network(picture(1), a)["map_logits"].clone() for a in attentions]
    right: list[bool] = []

    def work(i: int) -> None:
        with torch.inference_mode():
            for _ in range(10):
                found = network(picture(1), attentions[i])["map_logits"]
                right.append(torch.equal(found, expected[i]))

    threads = [threading.Thread(target=work, args=(i,)) for i in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 20


@torch.inference_mode()
def test_copies_keep_their_attention() -> None:
    network = copy.deepcopy(random_network())
    blank = torch.zeros(1, 1, 64, 64)
    a, b = picture(2).split(1)
    assert torch.equal(network(a, blank)["embedding"], network(b, blank)["embedding"])


def test_building_leaves_training_mode_and_statistics_alone() -> None:
    network = build_network(NETWORK)
    assert all(module.training for module in network.modules())
    counters = [v for k, v in network.state_dict().items() if k.endswith("num_batches_tracked")]
    assert counters
    assert not any(int(counter) for counter in counters)


# --- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ({"encodr": "a"}, UnknownNameError, "option of the fakelocator network 'encodr'"),
        ({"architecture": "unett"}, UnknownNameError, "segmentation architecture 'unett'; did"),
        ({"encoder": "resnet19"}, UnknownNameError, "segmentation encoder 'resnet19'; did"),
        ({"encoder": "tu-none"}, ConfigError, "encoder tu-none .* cannot be built"),
        ({"encoder_depth": 0}, ConfigError, "encoder_depth must be from 1 to 5, not 0"),
        ({"encoder_depth": "3"}, ConfigError, "encoder_depth must be from 1 to 5, not '3'"),
        ({"attention": "all"}, ConfigError, "no attention 'all'; known: none, parts"),
        ({"attention_mode": "add"}, ConfigError, "known: multiply, residual"),
        ({"attention_stage": 3}, ConfigError, "attention_stage must be from 0 to 2, not 3"),
        ({"attention_weights": {"moth": 1}}, UnknownNameError, "did you mean 'mouth'"),
        ({"attention_weights": {"hair": 2}}, ConfigError, "weight of 'hair' must be in"),
        ({"decoder_channels": [8, 8]}, ConfigError, "cannot be built"),
        (
            {"architecture": "deeplabv3plus", "decoder_channels": [8, 8]},
            ConfigError,
            "takes one number of decoder_channels",
        ),
        ({"architecture": "fpn"}, ConfigError, "fpn has no decoder_channels: leave them out"),
        (
            {"encoder": "mit_b0", "encoder_depth": 5, "decoder_channels": []},
            ConfigError,
            "mit_b0 has no module that ends with stage 1",
        ),
    ],
)
def test_options_that_cannot_be(config: dict[str, Any], error: type, message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        build_network({**NETWORK, **config})
    assert "\n" not in str(caught.value)


def test_a_file_with_its_card_is_all_it_takes(tmp_path: Path) -> None:
    path = save_random(tmp_path / "net.safetensors", options={"attention_weights": {"eyes": 0.5}})
    network, loaded = network_for(path)
    assert isinstance(network, FakeLocatorNetwork)
    assert network.attention_weights == {"eyes": 0.5}
    assert loaded.card is not None
    path.with_suffix(".toml").unlink()
    with pytest.raises(WeightsError, match="no card beside it, so its network is unknown"):
        network_for(path)


def test_files_for_other_methods_are_refused() -> None:
    with pytest.raises(WeightsError, match="focal-compact is for 'focal', not for fakelocator"):
        network_for("focal-compact")


def test_a_card_downloads_nothing() -> None:
    network = module_for(**NETWORK, encoder_weights="imagenet")
    assert isinstance(network, FakeLocatorNetwork)


def test_weights_that_cannot_be_downloaded_are_one_line() -> None:
    with pytest.raises(ConfigError, match="imagenet.* could not be downloaded") as caught:
        build_network({**NETWORK, "encoder_weights": "imagenet"})
    assert "\n" not in str(caught.value)


def test_an_encoder_starts_from_the_file_that_its_card_knows(tmp_path: Path) -> None:
    trained = random_network(seed=5)
    right, wrong = tmp_path / "right.safetensors", tmp_path / "wrong.safetensors"
    save_network(right, trained)
    save_network(wrong, trained, sha256="0" * 64)
    built = build_network({**NETWORK, "encoder_weights": str(right)}).encoder.state_dict()
    for key, value in trained.encoder.state_dict().items():
        torch.testing.assert_close(built[key], value, rtol=1e-3, atol=1e-4)
    with pytest.raises(WeightsHashError, match=r"wrong\.safetensors .* its card says 00000"):
        build_network({**NETWORK, "encoder_weights": str(wrong)})
