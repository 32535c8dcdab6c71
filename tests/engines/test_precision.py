"""In which arithmetic networks run; the switches can be read without a GPU."""

import itertools
import threading
from collections.abc import Sequence

import pytest
import torch

from tamperscope.engines.precision import computing

CUDA, CPU = torch.device("cuda"), torch.device("cpu")

pytestmark = pytest.mark.filterwarnings("ignore:.*CUDA is not available")


def tf32() -> bool:
    return bool(torch.backends.cudnn.allow_tf32)


@pytest.fixture(params=[True, False])
def before(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether TF32 is allowed outside."""
    allowed = bool(request.param)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", allowed)
    return allowed


def test_float32_on_a_gpu_is_float32(before: bool) -> None:
    with computing(CUDA, torch.float32):
        assert not tf32()
        with computing(torch.device("cuda:1"), torch.float32):
            assert not tf32()
        assert not tf32()
    assert tf32() is before


def test_the_switch_goes_back_after_an_error(before: bool) -> None:
    with pytest.raises(RuntimeError, match="on purpose"), computing(CUDA, torch.float32):
        raise RuntimeError("broken on purpose")
    assert tf32() is before


@pytest.mark.parametrize(
    ("device", "dtype"), [(CPU, torch.float32), (CPU, torch.bfloat16), (CUDA, torch.bfloat16)]
)
def test_all_else_leaves_the_switch_alone(
    before: bool, device: torch.device, dtype: torch.dtype
) -> None:
    with computing(device, dtype):
        assert tf32() is before
    assert tf32() is before


def test_reduced_precision_is_that_of_autocast() -> None:
    a = torch.ones(2, 2)
    with computing(CPU, torch.bfloat16):
        assert (a @ a).dtype == torch.bfloat16
        with computing(CPU, torch.float32):
            assert (a @ a).dtype == torch.float32
    assert (a @ a).dtype == torch.float32


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))], ids=str)
def test_the_last_thread_out_puts_the_switch_back(before: bool, order: Sequence[int]) -> None:
    inside, leave = threading.Barrier(4, timeout=10), [threading.Event() for _ in range(3)]

    def work(number: int) -> None:
        with computing(CUDA, torch.float32):
            inside.wait()
            leave[number].wait(10)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    inside.wait()
    for number in order:
        assert not tf32()
        leave[number].set()
        threads[number].join(10)
    assert tf32() is before
