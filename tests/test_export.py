from pathlib import Path
from typing import Any

import onnx
import pytest

from engines import toys
from tamperscope import catalog
from tamperscope import export as exporting
from tamperscope.backbones import create_backbone
from tamperscope.engines import Engine, Graph, onnx_runtime
from tamperscope.errors import ConfigError, ResultError, UnknownNameError, WeightsError
from tamperscope.export import export
from tamperscope.face_parsing import segformer


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


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that `export` wrote, in no more than a moment."""
    paths: list[Path] = []

    def write(_graph: Graph, path: Path, **_options: object) -> None:
        path.write_text("exported")
        paths.append(path)

    monkeypatch.setattr(exporting, "write_onnx", write)
    return paths


@pytest.mark.parametrize("untrained", [True, False])
def test_the_face_parser_has_no_settings(
    untrained: bool, tmp_path: Path, written: list[Path]
) -> None:
    options: list[dict[str, Any]] = [{"preset": "default"}, {"size": 64}]
    for chosen in options:
        with pytest.raises(ConfigError, match="has neither presets nor settings: leave them out"):
            export("face-parser", tmp_path / "x.onnx", untrained=untrained, **chosen)
    assert not written


def test_a_network_that_is_not_ours_is_refused(
    tmp_path: Path, written: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []

    def load_segformer(model: str, **_options: object) -> None:
        loaded.append(model)

    monkeypatch.setattr(segformer, "load_segformer", load_segformer)
    for name in ("segformer", "segformer:mine"):
        with pytest.raises(ConfigError, match=f"weights={name} is not ours to export"):
            export("face-parser", tmp_path / "x.onnx", weights=name)
    assert loaded == [segformer.DEFAULT_MODEL, "mine"]
    assert not written


class TestUntrained:
    @pytest.fixture(autouse=True)
    def _small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """SAM's ViT in place of every network, small."""

        def build(_name: str, **_options: object) -> object:
            return create_backbone(
                "focal-vit-l", img_size=64, embed_dim=32, depth=1, num_heads=2, window_size=3,
                global_blocks=(), channels=8,
            )  # fmt: skip

        monkeypatch.setattr(catalog, "build_network", build)

    def test_a_network_for_one_size_gets_that_of_the_settings(
        self, tmp_path: Path, written: list[Path]
    ) -> None:
        options: list[tuple[dict[str, Any], int]] = [
            ({}, 1024), ({"square_size": 512}, 512), ({"square_size": "256"}, 256),
        ]  # fmt: skip
        for chosen, side in options:
            (file,) = export(
                "focal", tmp_path / "x.onnx", weights="focal-vit-released", untrained=True, **chosen
            )
            assert file.side == side
        assert len(written) == 3

    def test_settings_that_there_are_not(self, tmp_path: Path, written: list[Path]) -> None:
        out = tmp_path / "x.onnx"
        with pytest.raises(UnknownNameError, match="'square_sise'; did you mean 'square_size'"):
            export("focal", out, untrained=True, square_sise=512)
        with pytest.raises(UnknownNameError, match="preset"):
            export("focal", out, untrained=True, preset="none-such")
        options: list[dict[str, Any]] = [{"preset": "as-published"}, {"size": 256}]
        for chosen in options:
            with pytest.raises(ConfigError, match="dolos-patches has no settings that change its"):
                export("dolos-patches", out, untrained=True, **chosen)
        assert not written


@pytest.mark.parametrize("there", ["x.onnx", "x.second.onnx"])
def test_files_that_exist_are_kept_unless_told(
    there: str, tmp_path: Path, written: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(_method: str, *, engine: Engine, **_options: object) -> None:
        for name in ("first", "second"):
            engine.runner(toys.graph(), toys.weights(tmp_path, name, name))

    monkeypatch.setattr(catalog, "load", load)
    (tmp_path / there).write_text("mine")
    with pytest.raises(ResultError, match=rf"{there} exists already: choose another name, or use"):
        export("fakelocator", tmp_path / "x.onnx", overwrite=False)
    assert not written
    assert (tmp_path / there).read_text() == "mine"
    files = export("fakelocator", tmp_path / "x.onnx")
    assert [file.path.name for file in files] == ["x.onnx", "x.second.onnx"]
    assert [file.path for file in files] == written
    for path in written:
        path.unlink()
    assert len(export("fakelocator", tmp_path / "x.onnx", overwrite=False)) == 2


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
