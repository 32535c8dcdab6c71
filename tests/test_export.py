from pathlib import Path

import onnx
import pytest

from tamperscope import catalog
from tamperscope.engines import onnx_runtime
from tamperscope.errors import ConfigError, UnknownNameError, WeightsError
from tamperscope.export import export


def test_other_formats_and_methods_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown format 'tflite'"):
        export("focal", tmp_path / "x", format="tflite")
    with pytest.raises(UnknownNameError, match="unknown method 'fcal'; did you mean 'focal'"):
        export("fcal", tmp_path / "x.onnx")
    with pytest.raises(UnknownNameError, match="unknown weights 'focal-huge'"):
        export("focal", tmp_path / "x.onnx", weights="focal-huge", untrained=True)
    with pytest.raises(ConfigError, match="are for focal, not for dolos-patches"):
        export("dolos-patches", tmp_path / "x.onnx", weights="focal-compact", untrained=True)
    with pytest.raises(ConfigError, match="name the weights whose network is meant"):
        export("focal", tmp_path / "x.onnx", weights=["focal-compact"], untrained=True)
    with pytest.raises(ConfigError, match="the face parser runs one network"):
        export("face-parser", tmp_path / "x.onnx", weights=["a", "b"])
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_method_with_two_networks_writes_two_files(tmp_path: Path) -> None:
    files = export("fakelocator", tmp_path / "fl.onnx")
    assert [file.path.name for file in files] == ["fl.onnx", "fl.face-parser.onnx"]
    assert [file.weights for file in files] == ["fakelocator", "face-parser"]
    notes = {e.key: e.value for e in onnx.load(files[0].path).metadata_props}
    assert notes["terms"].startswith("non-commercial research")
    assert notes["weights_sha256"] == files[0].sha256
    with pytest.raises(WeightsError, match=r"fl.face-parser.onnx was made from the weights"):
        catalog.load("fakelocator", engine="onnx", onnx=[f.path for f in files], parser="none")


@pytest.mark.slow
def test_random_weights_say_so_and_run_in_no_method(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file,) = export("dolos-patches", tmp_path / "x.onnx", untrained=True)
    assert (file.weights, file.sha256) == ("dolos-patches-untrained", "")
    with pytest.raises(WeightsError, match="x.onnx holds random numbers"):
        onnx_runtime.OnnxEngine([file.path])


class TestLoad:
    def test_an_unknown_engine(self) -> None:
        with pytest.raises(UnknownNameError, match="unknown engine 'onxx'; did you mean 'onnx'"):
            catalog.load("focal", engine="onxx")

    def test_a_file_without_its_engine(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="use engine=onnx"):
            catalog.load("focal", onnx=tmp_path / "x.onnx")

    def test_half_precision(self) -> None:
        with pytest.raises(ConfigError, match="engine=onnx computes in fp32"):
            catalog.load("focal", engine="onnx", precision="bf16")
