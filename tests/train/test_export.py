"""From a run folder to weights that `tamperscope.load` takes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

import tamperscope
from hostile import encode, photo
from methods.focal.toys import TINY, tiny_network
from tamperscope.cli.main import app
from tamperscope.errors import ConfigError, TrainingError, WeightsHashError
from tamperscope.methods.focal.decision import Calibration
from tamperscope.methods.focal.network import network_for
from tamperscope.train import checkpoint as store
from tamperscope.train.config import Recipe
from tamperscope.train.export import export_run
from tamperscope.weights import card_for, sha256_of, verify
from tamperscope.weights.cards import sidecar

SYNTHESIS = {"size": [96, 128], "val_share": 0.5, "distinct": False}


def make_run(folder: Path, **changes: Any) -> Path:
    """A run folder as training leaves it, with `TINY` weights."""
    model = {"network": "focal", "config": {"backbone": "compact", **TINY, **changes}}
    recipe = Recipe.from_dict({"model": model, "data": {"synthesis": SYNTHESIS}})
    folder.mkdir()
    (folder / "recipe.json").write_text(json.dumps(recipe.to_dict()))
    network = tiny_network(**changes)
    notes = {
        "samples": 32,
        "steps": 8,
        "buffers": [name for name, _ in network.named_buffers()],
        "metrics": {"evidence_auc": 0.5},
    }
    store.save_best(folder, store.plain(network.state_dict()), notes)
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(12):
        (folder / f"{i}.jpg").write_bytes(encode(photo(140, 180, seed=i), "JPEG", quality=85))
    return folder


def test_export_card_load_localize(run: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "shipped" / "net.safetensors"
    about = {"summary": "for a test", "data": "made-up photos", "terms": "none"}
    card = export_run(run, out, data_root=photos, forged=4, authentic=4, card_fields=about)
    assert card == card_for(out)
    assert (card.name, card.summary, card.data) == ("net", "for a test", "made-up photos")
    assert (card.sha256, card.bytes) == (sha256_of(out), out.stat().st_size)
    assert card.numbers["synthetic_authentic_pictures"] == 4
    assert all(name.startswith("synthetic_") for name in card.numbers)
    calibration = Calibration.from_card(card.decision, "net")
    localizer = tamperscope.load("focal", weights=out, device="cpu")
    found = localizer.localize(photo(70, 90))
    assert found.provenance.weights == {"net": card.sha256}
    assert found.provenance.config["calibration"] == dict(card.decision)
    assert found.threshold == calibration.threshold
    assert found.size == (70, 90)


def test_calibrated_as_exported_not_as_trained(
    run: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tamperscope.train import export as module

    seen: list[torch.Tensor] = []
    original = module.calibrate

    def spy(network: Any, **options: Any) -> Any:
        seen.append(network.state_dict()["projection.3.weight"].clone())
        assert not network.training
        assert options["synthesis"] == SYNTHESIS
        return original(network, **options)

    monkeypatch.setattr(module, "calibrate", spy)
    done: list[int] = []
    out = tmp_path / "net.safetensors"
    export_run(run, out, data_root=photos, forged=3, authentic=2, progress=done.append)
    trained = load_file(run / store.BEST)["projection.3.weight"]
    assert done == [1, 2, 3, 4, 5]
    assert torch.equal(seen[0], trained.half().float())
    assert not torch.equal(seen[0], trained)


def test_without_photos_the_decision_is_left_uncalibrated(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.safetensors"
    card = export_run(run, out)
    assert card.decision == {}
    assert card.numbers == {"evidence_auc": 0.5}
    found = tamperscope.load("focal", weights=out, device="cpu").localize(photo())
    assert found.threshold == Calibration().threshold


@pytest.mark.parametrize(("dtype", "limit"), [("float16", 2e-3), ("float32", 0.0)])
def test_exported_network_is_the_trained_one(
    run: Path, tmp_path: Path, dtype: str, limit: float
) -> None:
    out = tmp_path / "net.safetensors"
    export_run(run, out, dtype=dtype)
    x = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    exported, trained = network_for(out)[0].eval()(x), tiny_network()(x)
    for name, value in trained.items():
        error = (exported[name] - value).abs().max()
        assert error <= limit * value.abs().max() * 5


def test_weights_averaged_with_those_before(run: Path, tmp_path: Path) -> None:
    before = tmp_path / "before.safetensors"
    export_run(run, before, dtype="float32")
    old = {k: v + 1 if v.is_floating_point() else v for k, v in load_file(before).items()}
    store.write_weights(before, old, {})
    sidecar(before).unlink()
    out = tmp_path / "between.safetensors"
    export_run(run, out, dtype="float32", average=before, share=0.75)
    own = load_file(run / store.BEST)
    for name, value in load_file(out).items():
        if value.is_floating_point():
            torch.testing.assert_close(value, 0.75 * own[name] + 0.25 * old[name])
        else:
            assert torch.equal(value, own[name])


def test_averages_that_cannot_be(run: Path, tmp_path: Path) -> None:
    other, out = tmp_path / "other.safetensors", tmp_path / "out.safetensors"
    export_run(make_run(tmp_path / "wide", evidence=False), other)
    with pytest.raises(TrainingError, match="of another network"):
        export_run(run, out, average=other)
    for share in (0.0, 1.5, float("nan")):
        with pytest.raises(ConfigError, match="a part of one"):
            export_run(run, out, average=other, share=share)
    assert not out.exists()


def test_weights_to_average_with_must_be_those_of_their_card(run: Path, tmp_path: Path) -> None:
    before, out = tmp_path / "before.safetensors", tmp_path / "out.safetensors"
    export_run(run, before)
    export_run(run, out, average=before)
    out.unlink()
    store.write_weights(before, {k: v * 0 for k, v in load_file(before).items()}, {})
    with pytest.raises(WeightsHashError, match=r"before\.safetensors .* its card says"):
        export_run(run, out, average=before)
    assert not out.exists()


def test_wrong_targets_and_runs(run: Path, tmp_path: Path, photos: Path) -> None:
    for target in ("net", "net.toml", "net.pth"):
        with pytest.raises(ConfigError, match=rf"end .*{target} in \.safetensors"):
            export_run(run, tmp_path / target)
        assert not (tmp_path / target).exists()
    out = tmp_path / "net.safetensors"
    with pytest.raises(TrainingError, match=r"has no best\.safetensors: no validation has run"):
        export_run(tmp_path / "none", out)
    with pytest.raises(ConfigError, match="cannot export as 'int8'"):
        export_run(run, out, dtype="int8")
    silent = make_run(tmp_path / "silent", evidence=False)
    with pytest.raises(TrainingError, match="only a network with an evidence head"):
        export_run(silent, out, data_root=photos)


def test_a_card_and_its_file_belong_together(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.safetensors"
    export_run(run, out)
    other = make_run(tmp_path / "other", dim=4)
    export_run(other, tmp_path / "other.safetensors")
    (tmp_path / "other.safetensors").replace(out)
    with pytest.raises(WeightsHashError, match="its card says"):
        tamperscope.load("focal", weights=out, device="cpu")


def test_command_line(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.safetensors"
    words = ["weights", "export", str(run), str(out), "--terms", "none", "--data-note", "noise"]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 0, told.output
    assert "net.toml" in told.output
    # Lines wrap where the terminal ends, which depends on the length of the path.
    assert "evidence_auc 0.5" in " ".join(told.output.split())
    card = card_for(out)
    assert card is not None
    assert (card.terms, card.data) == ("none", "noise")
    as_json = CliRunner().invoke(app, [*words, "--json"])
    assert json.loads(as_json.stdout)["sha256"] == sha256_of(out)
    checked = CliRunner().invoke(app, ["weights", "verify", str(out)])
    assert checked.exit_code == 0, checked.output
    assert "all right" in " ".join(checked.output.split())


def test_command_line_says_what_is_wrong_in_one_line(run: Path, tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["weights", "export", str(run), str(tmp_path / "net.pth")])
    assert told.exit_code != 0
    assert "in .safetensors" in told.output.replace("\n", "")


def test_verify_runs_the_exported_network(run: Path, tmp_path: Path) -> None:
    from tamperscope.methods.focal.network import module_for

    out = tmp_path / "net.safetensors"
    export_run(run, out)
    report = verify(out, build=module_for)
    assert report.output_shape == (1, TINY["dim"], 16, 16)
    assert report.pinned
    assert sidecar(out).is_file()
    assert np.isfinite(report.values)
