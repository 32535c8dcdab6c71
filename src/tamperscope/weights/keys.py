"""How published checkpoints write their keys, and how we do. Pure functions on dicts."""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from tamperscope.errors import WeightsMismatchError, unknown

Value = TypeVar("Value")

# DataParallel adds the first, FOCAL's wrapper around its network the second
_PREFIXES = ("module.net.", "net.", "module.")
_SAM_ENCODER = "image_encoder."
_SAM_REST = ("prompt_encoder.", "mask_decoder.")
# reported by users of the published files; no module of the released code has them
_UNUSED = ("fc.weight", "fc.bias")
_XCEPTION_NATIVE = ("xception.", "head.", "map.")
_XCEPTION_EXIT = ("block12.", "conv3.", "bn3.", "conv4.", "bn4.", "fc.")
_COUNTER = "num_batches_tracked"


def _hrnet_key(key: str) -> str | None:
    if key in ("final_layer.weight", "final_layer.bias") or key.endswith(_UNUSED):
        return None
    return f"net.{key}"


def _vit_key(key: str) -> str | None:
    if key.startswith(_SAM_REST) or key.endswith(_UNUSED):
        return None
    return "net." + key.removeprefix(_SAM_ENCODER).replace(".mlp.lin", ".mlp.fc")


def _xception_key(key: str) -> str:
    """Keys of timm, Cadene and DOLOS's Patches, or those of FFD; classifiers included."""
    if key.startswith("convout."):
        return "head." + key.removeprefix("convout.")
    key = key.replace(".skip_bn.", ".skipbn.").replace(".c.weight", ".conv1.weight")
    key = key.replace("last_linear.", "fc.").replace("map.c.", "map.")
    return key if key.startswith(_XCEPTION_NATIVE) else f"xception.{key}"


def _fcn_key(key: str) -> str | None:
    bare = key.removeprefix("xcp_backbone.")
    # the released code builds the whole Xception and uses it up to block 11
    if bare.removeprefix("xception.").startswith(_XCEPTION_EXIT):
        return None
    return _xception_key(bare)


_RENAME: dict[str, Callable[[str], str | None]] = {
    "focal-hrnet": _hrnet_key,
    "focal-vit": _vit_key,
    "dolos-patches": _xception_key,
    "dolos-patches-weak": _xception_key,
    "dolos-gradcam": _fcn_key,
    "dolos-gradcam-weak": _xception_key,
    "ffd-xcp-reg": _xception_key,
    "xception-imagenet": _xception_key,
    "bisenet": str,
}
_FOCAL = ("focal-hrnet", "focal-vit")
KINDS = ("native", *_RENAME)


def _bare(key: str) -> str:
    return next((key[len(prefix) :] for prefix in _PREFIXES if key.startswith(prefix)), key)


def detect_kind(state: Mapping[str, object]) -> str:
    """One of the kinds of `native_state`, or ``"native"`` for keys of any other network.

    Goes by keys that only those networks have; whether the file is complete is for the strict load.
    Patches trained from labels and from masks have the same keys and both count as
    ``"dolos-patches"``; FFD's network and DOLOS's Attention both as ``"ffd-xcp-reg"``.
    """
    bare = {_bare(key).removeprefix(_SAM_ENCODER) for key in state}
    if any(key.startswith("stage4.") and ".fuse_layers." in key for key in bare):
        return "focal-hrnet"
    if any(key.startswith("blocks.") and key.endswith(".attn.rel_pos_h") for key in bare):
        return "focal-vit"
    if "cp.arm16.conv_atten.weight" in bare:
        return "bisenet"
    return _detect_xception(bare, {_bare(key): value for key, value in state.items()})


def _detect_xception(bare: set[str], state: Mapping[str, object]) -> str:
    if any(key.startswith("xcp_backbone.block11.") for key in bare):
        return "dolos-gradcam"
    if not any(key.startswith("block1.rep.") for key in bare):
        return "native"
    if "convout.weight" in bare:
        return "dolos-patches"
    if any(key.startswith("map.c.") for key in bare):
        return "ffd-xcp-reg"
    head = state.get("fc.weight", state.get("last_linear.weight"))
    if head is None or "block12.skip.weight" not in bare:
        return "native"
    classes = getattr(head, "shape", head)[0]  # type: ignore[index]
    return "dolos-gradcam-weak" if classes == 2 else "xception-imagenet"


def published_options(state: Mapping[str, object], kind: str) -> dict[str, int]:
    """What the keys of a published file say about its network, for its card: Patches end after
    block 1, 2 or 3.
    """
    if not kind.startswith("dolos-patches"):
        return {}
    blocks = [int(m[1]) for key in state if (m := re.search(r"(?:^|\.)block(\d+)\.", key))]
    return {"block": max(blocks, default=0)}


def native_state(state: Mapping[str, Value], kind: str) -> dict[str, Value]:
    """The same values under our keys; ``"native"`` is returned as it is.

    FOCAL's become ``net.<timm's key>``, those of any Xception ``xception.<timm's key>``, with
    ``head`` and ``map`` beside it; BiSeNet's stay. Prefixes ``module.net.``, ``net.``, ``module.``
    or none are accepted; for the ViT with or without ``image_encoder.``. Dropped: from FOCAL, keys
    ending in ``fc.weight`` or ``fc.bias``, the HRNet's ``final_layer``, and SAM's prompt encoder
    and mask decoder; from DOLOS's fully convolutional network, what lies behind block 11. All else
    is kept, known or not, for the strict load to judge. Old Xception files write 1x1 convolutions
    as matrices and lack batch-norm counters: tensors get two axes and counters of 0. Applying it
    twice changes nothing.

    Raises:
        UnknownNameError: no such kind.
        WeightsMismatchError: two keys become the same one.
    """
    if kind not in KINDS:
        raise unknown("kind of checkpoint", kind, KINDS)
    if kind == "native":
        return dict(state)
    renamed: dict[str, Value] = {}
    for key, value in state.items():
        name = _RENAME[kind](_bare(key))
        if name is None:
            continue
        if name in renamed:
            raise WeightsMismatchError(
                f"key {_bare(key)!r} occurs twice under different prefixes: save one network per "
                "file"
            )
        renamed[name] = value
    return renamed if kind in _FOCAL else _modernised(renamed)


def _modernised(state: dict[str, Any]) -> dict[str, Any]:
    for key, value in state.items():
        if key.endswith(".pointwise.weight") and getattr(value, "ndim", 4) == 2:
            state[key] = value[:, :, None, None]
    # A file that has some counters and lacks others is damaged, not old.
    if any(key.endswith(_COUNTER) for key in state):
        return state
    counters = {
        key.removesuffix("running_mean") + _COUNTER: value.new_zeros(()).long()
        for key, value in state.items()
        if key.endswith(".running_mean") and hasattr(value, "new_zeros")
    }
    return state | counters
