"""Tiny networks exported in the test: what comes out is known to the pixel."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tamperscope.data.generators.registry import load_generator
from tamperscope.errors import (
    ConfigError,
    MissingExtraError,
    UnknownNameError,
    WeightsMismatchError,
)


class Negative(nn.Module):
    """1 - x inside the mask, 0 outside; times `scale`."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        return (1 - image) * mask * self.scale


class OneInput(nn.Module):
    def forward(self, both: Tensor) -> Tensor:
        return (1 - both[:, :3]) * both[:, 3:]


def scene(h: int = 21, w: int = 30) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    pixels = np.random.default_rng(0).integers(0, 256, (h, w, 3), dtype=np.uint8)
    mask = np.zeros((h, w), bool)
    mask[5:12, 8:20] = True
    return pixels, mask


def fill(generator: Any, image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    (made,) = generator.inpaint(image[None], mask[None], seed=0)
    assert np.array_equal(made[~mask], image[~mask])
    return np.asarray(made[mask])


def script(module: nn.Module, path: Path) -> Path:
    example: tuple[Tensor, ...] = (torch.rand(1, 3, 24, 32), torch.ones(1, 1, 24, 32))
    if isinstance(module, OneInput):
        example = (torch.cat(example, dim=1),)
    trace: Any = torch.jit.trace
    trace(module, example).save(str(path))
    return path


# Writing TorchScript is deprecated; reading the files people have is what is tested.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
class TestTorchScript:
    def test_the_region_is_filled_and_odd_sides_are_padded(self, tmp_path: Path) -> None:
        image, mask = scene()
        generator = load_generator(f"torchscript:{script(Negative(), tmp_path / 'n.pt')}")
        assert (generator.family, generator.whole_image) == ("external", False)
        assert np.array_equal(fill(generator, image, mask), 255 - image[mask])

    def test_one_input_of_four_channels(self, tmp_path: Path) -> None:
        image, mask = scene()
        path = script(OneInput(), tmp_path / "one.pt")
        generator = load_generator("torchscript", weights=path, options={"one_input": True})
        assert np.array_equal(fill(generator, image, mask), 255 - image[mask])
        with pytest.raises(ConfigError, match=r"does not take .*: set size, stride or one_input"):
            fill(load_generator(f"torchscript:{path}"), image, mask)

    def test_another_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "text.pt").write_text("no network")
        with pytest.raises(WeightsMismatchError, match=r"text.pt is no TorchScript network: write"):
            load_generator(f"torchscript:{tmp_path / 'text.pt'}")

    def test_ranges_that_are_not_what_was_said(self, tmp_path: Path) -> None:
        image, mask = scene()
        path = script(Negative(255.0), tmp_path / "byte.pt")
        with pytest.raises(ConfigError, match="output_range=unit: set output_range=byte"):
            fill(load_generator(f"torchscript:{path}"), image, mask)
        right = load_generator(f"torchscript:{path}", options={"output_range": "byte"})
        assert np.array_equal(fill(right, image, mask), 255 - image[mask])
        with pytest.raises(UnknownNameError, match="range of values 'bite'; did you mean 'byte'"):
            load_generator(f"torchscript:{path}", options={"output_range": "bite"})

    def test_signed_values(self, tmp_path: Path) -> None:
        """1 - x of [-1, 1] values is 255 - level, one range higher, cut off at white."""
        image, mask = scene()
        path = script(Negative(0.0), tmp_path / "zero.pt")
        options = {"input_range": "signed", "output_range": "signed"}
        made = fill(load_generator(f"torchscript:{path}", options=options), image, mask)
        assert set(np.unique(made)) == {128}

    def test_a_hole_that_is_cut_out_and_a_mask_of_what_is_known(self, tmp_path: Path) -> None:
        image, mask = scene()
        path = script(Negative(), tmp_path / "n.pt")
        cut = load_generator(f"torchscript:{path}", options={"cut_out": True})
        assert set(np.unique(fill(cut, image, mask))) == {255}
        known = load_generator(f"torchscript:{path}", options={"mask_known": True})
        assert set(np.unique(fill(known, image, mask))) == {0}

    def test_a_size_of_its_own(self, tmp_path: Path) -> None:
        image, mask = scene(40, 40)
        image[:] = 100
        path = script(Negative(), tmp_path / "n.pt")
        generator = load_generator(f"torchscript:{path}", options={"size": 16})
        assert abs(fill(generator, image, mask).astype(int) - 155).mean() < 40

    @pytest.mark.parametrize("option", ["size", "stride"])
    def test_sizes_that_cannot_be(self, tmp_path: Path, option: str) -> None:
        with pytest.raises(ConfigError, match=f"{option} must be a positive whole number, not 0"):
            load_generator(f"torchscript:{tmp_path}/n.pt", options={option: 0})


def onnx_file(
    path: Path,
    *,
    names: tuple[str, ...] = ("image", "mask"),
    side: int | str = "side",
    channels: tuple[int, ...] = (3, 1),
) -> Path:
    """(1 - image) * mask as an ONNX graph; with one input of four channels, 1 - its first three."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, count, side, side])
        for name, count in zip(names, channels, strict=True)
    ]
    output = helper.make_tensor_value_info("made", TensorProto.FLOAT, [1, 3, side, side])
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    if len(names) == 1:
        indices = helper.make_tensor("first", TensorProto.INT64, [3], [0, 1, 2])
        nodes = [
            helper.make_node("Gather", [names[0], "first"], ["rgb"], axis=1),
            helper.make_node("Sub", ["one", "rgb"], ["made"]),
        ]
        constants = [one, indices]
    else:
        nodes = [
            helper.make_node("Sub", ["one", names[0]], ["negative"]),
            helper.make_node("Mul", ["negative", names[1]], ["made"]),
        ]
        constants = [one]
    graph = helper.make_graph(nodes, "negative", inputs, [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


class TestOnnx:
    @pytest.fixture(autouse=True)
    def runtime(self) -> None:
        pytest.importorskip("onnxruntime")

    @pytest.mark.parametrize("names", [("image", "mask"), ("x", "y")])
    def test_the_region_is_filled_whatever_the_inputs_are_called(
        self, tmp_path: Path, names: tuple[str, ...]
    ) -> None:
        image, mask = scene(24, 24)
        generator = load_generator(f"onnx:{onnx_file(tmp_path / 'n.onnx', names=names)}")
        assert np.array_equal(fill(generator, image, mask), 255 - image[mask])

    def test_names_of_the_inputs_and_the_output_can_be_given(self, tmp_path: Path) -> None:
        image, mask = scene(24, 24)
        path = onnx_file(tmp_path / "n.onnx", names=("image", "hole"))
        options = {"image_input": "image", "mask_input": "hole", "output": "made"}
        generator = load_generator(f"onnx:{path}", options=options)
        assert np.array_equal(fill(generator, image, mask), 255 - image[mask])
        with pytest.raises(UnknownNameError, match="input of the network 'holes'; did you mean"):
            load_generator(f"onnx:{path}", options={"mask_input": "holes"})
        with pytest.raises(UnknownNameError, match="output of the network 'maid'; did you mean"):
            load_generator(f"onnx:{path}", options={"output": "maid"})

    def test_one_input_of_four_channels(self, tmp_path: Path) -> None:
        image, mask = scene(24, 24)
        path = onnx_file(tmp_path / "n.onnx", names=("both",), channels=(4,))
        made = fill(load_generator(f"onnx:{path}"), image, mask)
        assert np.array_equal(made, 255 - image[mask])

    def test_a_fixed_size_is_read_from_the_file(self, tmp_path: Path) -> None:
        image, mask = scene(40, 56)
        image[:] = 100
        generator = load_generator(f"onnx:{onnx_file(tmp_path / 'n.onnx', side=32)}")
        assert abs(fill(generator, image, mask).astype(int) - 155).mean() < 40

    def test_other_files_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "text.onnx").write_text("no network")
        with pytest.raises(WeightsMismatchError, match=r"text.onnx is no ONNX network .*: export"):
            load_generator(f"onnx:{tmp_path / 'text.onnx'}")
        image, mask = scene(24, 24)
        path = onnx_file(tmp_path / "five.onnx", channels=(5, 1))
        with pytest.raises(ConfigError, match=r"does not take \(1, 3, 24, 24\): set size"):
            fill(load_generator(f"onnx:{path}"), image, mask)

    def test_a_device_that_is_not_there(self, tmp_path: Path) -> None:
        import onnxruntime

        if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            pytest.skip("there is one")
        with pytest.raises(ConfigError, match="has no CUDA: install onnxruntime-gpu, or use the"):
            load_generator(f"onnx:{onnx_file(tmp_path / 'n.onnx')}", device="cuda")


def test_without_the_runtime_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (tmp_path / "n.onnx").write_bytes(b"x")
    with pytest.raises(MissingExtraError, match=r"pip install 'tamperscope\[onnx\]'"):
        load_generator(f"onnx:{tmp_path / 'n.onnx'}")
