import pytest

from tamperscope.errors import ConfigError, UnknownNameError
from tamperscope.methods.fakelocator.config import PRESETS, FakeLocatorConfig, resolve


def test_presets_and_options_from_text() -> None:
    assert resolve("default", {}) == FakeLocatorConfig()
    config = resolve("map-decision", {"threshold": "0.3", "mask_real": "yes", "size": "128"})
    assert (config.decision, config.threshold, config.mask_real, config.size) == (
        "map", 0.3, True, 128,
    )  # fmt: skip
    assert list(PRESETS) == ["default", "map-decision"]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("size", 8, "size must be from 32 to 4096 pixels, or 0 for that of the weights"),
        ("size", -1, "size must be from 32 to 4096 pixels"),
        ("decision", "both", "no decision 'both'; known: label, map"),
        ("threshold", 2.0, r"threshold must be in \[0, 1\], or -1"),
        ("map_threshold", -3.0, r"map_threshold must be in \[0, 1\], or -1"),
        ("face_share", 1.5, r"face_share must be a share in \[0, 1\]"),
        ("min_region", 1.0, r"min_region must be a share in \[0, 1\)"),
        ("opening", -1.0, "opening must be from 0 to 1000 pixels"),
        ("parser", "", "parser must be 'shipped', 'none', or a name or file"),
    ],
)
def test_values_that_cannot_be(name: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve("default", {name: value})


def test_unknown_options_are_named() -> None:
    with pytest.raises(UnknownNameError, match="option of fakelocator 'treshold'; did you mean"):
        resolve("default", {"treshold": 1})
