"""From a run of the task dolos to weights with a card and a fitted image score."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

import tamperscope
from tamperscope.cli.main import app
from tamperscope.errors import TrainingError
from tamperscope.methods.dolos.decision import TOP_SHARE
from tamperscope.methods.dolos.network import module_for, network_for
from tamperscope.train import checkpoint as store
from tamperscope.train.calibrate_dolos import _CUTS, _image_score, calibrate
from tamperscope.train.export import export_run
from tamperscope.train.fitting import best_cut, logistic
from tamperscope.weights import card_for, sha256_of
from train import faces


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return faces.write_set(tmp_path_factory.mktemp("faces"))


def make_run(folder: Path, method: str = "patches", setup: str = "C", **config: Any) -> Path:
    """A run folder as training leaves it, with random weights."""
    chosen = faces.recipe(method, setup)
    tables = chosen.to_dict()
    tables["model"]["config"] |= config
    folder.mkdir()
    (folder / "recipe.json").write_text(json.dumps(tables))
    torch.manual_seed(0)
    network = module_for(**tables["model"]["config"])
    notes = {
        "samples": 32,
        "steps": 8,
        "buffers": [name for name, _ in network.named_buffers()],
        "metrics": {"iou": 0.5, "iou/flat": 0.5},
    }
    store.save_best(folder, store.plain(network.state_dict()), notes)
    return folder


def test_export_card_and_load(root: Path, tmp_path: Path) -> None:
    run, out = make_run(tmp_path / "run"), tmp_path / "shipped" / "net.safetensors"
    card = export_run(run, out, data_root=root, card_fields={"data": "noise", "terms": "none"})
    assert card == card_for(out)
    assert (card.method, card.backbone, card.kind) == ("dolos-patches", "xception", "native")
    assert card.options == {"method": "patches", "supervision": "full", "block": 1}
    assert (card.preprocessing, card.side) == ("bilinear", faces.SIZE)
    assert (card.data, card.sha256) == ("noise", sha256_of(out))
    ranked = {"image_top"} if card.numbers["valid_ap_top"] > card.numbers["valid_ap"] else set()
    assert set(card.decision) == {"image_scale", "image_bias"} | ranked
    assert card.numbers["valid_fake_pictures"] == card.numbers["valid_real_pictures"] == 4
    assert 0 <= card.numbers["valid_iou"] <= card.numbers["valid_best_iou"] <= 1
    weights = load_file(out)
    assert weights["head.weight"].dtype == torch.float16
    assert weights["xception.bn1.running_var"].dtype == torch.float32
    network, loaded = network_for(out, "dolos-patches")
    assert loaded.sha256 == card.sha256
    assert torch.equal(network.head.weight, weights["head.weight"].float())  # type: ignore[union-attr]


def test_the_better_ranking_goes_on_the_card() -> None:
    fake = np.array([False, False, False, True, True, True])
    good, bad = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), np.array([0.1, 0.5, 0.4, 0.3, 0.2, 0.6])
    decision, numbers = _image_score(bad, good, fake)
    assert decision == {**logistic(good, fake), "image_top": TOP_SHARE}
    assert numbers == {"ap_top": 1.0}
    decision, numbers = _image_score(good, bad, fake)
    assert decision == logistic(good, fake)
    assert numbers["ap_top"] < 1
    assert _image_score(good, np.array([]), fake) == (logistic(good, fake), {})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "setup", "config", "name"),
    [
        ("patches", "A", {}, "dolos-patches-weak"),
        ("attention", "C", {"map_only": True}, "dolos-attention"),
        ("gradcam", "B", {}, "dolos-gradcam-weak"),
    ],
)
def test_every_kind_of_network_is_exported(
    root: Path, tmp_path: Path, method: str, setup: str, config: dict[str, Any], name: str
) -> None:
    out = tmp_path / "net.safetensors"
    card = export_run(make_run(tmp_path / "run", method, setup, **config), out, data_root=root)
    assert card.method == name
    assert card.decision["image_scale"] != 0
    assert ("valid_iou" in card.numbers) == (name != "dolos-gradcam-weak")
    network, _ = network_for(out, name)
    assert network.name == name


def test_without_faces_the_score_is_left_as_it_is(tmp_path: Path) -> None:
    card = export_run(make_run(tmp_path / "run"), tmp_path / "net.safetensors")
    assert card.decision == {}
    assert card.numbers == {"iou": 0.5}
    assert card.summary == "trained on 32 pictures in set-up C"


def test_the_threshold_is_fitted_only_when_asked_for(root: Path) -> None:
    chosen = faces.recipe()
    torch.manual_seed(0)
    network = module_for(**chosen.model.config)
    done: list[int] = []
    report = calibrate(
        network, chosen, data_root=root, pictures=6, fit_threshold=True, progress=done.append
    )
    assert report.decision["threshold"] == report.numbers["best_threshold"]
    assert done == [6]
    assert report.numbers["fake_pictures"] == 3
    quarter = calibrate(network, chosen, data_root=root, pictures=6, flagged_real=0.25)
    tenth = calibrate(network, chosen, data_root=root, pictures=6, flagged_real=0.1)
    assert 0 < quarter.decision["threshold"] < tenth.decision["threshold"] < 1
    assert 0 <= tenth.numbers["iou_at_threshold"] <= 1
    with pytest.raises(TrainingError, match="at least two fake and two real validation pictures"):
        calibrate(network, chosen, data_root=root, pictures=3)


def test_the_image_score_becomes_a_probability() -> None:
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.normal(0.6, 0.1, 90), rng.normal(0.4, 0.1, 30)])
    fake = np.arange(120) < 90
    fitted = logistic(scores, fake)
    probability = 1 / (1 + np.exp(-(fitted["image_scale"] * scores + fitted["image_bias"])))
    # As many fakes as real pictures are assumed, whatever the set held.
    assert 1 / (1 + np.exp(-(fitted["image_scale"] * 0.5 + fitted["image_bias"]))) == (
        pytest.approx(0.5, abs=0.1)
    )
    assert probability[fake].mean() > 0.7 > 0.3 > probability[~fake].mean()
    apart = logistic(np.array([0.1, 0.1, 0.9, 0.9]), np.array([False, False, True, True]))
    assert 0 < apart["image_scale"] < 100


def test_the_best_cut_is_the_one_with_the_largest_mean_iou() -> None:
    mask = np.zeros((4, 4), bool)
    mask[:2] = True
    scores = np.where(mask, 0.33, 0.22).astype(np.float32)
    scores[0, 0] = 0.28
    assert best_cut([(scores, mask)], _CUTS) == (0.25, 1.0)


def test_command_line(root: Path, tmp_path: Path) -> None:
    run, out = make_run(tmp_path / "run"), tmp_path / "net.safetensors"
    words = ["weights", "export", str(run), str(out), "--data", str(root), "--json"]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["decision"]["image_scale"] != 0


def test_the_localizer_gives_the_fitted_probability(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.safetensors"
    card = export_run(make_run(tmp_path / "run"), out, data_root=root)
    pixels = faces.face(3)
    found = tamperscope.load("dolos-patches", weights=out, device="cpu").localize(pixels)
    assert found.provenance.config["size"] == faces.SIZE
    plain = tamperscope.load(
        "dolos-patches", weights=out, device="cpu", image_score="mean"
    ).localize(pixels)
    logit = card.decision["image_scale"] * plain.image_score + card.decision["image_bias"]
    assert found.image_score == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-6)
    assert np.array_equal(found.score_map, plain.score_map)
