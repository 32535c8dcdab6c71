"""One toy network through ONNX Runtime: what comes out, what is recorded, what is refused."""

import sys
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch

from engines import toys
from tamperscope.engines import onnx_export, onnx_runtime
from tamperscope.engines.onnx_export import write_onnx
from tamperscope.engines.onnx_runtime import OnnxEngine, cache_folder
from tamperscope.errors import (
    ConfigError,
    ImageValueError,
    MissingExtraError,
    ResultError,
    WeightsError,
    WeightsNotFoundError,
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    return write_onnx(toys.graph(), folder / "new" / "toy.onnx", weights=toys.weights(folder))


def test_any_batch_and_size_give_what_pytorch_gives(file: Path, tmp_path: Path) -> None:
    graph = toys.graph()
    runner = OnnxEngine([file]).runner(graph, toys.weights(tmp_path))
    assert runner.stride == 2
    for shape in ((1, 3, 8, 8), (2, 3, 5, 4), (1, 3, 2, 31)):
        x = torch.rand(shape)
        with torch.inference_mode():
            wanted = graph.module(x)
        found = runner(x)
        assert list(found) == ["map", "mean"]
        for name, value in found.items():
            torch.testing.assert_close(value, wanted[name], rtol=1e-5, atol=1e-5)


def test_the_file_says_what_it_is(file: Path, tmp_path: Path) -> None:
    model = onnx.load(file)
    onnx.checker.check_model(model)
    notes = {entry.key: entry.value for entry in model.metadata_props}
    assert notes["weights"] == "toy"
    assert notes["weights_sha256"] == toys.weights(tmp_path).sha256
    assert notes["terms"] == "anything goes"
    assert notes["method"] == "toys"
    assert (notes["stride"], notes["multiple"], notes["side"]) == ("2", "2", "any")
    assert notes["input_values"] == "RGB / 255"
    assert [entry.name for entry in model.graph.input] == ["x"]
    assert [entry.name for entry in model.graph.output] == ["map", "mean"]
    assert [path.name for path in file.parent.iterdir()] == ["toy.onnx"]


def test_a_missing_second_input_is_one_everywhere(tmp_path: Path) -> None:
    graph, weights = toys.graph(weighted=True), toys.weights(tmp_path)
    runner = OnnxEngine(cache=tmp_path).runner(graph, weights)
    x = torch.rand(1, 3, 6, 7)
    with torch.inference_mode():
        plain, half = graph.module(x, torch.ones(1, 1, 6, 7)), graph.module(x / 2, x[:, :1] * 0 + 1)
    torch.testing.assert_close(runner(x)["map"], plain["map"])
    torch.testing.assert_close(runner(x, None)["map"], plain["map"])
    torch.testing.assert_close(runner(x, torch.full((1, 1, 6, 7), 0.5))["map"], half["map"])


def test_a_network_for_one_size_refuses_others(tmp_path: Path) -> None:
    runner = OnnxEngine(cache=tmp_path).runner(toys.graph(side=8), toys.weights(tmp_path))
    assert runner(torch.rand(2, 3, 8, 8))["map"].shape == (2, 2, 4, 4)
    with pytest.raises(ImageValueError, match="exported for 8 x 8 pixels and got 9 x 8"):
        runner(torch.rand(1, 3, 8, 9))


def test_too_small_a_picture_is_refused(file: Path, tmp_path: Path) -> None:
    runner = OnnxEngine([file]).runner(toys.graph(), toys.weights(tmp_path))
    with pytest.raises(ImageValueError, match="needs sides of at least 2 pixels and got 9 x 1"):
        runner(torch.rand(1, 3, 1, 9))


class TestCache:
    def test_the_second_time_nothing_is_exported(
        self, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        written = []

        def write(_graph: object, path: Path, **_options: object) -> None:
            written.append(path)
            path.write_bytes(file.read_bytes())

        monkeypatch.setattr(onnx_runtime, "write_onnx", write)
        weights = toys.weights(tmp_path)
        for _ in range(2):
            OnnxEngine(cache=tmp_path).runner(toys.graph(), weights)
        assert len(written) == 1
        written[0].write_bytes(b"cut off")
        OnnxEngine(cache=tmp_path).runner(toys.graph(), weights)
        assert len(written) == 2

    def test_it_lies_among_the_users_caches(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("TAMPERSCOPE_CACHE", raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
        assert cache_folder() == Path("/caches/tamperscope/onnx")
        monkeypatch.setenv("TAMPERSCOPE_CACHE", "/mine")
        assert cache_folder() == Path("/mine/onnx")


class TestRefused:
    def test_a_file_for_other_weights(self, file: Path, tmp_path: Path) -> None:
        engine = OnnxEngine([file], cache=tmp_path)
        with pytest.raises(
            WeightsError, match=r"toy.onnx was made from the weights 'toy' \(sha256"
        ):
            engine.settle()

    def test_a_file_for_another_side(self, file: Path, tmp_path: Path) -> None:
        weights = toys.weights(tmp_path)
        with pytest.raises(
            WeightsError, match=r"toy.onnx was exported for a side of any and .* with 8: export it"
        ):
            OnnxEngine([file]).runner(toys.graph(side=8), weights)
        sized = tmp_path / "sized.onnx"
        model = onnx.load(file)
        next(entry for entry in model.metadata_props if entry.key == "side").value = "8"
        onnx.save(model, sized)
        with pytest.raises(WeightsError, match=r"for a side of 8 and is to run with 16: export"):
            OnnxEngine([sized]).runner(toys.graph(side=16), weights)
        with pytest.raises(WeightsError, match=r"with any: .* or leave the file out"):
            OnnxEngine([sized]).runner(toys.graph(), weights)
        assert OnnxEngine([sized]).runner(toys.graph(side=8), weights).stride == 2

    def test_a_file_without_an_output(self, file: Path, tmp_path: Path) -> None:
        graph = replace(toys.graph(), outputs=("map", "label", "cam"))
        with pytest.raises(
            WeightsError, match=r"toy.onnx has no output label, cam: .* export it again for this"
        ):
            OnnxEngine([file]).runner(graph, toys.weights(tmp_path))
        fewer = replace(toys.graph(), outputs=("map",))
        assert OnnxEngine([file]).runner(fewer, toys.weights(tmp_path)).stride == 2

    @pytest.mark.parametrize("data", [b"", b"no network", b"\x08\x07"])
    def test_no_network(self, data: bytes, tmp_path: Path) -> None:
        path = tmp_path / "x.onnx"
        path.write_bytes(data)
        with pytest.raises(WeightsError, match=r"x.onnx .*(cannot be run|was not written)"):
            OnnxEngine([path])

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsNotFoundError, match="no ONNX file .*gone.onnx: check the path"):
            OnnxEngine([tmp_path / "gone.onnx"])

    def test_somebody_elses_network(self, file: Path, tmp_path: Path) -> None:
        model = onnx.load(file)
        del model.metadata_props[:]
        onnx.save(model, tmp_path / "theirs.onnx")
        with pytest.raises(WeightsError, match=r"theirs.onnx was not written by this version"):
            OnnxEngine([tmp_path / "theirs.onnx"])

    def test_a_device_it_does_not_run_on(self) -> None:
        with pytest.raises(ConfigError, match="engine=onnx runs on cpu or cuda, not on 'mps'"):
            OnnxEngine(device="mps")

    def test_cuda_without_its_runtime(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import onnxruntime

        monkeypatch.setattr(onnxruntime, "get_available_providers", list)
        with pytest.raises(ConfigError, match="pip install onnxruntime-gpu"):
            OnnxEngine(device="cuda:0")

    @pytest.mark.filterwarnings("ignore:Specified provider")
    def test_a_gpu_that_does_not_start(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import onnxruntime

        monkeypatch.setattr(
            onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"]
        )
        with pytest.raises(ConfigError, match="could not start CUDAExecutionProvider and would"):
            OnnxEngine([file], device="cuda")

    def test_without_onnxruntime(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        with pytest.raises(MissingExtraError, match=r"pip install 'tamperscope\[onnx\]'"):
            OnnxEngine()

    def test_without_what_writes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(onnx_export, "find_spec", lambda _: None)
        with pytest.raises(MissingExtraError, match=r"writing ONNX files needs .*\[onnx\]"):
            write_onnx(toys.graph(), tmp_path / "x.onnx", weights=toys.weights(tmp_path))

    def test_what_onnx_has_no_words_for(self, tmp_path: Path) -> None:
        graph = toys.graph()
        graph.module.network.forward = lambda x: {"map": x[x > 0.5], "mean": x.sum()}  # type: ignore[union-attr]
        graph.module.cells = {"map": "nonsense"}  # type: ignore[assignment]
        with pytest.raises(WeightsError, match=r"toy cannot be written as ONNX by torch .*engine="):
            write_onnx(graph, tmp_path / "x.onnx", weights=toys.weights(tmp_path))
        assert not (tmp_path / "x.onnx").exists()

    def test_a_place_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(ResultError, match=r"cannot write .*x.onnx"):
            write_onnx(toys.graph(), tmp_path / "file" / "x.onnx", weights=toys.weights(tmp_path))


def test_no_more_threads_than_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    assert onnx_runtime._threads() == 3
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert onnx_runtime._threads() == 2


@pytest.mark.parametrize(("device", "number"), [("cuda", "0"), ("cuda:0", "0"), ("cuda:1", "1")])
def test_the_gpu_that_was_asked_for_computes_in_float32(
    device: str, number: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    known = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: known)
    options = {"device_id": number, "use_tf32": "0"}
    assert onnx_runtime._providers(onnxruntime, device) == [(known[0], options), known[1]]
    for other in ("auto", "cpu"):
        assert onnx_runtime._providers(onnxruntime, other) == ["CPUExecutionProvider"]
