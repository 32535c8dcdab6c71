"""Weights, lists and kept results nobody wishes to receive, made from nothing.

``python tests/hostile_data.py FOLDER`` writes all of them there.
"""

import io
import json
import os
import pickle
import struct
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import hostile
from tamperscope import errors


@dataclass(frozen=True)
class Refused:
    name: str
    data: bytes
    error: type[errors.TamperscopeError]


class RunsACommand:
    """Unpickling it would leave a folder behind."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (self.mark,)


MARK = os.path.join(os.environ.get("TMPDIR", "/tmp"), "tamperscope-was-had")


def stored(value: Any, **options: Any) -> bytes:
    """What torch.save writes."""
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def safetensors(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    """A file with any header; ``length`` is what it claims the header to be."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def _entry(shape: list[int], start: int, stop: int, dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def _bad_safetensors() -> Iterator[tuple[str, bytes]]:
    plain = {"a": _entry([1], 0, 4)}
    yield "lying-length", safetensors(plain, bytes(4), 10)
    yield "huge-length", safetensors(plain, bytes(4), 2**62)
    yield "no-data", safetensors(plain)
    yield "huge-shape", safetensors({"a": _entry([2**40], 0, 4)}, bytes(4))
    yield "overflowing-shape", safetensors({"a": _entry([2**62, 2**62], 0, 4)}, bytes(4))
    yield "overlap", safetensors({**plain, "b": _entry([1], 0, 4)}, bytes(4))
    yield "backwards", safetensors({"a": _entry([1], 4, 0)}, bytes(4))
    yield "negative", safetensors({"a": _entry([-1], 0, 4)}, bytes(4))
    yield "unknown-type", safetensors({"a": _entry([1], 0, 4, "F7")}, bytes(4))
    yield "deep", safetensors(b'{"a":' + b"[" * 100_000)
    yield "not-json", safetensors(b"{" + bytes(range(256)))


def _bad_torch() -> Iterator[tuple[str, bytes]]:
    cell = torch.zeros(4, dtype=torch.float16)
    wide = torch.as_strided(cell, (2**18, 2**18), (0, 0))
    yield "stretched", stored({"a": wide})
    yield "stretched-often", stored({str(i): cell.as_strided((9999,), (0,)) for i in range(99)})
    yield "meta", stored({"a": torch.empty(3, device="meta")})
    yield "sparse", stored({"a": torch.eye(3).to_sparse()})
    yield "a-list", stored([torch.zeros(3)])
    yield "numbers", stored({"epoch": 3})
    whole = stored({"a": torch.zeros(300)})
    yield "cut", whole[: len(whole) // 2]
    bomb, source = io.BytesIO(), zipfile.ZipFile(io.BytesIO(whole))
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in source.namelist():
            big = name.endswith("/data/0")
            archive.writestr(name, bytes(10**8) if big else source.read(name))
    yield "zip-bomb", bomb.getvalue()
    old = stored({"a": torch.zeros(3)}, _use_new_zipfile_serialization=False)
    at = old.rindex(struct.pack("<q", 3))
    yield "lying-storage", old[:at] + struct.pack("<q", 2**40) + old[at + 8 :]
    yield "old-cut", old[:-5]


def refused_weights() -> Iterator[Refused]:
    """Files that must be refused as weights, and by which error."""
    for name, data in (*_bad_safetensors(), *_bad_torch()):
        yield Refused(name, data, errors.WeightsError)
    command = RunsACommand(MARK)
    yield Refused("command", stored({"a": command}), errors.UnsafeWeightsError)
    yield Refused("bare-pickle", pickle.dumps({"a": command}), errors.WeightsError)
    yield Refused("old-pickle", pickle.dumps({"a": command}, 2), errors.UnsafeWeightsError)
    page = b"<!DOCTYPE html><html><body>Confirm the download</body></html>"
    yield Refused("web-page", page, errors.WeightsError)
    yield Refused("empty", b"", errors.WeightsError)
    yield Refused("noise", bytes(range(7, 256)), errors.WeightsError)


def _npy(array: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def _npy_header(text: str) -> bytes:
    head = text.encode("latin-1").ljust(117) + b"\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(head)) + head


def refused_lists() -> Iterator[tuple[str, bytes]]:
    """File name -> bytes of lists and manifests that must be refused."""
    for where in ("/etc/hostname", "../outside.png", "a/../../outside.png", "..\\outside.png"):
        name = where.replace("/", "-").replace("\\", "-").replace(".", "")
        yield f"{name}.json", json.dumps([[where, "Negative"]]).encode()
        yield f"{name}.csv", f"image\n{where}\n".encode()
        yield f"{name}.npy", _npy(np.array([[where, "None"]]))
        entry = {"id": "x", "label": "authentic", "image": {"path": where, "sha256": ""}}
        document = {"format": "tamperscope-manifest", "version": 1, "name": "x", "samples": [entry]}
        yield f"{name}.manifest.json", json.dumps(document).encode()
    for name, picture in (
        ("long", "x" * 5000),
        ("nul", "a\0.png"),
        ("surrogate", "\udcff.png"),
        ("dots", "."),
        ("gone", "gone.png"),
    ):
        yield f"{name}.json", json.dumps([[picture, "Negative"]]).encode()
    yield "deep.json", b"[" * 100_000
    yield "deep.jsonl", b'{"image":' * 100_000
    yield "digits.json", b"[" + b"9" * 5000 + b"]"
    yield "latin.csv", b"image\n\xe9.png\n"
    yield "nul.csv", b"image,mask\n\0,\0\n"
    yield "field.csv", b'image\n"' + b"x" * 200_000 + b'"\n'
    yield "objects.npy", _npy(np.array([[RunsACommand(MARK), 1]], object), allow_pickle=True)
    yield (
        "huge.npy",
        _npy_header("{'descr': '<U64', 'fortran_order': False, 'shape': (2**40, 2), }"),
    )
    yield (
        "vast.npy",
        _npy_header("{'descr': '<U64', 'fortran_order': False, 'shape': (1099511627776, 2), }"),
    )
    broken = _npy(np.array([["a.png", "None"]])).replace(b"N\0\0\0o\0\0\0", b"N\0\0\0o\0\0\x02")
    yield "no-characters.npy", broken
    yield "quote.npy", _npy_header("{'desc:        \xda")
    yield "code.npy", _npy_header("{'descr': __import__('os'), 'fortran_order': False}")
    packed = io.BytesIO()
    np.savez(packed, a=np.zeros(3))
    yield "archive.npy", packed.getvalue()


def _good_lists() -> Iterator[bytes]:
    yield b"image,mask,kind\na.png,b.png,splice\nb.png,,\n"
    yield b"a.png b.png\nb.png None\n"
    yield b'[["a.png", "b.png"], ["b.png", "Negative"]]'
    yield b'{"image": "a.png", "mask": "b.png", "kind": "splice"}\n'
    yield _npy(np.array([["a.png", "b.png"]]))
    part = {"path": "a.png", "sha256": "0" * 64}
    sample = {"id": "a", "label": "forged", "kind": None, "polarity": "forged-white"}
    sample |= {"image": part, "mask": part, "object_mask": None, "further_masks": [part]}
    document = {"format": "tamperscope-manifest", "version": 1, "name": "n", "samples": [sample]}
    yield json.dumps(document).encode()


def _results() -> Iterator[bytes]:
    packed = io.BytesIO()
    np.savez(
        packed, score_map=np.zeros((3, 4), np.float32), mask=np.zeros(2, np.uint8), record="{}"
    )
    yield packed.getvalue()


def seeds(target: str) -> list[bytes]:
    """What a fuzzer of a target starts from."""
    pictures = [*hostile.ODD.values(), *(broken.data for broken in hostile.BROKEN)]
    good = [stored({"a": torch.zeros(3)}), safetensors({"a": _entry([1], 0, 4)}, bytes(4))]
    made = {
        "image": pictures,
        "mask": pictures,
        "weights": [*good, *(refused.data for refused in refused_weights())],
        "manifest": [*_good_lists(), *(data for _, data in refused_lists())],
        "result": [*_results(), b"PK\x05\x06" + bytes(18)],
    }
    return [data for data in made[target] if len(data) <= 2**16]


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    files = [(f"{refused.name}.pth", refused.data) for refused in refused_weights()]
    files += refused_lists()
    for name, data in files:
        (folder / name).write_bytes(data)
    print(f"{len(files)} files in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
