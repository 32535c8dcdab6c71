import subprocess
import sys

import pytest
import torch

from tamperscope.errors import ConfigError, DataError
from tamperscope.train.batches import IndexBatches, Sharding, collate, to_network


def _steps(world: int, accumulate: int, start: int, stop: int) -> list[list[int]]:
    """Sorted indices behind each optimizer step, over all processes and pieces."""
    ranks = [
        list(
            IndexBatches(
                Sharding(batch_size=8, accumulate=accumulate, world=world, rank=rank), start, stop
            )
        )
        for rank in range(world)
    ]
    count = len(ranks[0]) // accumulate
    return [
        [
            i
            for rank in ranks
            for piece in rank[s * accumulate : (s + 1) * accumulate]
            for i in piece
        ]
        for s in range(count)
    ]


@pytest.mark.parametrize(("world", "accumulate"), [(1, 1), (2, 1), (1, 4), (2, 2), (4, 2)])
def test_every_step_sees_the_same_samples_however_it_is_split(world: int, accumulate: int) -> None:
    steps = _steps(world, accumulate, 0, 30)
    assert [sorted(step) for step in steps] == [list(range(s, s + 8)) for s in (0, 8, 16, 24)]


def test_the_stream_goes_on_where_it_stopped() -> None:
    whole = _steps(2, 2, 0, 64)
    assert whole == _steps(2, 2, 0, 24) + _steps(2, 2, 24, 64)


@pytest.mark.parametrize(("start", "stop", "count"), [(0, 16, 4), (0, 17, 6), (16, 16, 0)])
def test_length_is_the_number_of_index_lists(start: int, stop: int, count: int) -> None:
    batches = IndexBatches(Sharding(batch_size=8, accumulate=2), start, stop)
    assert len(batches) == len(list(batches)) == count


def test_a_batch_that_does_not_divide_says_what_would() -> None:
    with pytest.raises(ConfigError, match=r"batch_size = 6 .* choose a multiple of 4"):
        Sharding(batch_size=6, accumulate=2, world=2)


def test_pictures_of_two_sizes_are_refused() -> None:
    samples = [
        {"image": torch.zeros(3, n, 8), "mask": torch.zeros(n, 8), "kind": "x"} for n in (8, 16)
    ]
    with pytest.raises(DataError, match=r"pictures of one size, got \[\(8, 8\), \(16, 8\)\]"):
        collate(samples)


@pytest.mark.parametrize("channels_last", [True, False])
def test_the_network_gets_zero_to_one(channels_last: bool) -> None:
    image = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    x = to_network({"image": image}, torch.device("cpu"), channels_last)
    torch.testing.assert_close(x[0, :, 0, 0], torch.tensor([0.0, 0.2, 1.0]))
    assert x.is_contiguous(memory_format=torch.channels_last) == channels_last


_USES_OPENCV_THEN_LOADS = """
import cv2, numpy as np, torch
from tamperscope.train.batches import Sharding, train_loader

class Noise:
    def __len__(self): return 8
    def __getitem__(self, index):
        image = torch.full((3, 8, 8), index, dtype=torch.uint8)
        return {"image": image, "mask": torch.zeros(8, 8), "kind": "pristine"}

cv2.setNumThreads(4)
cv2.GaussianBlur(np.zeros((2000, 2000, 3), np.float32), (0, 0), 3.0)
loader = train_loader(
    Noise(), Sharding(batch_size=4), start=0, stop=8, num_workers=1, prefetch=2, seed=0
)
print(sum(len(batch["kind"]) for batch in loader))
"""


def test_workers_start_after_opencv_has_run_threads_in_the_parent() -> None:
    # It hung for ever: a forked child has the record of OpenCV's threads, but not the threads.
    done = subprocess.run(
        [sys.executable, "-c", _USES_OPENCV_THEN_LOADS],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.strip() == "8"
