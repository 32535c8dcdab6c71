import pytest

from tamperscope.errors import ConfigError, UnknownNameError
from tamperscope.methods.dolos.config import PRESETS, DolosConfig, resolve


def test_presets() -> None:
    assert resolve("dolos-patches", "default", {}) == DolosConfig()
    assert resolve("dolos-patches", "clustered", {}).decision == "hdbscan"
    with pytest.raises(UnknownNameError, match="preset of dolos-patches 'cluster'; did you mean"):
        resolve("dolos-patches", "cluster", {})


def test_overrides_may_be_text() -> None:
    config = resolve("d", "default", {"threshold": "0.25", "size": "128", "fill_holes": "yes"})
    assert (config.threshold, config.size, config.fill_holes) == (0.25, 128, True)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("size", 31, "size must be from 32 to 4096 pixels, or 0 for that of the weights"),
        ("size", -1, "size must be from 32 to 4096 pixels"),
        ("size", 1.5, "d: size must be a whole number, not 1.5"),
        ("resample", "cubic", "no resample 'cubic'; known: auto, lanczos, bilinear"),
        ("upsampling", "area", "no upsampling 'area'; known: bicubic, bilinear, nearest"),
        ("decision", "kmeans", "no decision 'kmeans'; known: threshold, hdbscan"),
        ("image_score", "label", "no image_score 'label'; known: auto, paper, mean, max, top"),
        ("cluster_on", "pixels", "no cluster_on 'pixels'; known: features, scores"),
        ("noise", "forged", "no noise 'forged'; known: forged-cluster, nearest, pristine"),
        ("min_cluster_size", 1, "min_cluster_size must be at least 2, or 0 to scale"),
        ("min_samples", -1, "min_samples must be 0 or more"),
        ("smoothing", -0.5, "smoothing must be from 0 to 1000 cells, or -1 for the one on the"),
        ("dilation", float("nan"), "dilation must be from 0 to 1000 cells"),
        ("min_region", 1.0, r"min_region must be a share in \[0, 1\)"),
        ("threshold", 1.5, r"threshold must be in \[0, 1\], or -1 for the one on the weights card"),
        ("image_threshold", "x", "image_threshold must be a number, not 'x'"),
        ("fill_holes", "maybe", "fill_holes must be true or false, not 'maybe'"),
    ],
)
def test_values_that_cannot_be(name: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve("d", "default", {name: value})


def test_unknown_options_are_named() -> None:
    with pytest.raises(UnknownNameError, match="option of dolos-patches 'thresh'; did you mean"):
        resolve("dolos-patches", "default", {"thresh": 0.5})


def test_cluster_size_follows_the_grid() -> None:
    config = PRESETS["clustered"]
    assert [config.cluster_size(side**2) for side in (256, 74, 37, 19, 3)] == [1000, 84, 21, 6, 5]
    assert DolosConfig(min_cluster_size=300).cluster_size(19**2) == 300
