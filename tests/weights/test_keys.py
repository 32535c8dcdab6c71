"""Published key lists (`keys_focal_*_official_ckpt.json`) and the forms they occur in."""

import json

import pytest

from reference import recipe
from tamperscope.errors import UnknownNameError, WeightsMismatchError
from tamperscope.weights import detect_kind, native_state

PREFIXES = ["module.net.", "net.", "module.", ""]


def published(kind: str) -> dict[str, tuple[int, ...]]:
    name = f"keys_{kind.replace('-', '_')}_official_ckpt.json"
    entries = json.loads((recipe.FOLDER / name).read_text())
    return {key.removeprefix("module.net."): tuple(e["shape"]) for key, e in entries.items()}


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize(("kind", "count"), [("focal-hrnet", 1752), ("focal-vit", 345)])
def test_every_prefix_gives_the_same_keys(kind: str, count: int, prefix: str) -> None:
    state = {prefix + key: shape for key, shape in published(kind).items()}
    state |= {f"{prefix}fc.weight": (2, 2), f"{prefix}head.fc.bias": (2,)}
    assert detect_kind(state) == kind
    native = native_state(state, kind)
    assert len(native) == count
    assert native == native_state({f"module.net.{k}": v for k, v in published(kind).items()}, kind)
    assert native_state(native, kind) == native


def test_vit_without_the_encoders_prefix() -> None:
    full = published("focal-vit")
    bare = {
        key.removeprefix("image_encoder."): shape
        for key, shape in full.items()
        if key.startswith("image_encoder.")
    }
    assert detect_kind(bare) == "focal-vit"
    assert native_state(bare, "focal-vit") == native_state(full, "focal-vit")


def test_only_named_keys_are_dropped() -> None:
    state = {"net.final_layer.weight": 1, "net.fc.weight": 2, "net.fc1.weight": 3, "net.extra": 4}
    assert native_state(state, "focal-hrnet") == {"net.fc1.weight": 3, "net.extra": 4}
    state = {"prompt_encoder.a": 1, "mask_decoder.b": 2, "final_layer.weight": 3}
    assert native_state(state, "focal-vit") == {"net.final_layer.weight": 3}


def test_other_networks_keep_their_keys() -> None:
    state = {"module.stem.0.weight": 1, "fc.weight": 2}
    assert detect_kind(state) == "native"
    assert native_state(state, "native") == state


def test_a_key_under_two_prefixes() -> None:
    with pytest.raises(WeightsMismatchError, match=r"'conv1\.weight' occurs twice under different"):
        native_state({"module.net.conv1.weight": 1, "net.conv1.weight": 2}, "focal-hrnet")


def test_unknown_kind() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'focal-hrnet'"):
        native_state({}, "focal-hrnt")
