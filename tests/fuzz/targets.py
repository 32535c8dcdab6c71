"""Everything that reads what strangers made, each as a function of bytes that must always return.

Errors of ours are answers; anything else that comes out is a bug. Shared by the property tests here
and by the coverage-guided fuzzer in ``fuzz/``.
"""

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from tamperscope.data.datasets.lists import read_imdlbenco, read_list
from tamperscope.data.datasets.synthesized import read_synthesized
from tamperscope.data.manifest import read_manifest
from tamperscope.data.masks import CODINGS, read_truth
from tamperscope.data.sample import Dataset
from tamperscope.errors import ImageError, TamperscopeError
from tamperscope.image import read_image, read_labels, read_mask
from tamperscope.result import Localization
from tamperscope.weights import load_state
from tamperscope.weights.cards import parse_cards

MAX_PIXELS = 1_000_000


def image(data: bytes) -> None:
    """A picture is read whole or refused."""
    with suppress(ImageError):
        picture = read_image(data, max_pixels=MAX_PIXELS)
        assert picture.pixels.dtype == np.uint8
        assert picture.pixels.shape == (picture.height, picture.width, 3)
        assert 0 < picture.height * picture.width <= MAX_PIXELS


def mask(data: bytes) -> None:
    """A mask is read by every rule there is, or refused."""
    with suppress(ImageError):
        assert read_mask(data, max_pixels=MAX_PIXELS).dtype == np.bool_
    with suppress(ImageError):
        assert read_labels(data, max_pixels=MAX_PIXELS).ndim == 2
    with _folder() as folder:
        path = folder / "mask.png"
        path.write_bytes(data)
        for coding in CODINGS:
            with suppress(ImageError):
                assert read_truth(path, coding, max_pixels=MAX_PIXELS).ndim == 2


def weights(data: bytes) -> None:
    """Tensors come out, no larger than the file allows, or the file is refused."""
    with _folder() as folder:
        path = folder / "weights.bin"
        path.write_bytes(data)
        with suppress(TamperscopeError):
            state = load_state(path)
            # Half precision comes back doubled.
            assert sum(t.numel() * t.element_size() for t in state.values()) <= 16 * len(data)
    with suppress(TamperscopeError):
        parse_cards(data.decode("utf-8", "replace"), where="card")


_LISTS = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".npy")


def manifest(data: bytes) -> None:
    """A list names files below its folder, or is refused."""
    with _folder() as folder:
        (folder / "a.png").write_bytes(b"")
        (folder / "b.png").write_bytes(b"")
        for suffix in _LISTS:
            path = folder / f"list{suffix}"
            path.write_bytes(data)
            _inside(read_list, path)
        _inside(read_imdlbenco, folder / "list.json")
        path = folder / "manifest.json"
        path.write_bytes(data)
        _inside(read_manifest, path)
        _inside(lambda p: read_manifest(p, check_hashes=True), path)
        path.with_suffix(".jsonl").write_bytes(data)
        _inside(read_synthesized, folder)


def result(data: bytes) -> None:
    """A kept result is read back, or refused."""
    with _folder() as folder:
        path = folder / "result.npz"
        path.write_bytes(data)
        with suppress(TamperscopeError):
            Localization.load(path)


def _inside(read: Callable[[Path], Dataset], path: Path) -> None:
    with suppress(TamperscopeError):
        for sample in read(path).samples:
            for file in (sample.image_path, sample.mask_path, sample.object_mask_path):
                root = os.path.realpath(path.parent)
                assert file is None or os.path.realpath(file).startswith(root + os.sep), file


def _folder() -> "_Folder":
    return _Folder()


class _Folder(tempfile.TemporaryDirectory[str]):
    """A temporary folder as a path; in memory where there is such a place, for speed."""

    def __init__(self) -> None:
        super().__init__(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)

    def __enter__(self) -> Path:  # type: ignore[override]
        return Path(self.name)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "image": image,
    "mask": mask,
    "weights": weights,
    "manifest": manifest,
    "result": result,
}
