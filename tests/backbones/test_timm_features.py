import pytest
import timm
import torch

from tamperscope.backbones import create_backbone
from tamperscope.backbones.timm_features import TimmBackbone
from tamperscope.errors import ConfigError, UnknownNameError, WeightsNotFoundError

EXPECTED = {
    "test_convnext": (4, 24),
    "test_resnet": (4, 32),
    "test_efficientnet": (4, 24),
    "test_vit": (16, 64),
    "hrnet_w18_small_v2": (4, 128),
    "convnext_atto": (4, 40),
    "vit_tiny_patch16_224": (16, 192),
    "vit_small_patch16_dinov3": (16, 384),
    "swin_tiny_patch4_window7_224": (4, 96),
}


@pytest.mark.parametrize(("model", "expected"), EXPECTED.items())
@torch.inference_mode()
def test_default_level_on_odd_sizes(model: str, expected: tuple[int, int]) -> None:
    backbone = create_backbone(f"timm:{model}").eval()
    assert backbone.name == f"timm:{model}"
    assert (backbone.stride, backbone.channels) == expected
    for h, w in [(1, 1), (37, 90), (64, 64)]:
        features = backbone(torch.rand(1, 3, h, w))
        stride, channels = expected
        assert features.shape == (1, channels, -(-h // stride), -(-w // stride))
        assert torch.isfinite(features).all()


@torch.inference_mode()
def test_levels() -> None:
    for level, stride in [(0, 4), (1, 8), (-1, 32)]:
        backbone = create_backbone("timm:test_convnext", level=level)
        assert backbone.stride == stride
        assert backbone(torch.rand(1, 3, 50, 40)).shape[-2:] == (-(-50 // stride), -(-40 // stride))


def test_level_out_of_range() -> None:
    with pytest.raises(ConfigError, match=r"levels 0..3 with strides \[4, 8, 16, 32\], not 4"):
        create_backbone("timm:test_convnext", level=4)


@torch.inference_mode()
def test_all_levels_of_a_vit_have_one_stride_and_the_deepest_is_taken() -> None:
    backbone = create_backbone("timm:test_vit")
    assert isinstance(backbone, TimmBackbone)
    assert backbone.level == 5


@torch.inference_mode()
def test_output_is_timms_own() -> None:
    torch.manual_seed(0)
    backbone = create_backbone("timm:test_convnext").eval()
    torch.manual_seed(0)
    plain = timm.create_model("test_convnext", features_only=True, out_indices=(0,)).eval()
    x = torch.rand(1, 3, 64, 96)
    torch.testing.assert_close(backbone(x), plain(x)[0], rtol=0, atol=0)


@torch.inference_mode()
def test_normalize_uses_the_models_mean_and_deviation() -> None:
    torch.manual_seed(0)
    plain = create_backbone("timm:test_convnext").eval()
    torch.manual_seed(0)
    scaled = create_backbone("timm:test_convnext", normalize=True).eval()
    config = timm.get_pretrained_cfg("test_convnext")
    assert config is not None
    mean, std = (torch.tensor(value).view(1, 3, 1, 1) for value in (config.mean, config.std))
    x = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(scaled(x), plain((x - mean) / std))
    assert scaled.state_dict().keys() == plain.state_dict().keys()


def test_options_reach_timm() -> None:
    backbone = create_backbone("timm:hrnet_w18_small_v2", feature_location="")
    assert (backbone.stride, backbone.channels) == (4, 18)


def test_bfloat16() -> None:
    backbone = create_backbone("timm:test_vit").eval()
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.isfinite(backbone(torch.rand(1, 3, 40, 40))).all()


def test_unknown_model_names_the_nearest() -> None:
    with pytest.raises(
        UnknownNameError, match="unknown timm model 'convnext_attoo'; did you mean convnext_atto"
    ):
        create_backbone("timm:convnext_attoo")


def test_unknown_option() -> None:
    with pytest.raises(
        ConfigError, match=r"timm:test_convnext does not take these options.*'colour'"
    ):
        create_backbone("timm:test_convnext", colour=3)


def test_network_of_one_size_only() -> None:
    backbone = create_backbone("timm:mixer_s32_224")
    with pytest.raises(ConfigError, match=r"mixer_s32_224 does not take pictures of \(64, 32\)"):
        backbone(torch.rand(1, 3, 50, 32))


def test_pretrained_without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    real = timm.create_model

    def offline(model: str, *, pretrained: bool = False, **options: object) -> torch.nn.Module:
        if pretrained:
            raise OSError("no route to host")
        return real(model, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(
        WeightsNotFoundError, match=r"no route to host\): connect to the network once"
    ):
        create_backbone("timm:test_convnext", pretrained=True)


def test_pretrained_weights_that_do_not_exist() -> None:
    with pytest.raises(WeightsNotFoundError, match="no pretrained weights for davit_large: leave"):
        create_backbone("timm:davit_large", pretrained=True)
