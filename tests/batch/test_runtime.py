"""Networks run by ONNX Runtime in the workers of a run."""

import json
from pathlib import Path
from typing import Any

import onnx
import pytest

from batch import archive
from engines import toys
from tamperscope.batch import run as driver
from tamperscope.engines.onnx_export import write_onnx
from tamperscope.errors import ConfigError, MissingExtraError, WeightsError
from tamperscope.weights import sha256_of


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    return write_onnx(toys.graph(), folder / "toy.onnx", weights=toys.weights(folder))


def values(*files: Path) -> dict[str, Any]:
    return {"loader": "batch.toys:load_exported", "runtime": "onnx", "onnx": files}


def test_workers_run_the_file_with_one_thread_each(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = archive.archive(tmp_path / "in", 3)
    monkeypatch.chdir(file.parent)
    # Found from wherever a worker is started; the toy looks at its threads.
    archive.examine(tmp_path / "in", tmp_path / "out", workers=2, **values(Path(file.name)))
    found = archive.check_whole(tmp_path / "out", ids)
    assert {row["error"] for row in found} == {None}
    (score,) = {row["score"] for row in found}
    assert 0 < score < 1
    settings = json.loads((tmp_path / "out" / "settings.json").read_text())
    record = {"name": "onnx", "files": [sha256_of(file)]}
    assert settings["method"]["config"]["engine"] == record


def test_what_runs_the_networks_is_not_changed_in_a_run(tmp_path: Path, file: Path) -> None:
    archive.archive(tmp_path / "in", 1)
    archive.examine(tmp_path / "in", tmp_path / "out", **values(file))
    report = archive.examine(tmp_path / "in", tmp_path / "out", **values(file))
    assert report["calls"] == 2
    refused = r"holds a run with other settings \(runtime\); choose"
    with pytest.raises(ConfigError, match=refused):
        archive.examine(tmp_path / "in", tmp_path / "out", loader=values()["loader"])
    other = tmp_path / "other.onnx"
    model = onnx.load(file)
    model.doc_string = "the same network in other bytes"
    onnx.save(model, other)
    toys.weights(tmp_path)
    with pytest.raises(ConfigError, match=refused):
        archive.examine(tmp_path / "in", tmp_path / "out", **values(other))


def test_a_file_that_is_none_stops_the_run(tmp_path: Path) -> None:
    archive.archive(tmp_path / "in", 1)
    (tmp_path / "x.onnx").write_bytes(b"no network")
    with pytest.raises(WeightsError, match=r"x\.onnx cannot be run by ONNX Runtime .*export it ag"):
        archive.examine(tmp_path / "in", tmp_path / "out", **values(tmp_path / "x.onnx"))


def test_without_onnxruntime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.archive(tmp_path / "in", 1)
    monkeypatch.setattr(driver, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"--runtime onnx needs .*'tamperscope\[onnx\]'"):
        archive.examine(tmp_path / "in", tmp_path / "out", **values())
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_shipped_network_gives_the_same_masks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAMPERSCOPE_CACHE", str(tmp_path / "cache"))
    archive.archive(tmp_path / "in", 3)
    common: dict[str, Any] = {"method": "focal", "loader": "tamperscope.catalog:load"}
    common["device"] = "cpu"
    archive.examine(tmp_path / "in", tmp_path / "torch", **common)
    archive.examine(tmp_path / "in", tmp_path / "onnx", runtime="onnx", **common)
    (file,) = (tmp_path / "cache" / "onnx").glob("*.onnx")
    archive.examine(tmp_path / "in", tmp_path / "file", runtime="onnx", onnx=[file], **common)
    for name in ("onnx", "file"):
        pairs = zip(archive.rows(tmp_path / "torch"), archive.rows(tmp_path / name), strict=True)
        for expected, found in pairs:
            assert found["error"] is None
            assert found["score"] == pytest.approx(expected["score"], abs=1e-3)
            assert found["flagged"] == expected["flagged"]
