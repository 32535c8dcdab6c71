"""How published checkpoints write their keys, and how we do. Pure functions on dicts."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from tamperscope.errors import WeightsMismatchError, unknown

Value = TypeVar("Value")

# DataParallel adds the first, FOCAL's wrapper around its network the second
_PREFIXES = ("module.net.", "net.", "module.")
_SAM_ENCODER = "image_encoder."
_SAM_REST = ("prompt_encoder.", "mask_decoder.")
# reported by users of the published files; no module of the released code has them
_UNUSED = ("fc.weight", "fc.bias")


def _hrnet_key(key: str) -> str | None:
    return None if key in ("final_layer.weight", "final_layer.bias") else key


def _vit_key(key: str) -> str | None:
    if key.startswith(_SAM_REST):
        return None
    return key.removeprefix(_SAM_ENCODER).replace(".mlp.lin", ".mlp.fc")


_RENAME: dict[str, Callable[[str], str | None]] = {"focal-hrnet": _hrnet_key, "focal-vit": _vit_key}
KINDS = ("native", *_RENAME)


def _bare(key: str) -> str:
    return next((key[len(prefix) :] for prefix in _PREFIXES if key.startswith(prefix)), key)


def detect_kind(state: Mapping[str, object]) -> str:
    """``"focal-hrnet"``, ``"focal-vit"``, or ``"native"`` for keys of any other network.

    Goes by keys that only those networks have; whether the file is complete is for the strict load.
    """
    bare = {_bare(key).removeprefix(_SAM_ENCODER) for key in state}
    if any(key.startswith("stage4.") and ".fuse_layers." in key for key in bare):
        return "focal-hrnet"
    if any(key.startswith("blocks.") and key.endswith(".attn.rel_pos_h") for key in bare):
        return "focal-vit"
    return "native"


def native_state(state: Mapping[str, Value], kind: str) -> dict[str, Value]:
    """The same values under our keys, ``net.<timm's key>``; ``"native"`` is returned as it is.

    Prefixes ``module.net.``, ``net.``, ``module.`` or none are accepted; for the ViT with or
    without ``image_encoder.``. Dropped: keys ending in ``fc.weight`` or ``fc.bias``, the HRNet's
    ``final_layer``, and SAM's prompt encoder and mask decoder. All else is kept, known or not, for
    the strict load to judge. Applying it twice changes nothing.

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
        bare = _RENAME[kind](_bare(key))
        if bare is None or key.endswith(_UNUSED):
            continue
        if f"net.{bare}" in renamed:
            raise WeightsMismatchError(
                f"key {bare!r} occurs twice under different prefixes: save one network per file"
            )
        renamed[f"net.{bare}"] = value
    return renamed
