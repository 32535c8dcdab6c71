"""Published key lists (`keys_focal_*_official_ckpt.json`) and the forms they occur in."""

import json

import pytest
import torch

from reference import recipe
from tamperscope.errors import UnknownNameError, WeightsMismatchError
from tamperscope.weights import detect_kind, native_state, published_options

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


OFFICIAL = {
    "patches_block1": ("dolos-patches", "head.weight"),
    "patches_block2": ("dolos-patches", "head.weight"),
    "patches_block3": ("dolos-patches", "head.weight"),
    "attention": ("ffd-xcp-reg", "map.conv1.weight"),
    "gradcam_full": ("dolos-gradcam", "head.4.bias"),
    "gradcam_weak": ("dolos-gradcam-weak", "xception.fc.weight"),
}


def xception(name: str) -> dict[str, tuple[int, ...]]:
    entries = json.loads((recipe.FOLDER / f"keys_dolos_{name}.json").read_text())
    return {key: tuple(entry["shape"]) for key, entry in entries.items()}


@pytest.mark.parametrize("prefix", ["module.", ""])
@pytest.mark.parametrize("name", OFFICIAL)
def test_every_xception(name: str, prefix: str) -> None:
    kind, known = OFFICIAL[name]
    state = {prefix + key: shape for key, shape in xception(name).items()}
    assert detect_kind(state) == kind
    native = native_state(state, kind)
    assert known in native
    assert all(key.startswith(("xception.", "head.", "map.")) for key in native)
    # of the fully convolutional network, what lies behind block 11 is left out
    assert len(native) == len(state) - (34 if name == "gradcam_full" else 0)
    assert native_state(native, kind) == native
    assert detect_kind(native) == "native"


def test_the_same_xception_under_two_names() -> None:
    """FFD's keys become timm's: the shared part of both networks has equal keys and shapes."""
    attention = native_state(xception("attention"), "ffd-xcp-reg")
    gradcam = native_state(xception("gradcam_weak"), "dolos-gradcam-weak")
    assert gradcam == {k: v for k, v in attention.items() if not k.startswith("map.")}


def test_patches_say_where_they_end() -> None:
    for block in (1, 2, 3):
        state = xception(f"patches_block{block}")
        for kind in ("dolos-patches", "dolos-patches-weak"):
            assert published_options(state, kind) == {"block": block}
            assert published_options(native_state(state, kind), kind) == {"block": block}
    assert published_options(xception("attention"), "ffd-xcp-reg") == {}


def test_object_classes_are_told_from_real_and_fake() -> None:
    state = xception("gradcam_weak") | {"fc.weight": (1000, 2048), "fc.bias": (1000,)}
    assert detect_kind(state) == "xception-imagenet"
    last = {key.replace("fc.", "last_linear."): shape for key, shape in state.items()}
    assert detect_kind(last) == "xception-imagenet"
    assert native_state(last, "xception-imagenet") == native_state(state, "xception-imagenet")
    del state["block12.skip.weight"]
    assert detect_kind(state) == "native"


def test_old_files_are_brought_up_to_date() -> None:
    old = {
        "block1.rep.0.pointwise.weight": torch.ones(4, 3),
        "bn1.running_mean": torch.ones(4),
        "fc.weight": torch.ones(5, 4),
    }
    new = native_state(old, "xception-imagenet")
    assert new["xception.block1.rep.0.pointwise.weight"].shape == (4, 3, 1, 1)
    assert new["xception.fc.weight"].shape == (5, 4)
    counter = new["xception.bn1.num_batches_tracked"]
    assert (counter.dtype, counter.item()) == (torch.int64, 0)
    some = {**old, "bn2.num_batches_tracked": torch.tensor(7)}
    assert "xception.bn1.num_batches_tracked" not in native_state(some, "xception-imagenet")
    assert old["block1.rep.0.pointwise.weight"].shape == (4, 3)
