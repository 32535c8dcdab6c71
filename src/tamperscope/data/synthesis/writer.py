"""A synthetic data set on disk: ``images/``, ``masks/`` (0/255) and a manifest, the same files for
the same seed.
"""

import hashlib
import io
import json
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PILImage

from tamperscope.data.synthesis.dataset import SynthesisDataset, config_from_dict
from tamperscope.data.synthesis.sources import Split
from tamperscope.errors import ConfigError, DataError

_worker_dataset: SynthesisDataset | None = None


def write_dataset(
    photos: str | Path,
    out: str | Path,
    *,
    count: int,
    seed: int = 0,
    size: tuple[int, int] = (256, 384),
    split: Split = "train",
    val_share: float = 0.0,
    options: dict[str, Any] | None = None,
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Write ``count`` forgeries; a second call goes on where a first one stopped.

    Pictures are PNG: they hold exactly the pixels that the last (lossy) save left.

    Args:
        photos: folder of photos, searched recursively.
        out: folder to write; an existing one must hold a set of the same settings.
        count: number of pictures.
        seed: picture ``i`` depends on the photos, the settings and (seed, i) alone, not on
            ``workers``.
        size: (h, w) in pixels, multiples of 8.
        split, val_share: use only the photos of this side of the held-back split.
        options: further fields of `SynthesisConfig`.
        workers: processes.
        progress: called with the number of pictures done so far.

    Returns:
        Counts by kind and the path of the manifest.

    Raises:
        ConfigError: wrong settings, or ``out`` holds a set made with others.
        DataError: no photos, or ``out`` cannot be written.
    """
    if count < 1 or workers < 1:
        raise ConfigError("count and workers must be at least 1")
    config = config_from_dict({**(options or {}), "size": tuple(size), "val_share": val_share})
    folder = Path(out)
    settings = {"config": asdict(config), "seed": seed, "split": split}
    _prepare(folder, settings)
    dataset = SynthesisDataset(config, split=split, root=photos, seed=seed, length=count)
    todo = [i for i in range(count) if not _row_path(folder, i).is_file()]
    done = count - len(todo)
    if workers == 1:
        for index in todo:
            _write_one(dataset, folder, index)
            done = _tick(done, progress)
    else:
        # Not by fork: a child of a process whose libraries run threads can wait for them for ever.
        spawn = get_context("spawn")
        with ProcessPoolExecutor(
            workers, mp_context=spawn, initializer=_start, initargs=(dataset,)
        ) as pool:
            jobs = ((str(folder), i) for i in todo)
            for _ in pool.map(_write_in_worker, jobs, chunksize=4):
                done = _tick(done, progress)
    return _write_manifest(folder, count)


def _tick(done: int, progress: Callable[[int], None] | None) -> int:
    if progress is not None:
        progress(done + 1)
    return done + 1


def _prepare(folder: Path, settings: dict[str, Any]) -> None:
    path = folder / "synthesis.json"
    text = json.dumps(settings, indent=2, sort_keys=True)
    try:
        for name in ("images", "masks", "rows"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        if path.is_file() and json.loads(path.read_text()) != json.loads(text):
            raise ConfigError(
                f"{folder} holds a set made with other settings ({path.name}): use another folder"
            )
        _write(path, text.encode())
    except OSError as error:
        raise DataError(
            f"cannot write to {folder}: {error.strerror}; choose another folder"
        ) from error


def _start(dataset: SynthesisDataset) -> None:
    import cv2

    global _worker_dataset
    cv2.setNumThreads(1)
    _worker_dataset = dataset


def _write_in_worker(job: tuple[str, int]) -> None:
    assert _worker_dataset is not None
    _write_one(_worker_dataset, Path(job[0]), job[1])


def _row_path(folder: Path, index: int) -> Path:
    return folder / "rows" / f"{index:07d}.json"


def _write_one(dataset: SynthesisDataset, folder: Path, index: int) -> None:
    made = dataset.forgery(index)
    name = f"{index:07d}.png"
    image = _png(made.image)
    _write(folder / "images" / name, image)
    _write(folder / "masks" / name, _png(made.mask.astype(np.uint8) * 255))
    row = {
        "image": f"images/{name}",
        "mask": f"masks/{name}",
        "kind": made.kind,
        "forged_fraction": round(float(made.mask.mean()), 6),
        "sha256": hashlib.sha256(image).hexdigest(),
    }
    # Last of the three: a row says that its picture and mask are complete.
    _write(_row_path(folder, index), json.dumps(row).encode())


def _png(array: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    PILImage.fromarray(array).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_bytes(data)
    os.replace(part, path)


def _write_manifest(folder: Path, count: int) -> dict[str, Any]:
    kinds: dict[str, int] = {}
    lines = []
    for index in range(count):
        text = _row_path(folder, index).read_text()
        kind = str(json.loads(text)["kind"])
        kinds[kind] = kinds.get(kind, 0) + 1
        lines.append(text)
    manifest = folder / "manifest.jsonl"
    _write(manifest, ("\n".join(lines) + "\n").encode())
    return {"count": count, "kinds": kinds, "manifest": str(manifest)}
