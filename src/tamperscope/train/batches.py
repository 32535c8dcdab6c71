"""From a map-style dataset to the exact stream of batches of one training process.

Samples are numbered by one global counter that never restarts. With S samples already done,
picture i of piece a of process r is number ``S + (a * world + r) * piece + i``, so the set of
pictures behind every optimizer step is the same whatever the number of processes or pieces, and a
run that stopped after S samples goes on with number S.
"""

import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from tamperscope.errors import ConfigError, DataError


class SampleSource(Protocol):
    """Map-style dataset: any index from 0 on gives a sample, always the same one for an index.

    A sample is ``{"image": uint8 (3, h, w) RGB, "mask": uint8 (h, w) 1 = forged, "kind": str}``.
    """

    def __getitem__(self, index: int) -> Mapping[str, Any]: ...


@dataclass(frozen=True, kw_only=True)
class Sharding:
    """How a batch is split over processes and accumulation pieces."""

    batch_size: int
    accumulate: int = 1
    world: int = 1
    rank: int = 0

    def __post_init__(self) -> None:
        if self.batch_size % (self.world * self.accumulate):
            raise ConfigError(
                f"optim.batch_size = {self.batch_size} does not divide into {self.world}"
                f" process(es) x {self.accumulate} piece(s);"
                f" choose a multiple of {self.world * self.accumulate}"
            )

    @property
    def piece(self) -> int:
        """Pictures in one forward pass of one process."""
        return self.batch_size // (self.world * self.accumulate)


class IndexBatches:
    """Batch sampler: index lists of one process, from ``start`` until ``stop`` samples are done.

    The last optimizer step is a whole one: it may run past ``stop`` by less than a batch.
    """

    def __init__(self, sharding: Sharding, start: int, stop: int) -> None:
        self.sharding, self.start, self.stop = sharding, start, stop

    def __iter__(self) -> Iterator[list[int]]:
        split = self.sharding
        for step_start in range(self.start, self.stop, split.batch_size):
            for a in range(split.accumulate):
                first = step_start + (a * split.world + split.rank) * split.piece
                yield list(range(first, first + split.piece))

    def __len__(self) -> int:
        return -(-(self.stop - self.start) // self.sharding.batch_size) * self.sharding.accumulate


class _FixedIndices:
    def __init__(self, indices: list[int], size: int) -> None:
        self.batches = [indices[i : i + size] for i in range(0, len(indices), size)]

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def collate(samples: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Stack samples: image (B, 3, h, w) uint8, mask (B, h, w), kind list of str, and whatever else
    they have, (B, ...).

    Raises:
        DataError: pictures of different sizes in a batch.
    """
    sizes = sorted({tuple(s["mask"].shape[-2:]) for s in samples})
    if len(sizes) > 1:
        raise DataError(f"a batch needs pictures of one size, got {sizes}; set one crop size")
    return {
        name: [str(s["kind"]) for s in samples]
        if name == "kind"
        else torch.stack([torch.as_tensor(s[name]) for s in samples])
        for name in samples[0]
    }


def train_loader(
    source: SampleSource,
    sharding: Sharding,
    *,
    start: int,
    stop: int,
    num_workers: int,
    prefetch: int,
    seed: int,
) -> DataLoader[dict[str, Any]]:
    """Loader of the batches numbered ``start`` to ``stop`` of one process, one pass, in order."""
    return _loader(source, IndexBatches(sharding, start, stop), num_workers, prefetch, seed)


def fixed_loader(
    source: SampleSource, indices: list[int], *, size: int, num_workers: int, prefetch: int
) -> DataLoader[dict[str, Any]]:
    """Loader of the given indices, in order, ``size`` at a time."""
    return _loader(source, _FixedIndices(indices, size), num_workers, prefetch, 0)


def _loader(
    source: SampleSource, batches: Any, num_workers: int, prefetch: int, seed: int
) -> DataLoader[dict[str, Any]]:
    if num_workers:
        # Workers are forked. OpenCV's threads are not there in the child, which would wait for them
        # for ever, so they are ended here, before.
        _one_opencv_thread()
    return DataLoader(
        source,  # type: ignore[arg-type]  # only __getitem__ is used with a batch sampler
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=num_workers,
        prefetch_factor=prefetch if num_workers else None,
        persistent_workers=False,
        worker_init_fn=_start_worker,
        # Of its own, so that making the loader leaves the training draws alone.
        generator=torch.Generator().manual_seed(seed),
        pin_memory=torch.cuda.is_available(),
    )


def _start_worker(worker: int) -> None:
    # Ctrl-C reaches the whole group; only the training process decides what happens then.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    _one_opencv_thread()


def _one_opencv_thread() -> None:
    try:
        import cv2
    except ImportError:
        return
    cv2.setNumThreads(1)


def to_network(batch: Mapping[str, Any], device: torch.device, channels_last: bool) -> Tensor:
    """Images of a batch as the network wants them: (B, 3, h, w) float32 in [0, 1] on ``device``."""
    images: Tensor = batch["image"].to(device, non_blocking=True).float().div_(255.0)
    return images.contiguous(memory_format=torch.channels_last) if channels_last else images
