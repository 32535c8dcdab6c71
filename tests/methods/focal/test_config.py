"""Presets, overrides, and what is refused."""

from dataclasses import fields
from typing import Any, get_args

import pytest

from tamperscope.errors import ConfigError, UnknownNameError
from tamperscope.methods.focal import config as module
from tamperscope.methods.focal.config import PRESETS, FocalConfig, resolve


def test_presets_are_those_of_the_card() -> None:
    from tamperscope import catalog

    assert tuple(PRESETS) == catalog.card("focal").presets


def test_default_preset_is_the_default_configuration() -> None:
    assert PRESETS["default"] == FocalConfig()


def test_as_released_is_what_the_released_code_does() -> None:
    released = PRESETS["as-released"]
    assert (released.geometry, released.square_size) == ("square", 1024)
    assert (released.clustering, released.kmeans_restarts) == ("kmeans", 8)
    assert (released.pristine, released.upsampling) == ("released", "bilinear")
    assert (released.max_points, released.copies) == (0, False)


def test_as_published_is_what_the_paper_says() -> None:
    published = PRESETS["as-published"]
    assert (published.clustering, published.min_cluster_size) == ("hdbscan", 200)
    assert (published.min_samples, published.metric) == (0, "euclidean")
    assert (published.pristine, published.noise) == ("largest", "forged-cluster")
    assert (published.geometry, published.upsampling) == ("square", "nearest")
    assert (published.max_points, published.copies) == (0, False)


def test_overrides_replace_single_fields() -> None:
    changed = resolve("as-published", {"min_cluster_size": 500, "noise": "pristine"})
    assert (changed.min_cluster_size, changed.noise) == (500, "pristine")
    assert changed.pristine == PRESETS["as-published"].pristine
    assert PRESETS["as-published"].min_cluster_size == 200


@pytest.mark.parametrize(
    ("name", "given", "meant"),
    [
        ("tile", "512", 512),
        ("tile", 512.0, 512),
        ("threshold", "0.25", 0.25),
        ("threshold", 1, 1.0),
        ("fill_holes", "yes", True),
        ("fill_holes", "False", False),
        ("fill_holes", 1, True),
        ("clustering", "kmeans", "kmeans"),
    ],
)
def test_values_may_come_as_text(name: str, given: Any, meant: Any) -> None:
    value = getattr(resolve("default", {name: given}), name)
    assert (value, type(value)) == (meant, type(meant))


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("tile", "wide", "focal: tile must be a whole number, not 'wide'"),
        ("tile", 512.5, "focal: tile must be a whole number, not 512.5"),
        ("tile", float("inf"), "focal: tile must be a whole number, not inf"),
        ("opening", True, "focal: opening must be a whole number, not True"),
        ("threshold", "low", "focal: threshold must be a number, not 'low'"),
        ("threshold", None, "focal: threshold must be a number, not None"),
        ("fill_holes", "perhaps", "focal: fill_holes must be true or false, not 'perhaps'"),
    ],
)
def test_values_of_the_wrong_kind(name: str, given: Any, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        resolve("default", {name: given})
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("square_size", 31, "square_size must be at least 32"),
        ("tile", 1000, "tile must be a multiple of 32, at least 64"),
        ("tile", 32, "tile must be a multiple of 32, at least 64"),
        ("overlap", 100, "overlap must be a multiple of 32, at most half a tile"),
        ("overlap", 544, "overlap must be a multiple of 32, at most half a tile"),
        ("overlap", -32, "overlap must be a multiple of 32, at most half a tile"),
        ("min_cluster_size", 1, "min_cluster_size must be at least 2"),
        ("kmeans_restarts", 0, "kmeans_restarts must be at least 1"),
        ("min_samples", -1, "min_samples must be 0 or more"),
        ("max_points", -1, "max_points must be 0 or more"),
        ("opening", -1, "opening must be 0 or more"),
        ("closing", -1, "closing must be 0 or more"),
        ("dilation", -1, "dilation must be 0 or more"),
        ("erosion", -1, "erosion must be 0 or more"),
        ("seed", -1, "seed must be 0 or more, below 2**63"),
        ("seed", 2**63, "seed must be 0 or more, below 2**63"),
        ("min_region", 1.0, "min_region must be a share in [0, 1)"),
        ("min_region", float("nan"), "min_region must be a share in [0, 1)"),
        ("threshold", 1.5, "threshold must be in [0, 1], or -1 for the one on the weights card"),
        ("threshold", float("-inf"), "threshold must be in [0, 1], or -1 for the one"),
        ("image_threshold", float("nan"), "image_threshold must be in [0, 1], or -1 for the one"),
    ],
)
def test_values_out_of_range(name: str, given: Any, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        resolve("default", {name: given})
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


CHOICES = {
    "geometry": module.Geometry,
    "clustering": module.Clustering,
    "metric": module.Metric,
    "approximation": module.Approximation,
    "pristine": module.PristineRule,
    "noise": module.NoiseRule,
    "majority": module.MajorityRule,
    "upsampling": module.Upsampling,
    "cut": module.Cut,
}


def test_every_field_of_words_has_its_choices() -> None:
    words = {f.name for f in fields(FocalConfig) if isinstance(getattr(FocalConfig(), f.name), str)}
    assert words == set(CHOICES)


@pytest.mark.parametrize("name", CHOICES)
def test_choices(name: str) -> None:
    known = get_args(CHOICES[name])
    assert len(known) >= 2
    for value in known:
        assert getattr(resolve("default", {name: value}), name) == value
    with pytest.raises(ConfigError) as raised:
        resolve("default", {name: "nosuch"})
    assert str(raised.value) == f"focal has no {name} 'nosuch'; known: {', '.join(known)}"


def test_the_released_rule_needs_two_clusters() -> None:
    with pytest.raises(ConfigError, match="pristine=released needs exactly two clusters"):
        resolve("as-published", {"pristine": "released"})


def test_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match="unknown preset of focal 'as-relased'; did you"):
        resolve("as-relased", {})
    with pytest.raises(UnknownNameError, match="option of focal 'min_cluster'; did you mean 'min_"):
        resolve("default", {"min_cluster": 5})
