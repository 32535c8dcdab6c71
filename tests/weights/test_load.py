import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tamperscope.errors import (
    UnsafeWeightsError,
    WeightsError,
    WeightsHashError,
    WeightsMismatchError,
    WeightsNotFoundError,
)
from tamperscope.weights import (
    WeightsCard,
    card_for,
    cards,
    check_state,
    load_state,
    load_strict,
    load_weights,
    sha256_of,
    verify,
)
from tamperscope.weights.cards import format_card

STATE = {"weight": torch.arange(6.0).view(2, 3), "bias": torch.tensor([1.0, 2.0])}


class Trap:
    """What an attacker would pickle: unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.folder),)


def equal(found: dict[str, torch.Tensor]) -> bool:
    return found.keys() == STATE.keys() and all(
        torch.equal(found[key], STATE[key]) for key in STATE
    )


@pytest.mark.parametrize("wrap", [None, "state_dict", "model", "net"])
@pytest.mark.parametrize("zipped", [True, False])
def test_torch_files(tmp_path: Path, wrap: str | None, zipped: bool) -> None:
    stored = STATE if wrap is None else {wrap: STATE, "epoch": 3}
    torch.save(stored, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    assert equal(load_state(tmp_path / "w.pth"))


def test_safetensors_by_content_whatever_the_name(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "w.pth")
    assert equal(load_state(tmp_path / "w.pth"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_half_precision_is_upcast(tmp_path: Path, dtype: torch.dtype, name: str) -> None:
    half = {key: value.to(dtype) for key, value in STATE.items()} | {"n": torch.tensor(3)}
    (save_file if name.endswith("safetensors") else torch.save)(half, tmp_path / name)
    found = load_state(tmp_path / name)
    assert found.pop("n").dtype == torch.int64
    assert equal(found)


def test_loading_writes_nothing(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "w.pth")
    load_state(tmp_path / "w.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["w.pth"]


def test_hash_is_checked_before_anything_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"weight": Trap(tmp_path / "sprung")}, path)
    with pytest.raises(WeightsHashError, match=r"has sha256 \w{12}\.\.\., its card says 00000"):
        load_state(path, sha256="0" * 64)
    torch.save(STATE, path)
    assert equal(load_state(path, sha256=sha256_of(path).upper()))


@pytest.mark.parametrize("zipped", [True, False])
def test_code_is_refused_and_not_run(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "w.pth"
    torch.save({"weight": Trap(tmp_path / "sprung")}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UnsafeWeightsError, match="nothing was loaded; ask its author") as caught:
        load_state(path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "sprung").exists()


def test_a_plain_pickle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w.pkl").write_bytes(pickle.dumps({"weight": Trap(tmp_path / "sprung")}))
    # What happened, not the general advice that PyTorch starts its message with.
    with pytest.raises(WeightsError, match=r"w\.pkl .*damaged \(Unsupported operand 149"):
        load_state(tmp_path / "w.pkl")
    assert not (tmp_path / "sprung").exists()


def test_a_whole_network_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(3, 2), tmp_path / "w.pth")
    with pytest.raises(UnsafeWeightsError, match="ask its author for a state_dict or safetensors"):
        load_state(tmp_path / "w.pth")


def test_a_torchscript_archive_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:
        for name, data in [("version", b"3\n"), ("constants.pkl", b""), ("data.pkl", b"")]:
            archive.writestr(f"w/{name}", data)
    with pytest.raises(UnsafeWeightsError, match="holds Python objects or code"):
        load_state(tmp_path / "w.pt")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFoundError, match=r"no weights file .*w\.pth: check the path"):
        load_state(tmp_path / "w.pth")


PAGE = b"\xef\xbb\xbf\n<!DOCTYPE html><html><title>Quota exceeded</title></html>"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"is empty \(0 bytes\): download it again"),
        (PAGE, "is a web page, not weights: .* open it in a browser"),
        (b"garbage" * 9, r"is neither a safetensors nor a PyTorch file \(63 bytes"),
        (struct.pack("<Q", 1 << 40) + b'{"a":', "truncated or damaged"),
        (b"PK\x03\x04", "truncated or damaged"),
        (b"\x80", "truncated or damaged"),
        (b"\x80\x02garbage", "truncated or damaged"),
    ],
)
def test_files_that_are_no_weights(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "w.pth").write_bytes(data)
    with pytest.raises(WeightsError, match=message) as caught:
        load_state(tmp_path / "w.pth")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", ["safetensors", "zip", "legacy"])
def test_truncated_at_any_place(tmp_path: Path, form: str) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    if form == "safetensors":
        save_file(STATE, whole)
    else:
        torch.save(STATE, whole, _use_new_zipfile_serialization=form == "zip")
    data = whole.read_bytes()
    for length in range(0, len(data) - 1, max(1, len(data) // 60)):
        cut.write_bytes(data[:length])
        with pytest.raises(WeightsError) as caught:
            load_state(cut)
        if form != "legacy":  # there, a type's name may be cut into that of an unknown type
            assert "again" in str(caught.value)


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (torch.zeros(3), "holds a Tensor, not named tensors: save the network's state_dict"),
        ({}, "holds an empty dict, not named tensors"),
        ({"epoch": 3, "lr": 0.1}, r"holds 2 entries that are not tensors \(epoch, lr\)"),
        (STATE | {"epoch": 3}, r"holds 1 entries that are not tensors \(epoch\)"),
    ],
)
def test_other_contents(tmp_path: Path, stored: object, message: str) -> None:
    torch.save(stored, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=message):
        load_state(tmp_path / "w.pth")


def test_mismatch_names_keys_and_counts() -> None:
    network = nn.Sequential(*(nn.Linear(2, 2) for _ in range(4)))
    state = {f"{i}.other": torch.zeros(1) for i in range(2)} | {
        "0.weight": torch.zeros(2, 3),
        "0.bias": torch.zeros(2),
    }
    before = [value.clone() for value in network.state_dict().values()]
    with pytest.raises(WeightsMismatchError) as caught:
        load_strict(network, state, what="w.pth")
    assert str(caught.value) == (
        "w.pth does not fit Sequential (8 tensors): "
        "6 missing: 1.weight, 1.bias, 2.weight, 2.bias, and 2 more; "
        "2 unexpected: 0.other, 1.other; "
        "1 mis-shaped: 0.weight is (2, 3), needs (2, 2). Use the complete file for this network"
    )
    assert all(map(torch.equal, before, network.state_dict().values()))


def test_load_strict_copies_and_check_state_takes_meta() -> None:
    network = nn.Linear(3, 2)
    load_strict(network, STATE, what="w")
    assert equal(network.state_dict())
    check_state(nn.Linear(3, 2, device="meta"), STATE, what="w")


# A network of three channels to two, whose card names the builder below.


class Tiny(nn.Conv2d):
    def __init__(self, gain: float = 1.0) -> None:
        super().__init__(3, 2, 1)
        self.gain = gain

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * self.gain


def build(name: str, **options: Any) -> nn.Module:
    assert name == "tiny"
    return Tiny(**options)


def write_tiny(folder: Path, *, gain: float = 1.0, bias: float = 1.0, **card: Any) -> Path:
    path = folder / "tiny.safetensors"
    save_file({"weight": torch.ones(2, 3, 1, 1), "bias": torch.full((2,), bias)}, path)
    fields: dict[str, Any] = {
        "name": "tiny",
        "summary": "s",
        "method": "focal",
        "kind": "native",
        "backbone": "tiny",
        "options": {"gain": gain},
        "preprocessing": "native",
        "data": "d",
        "terms": "t",
        "sha256": sha256_of(path),
    }
    text = format_card(WeightsCard(**(fields | card)))
    path.with_suffix(".toml").write_text(text, encoding="utf-8")
    return path


def test_load_weights_reports_what_it_loaded(tmp_path: Path) -> None:
    path, network = write_tiny(tmp_path), Tiny()
    loaded = load_weights(network, path)
    assert loaded.path == path
    assert loaded.sha256 == sha256_of(path)
    assert loaded.card is not None
    assert loaded.card.name == "tiny"
    assert torch.equal(network.bias, torch.ones(2))  # type: ignore[arg-type]


def test_verify(tmp_path: Path) -> None:
    path = write_tiny(tmp_path)
    report = verify(path, build=build)
    assert (report.path, report.sha256, report.pinned) == (path, sha256_of(path), True)
    assert (report.tensors, report.values, report.output_shape) == (2, 8, (1, 2, 64, 64))
    assert not verify(write_tiny(tmp_path, sha256=""), build=build).pinned


def test_verify_finds_a_changed_file(tmp_path: Path) -> None:
    path = write_tiny(tmp_path)
    save_file({"weight": torch.zeros(2, 3, 1, 1), "bias": torch.zeros(2)}, path)
    with pytest.raises(WeightsHashError, match="the file was changed or damaged"):
        verify(path, build=build)


def test_verify_finds_numbers_that_are_not_finite(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"NaN or infinity in 1 tensors \(bias\)"):
        verify(write_tiny(tmp_path, bias=float("nan")), build=build)
    with pytest.raises(WeightsError, match="gives NaN or infinity on a plain picture"):
        verify(write_tiny(tmp_path, gain=float("1e300")), build=build)


def test_verify_needs_a_card(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"has no card beside it.*tamperscope weights convert"):
        verify(tmp_path / "w.safetensors", build=build)


def test_the_card_beside_a_file_found_by_name_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_tiny(tmp_path, gain=3.0, decision={"threshold": 0.25}, side=128)
    beside = card_for(path)
    assert beside is not None
    listed = replace(beside, options={}, decision={}, sha256="", side=0, recipe="tiny")
    monkeypatch.setattr(cards, "_shipped_cards", lambda: {"tiny": listed})
    monkeypatch.setenv("TAMPERSCOPE_WEIGHTS", str(tmp_path))
    loaded = load_weights(Tiny(), "tiny")
    assert (loaded.path, loaded.sha256, loaded.card) == (path, sha256_of(path), beside)
    assert verify("tiny", build=build).pinned
    write_tiny(tmp_path, sha256="0" * 64)
    with pytest.raises(WeightsHashError, match=r"its card says 00000"):
        load_weights(Tiny(), "tiny")
    with pytest.raises(WeightsHashError, match=r"its card says 00000"):
        verify("tiny", build=build)
