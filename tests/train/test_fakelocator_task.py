"""The task fakelocator: objective, validation numbers, runs on a tiny set, export and load."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import tamperscope
from tamperscope.errors import ConfigError, TrainingError
from tamperscope.losses.dolos import label_loss
from tamperscope.losses.fakelocator import fakeness_loss
from tamperscope.methods.fakelocator.network import build_network, network_for
from tamperscope.metrics import maps
from tamperscope.train import load_recipe, run_training
from tamperscope.train.calibrate_fakelocator import calibrate
from tamperscope.train.export import export_run
from tamperscope.train.tasks import make_task
from tamperscope.train.tasks.draws import REAL
from tamperscope.train.tasks.fakelocator import FakeLocatorTask
from tamperscope.weights import card_for
from train import faces, pairs
from train.test_loop import assert_same_checkpoint

KINDS = [REAL, "flat/region"]
GENERATOR = torch.Generator()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = pairs.write_pairs(tmp_path_factory.mktemp("pairs"))
    pairs.write_labels(folder / "labelled")
    return folder


def task(**options: Any) -> FakeLocatorTask:
    made = make_task(pairs.recipe(fakelocator={"size": pairs.SIZE, **options}))
    assert isinstance(made, FakeLocatorTask)
    return made


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


MAP, LABEL = random(2, 1, 16, 16) - 3, random(2, 2)
TRUTH = torch.zeros(2, 16, 16)
TRUTH[1, 2:9, 2:9] = 0.1
OUTPUTS = {"map_logits": MAP, "label_logits": LABEL, "embedding": random(2, 4)}
BATCH: dict[str, Any] = {"kind": KINDS, "mask": TRUTH}


# --------------------------------------------------------------------------- objective


def test_the_objective_is_the_weighted_sum_of_map_and_label() -> None:
    label = label_loss(LABEL, torch.tensor([0, 1]))
    for options in (
        {},
        {"map_loss": "l2", "map_scale": 4.0},
        {"map_loss": "dice", "rho_localize": 0.5},
        {"map_loss": "focal"},
        {"changed_share": 0.5, "rho_class": 2.0},
    ):
        made = task(**options)
        config = made.config
        expected_map = fakeness_loss(
            MAP[:, 0], TRUTH, kind=config.map_loss, scale=config.map_scale,
            changed_share=config.changed_share,
        )  # fmt: skip
        loss, terms = made.objective(OUTPUTS, BATCH, GENERATOR)
        torch.testing.assert_close(terms["map"], expected_map)
        torch.testing.assert_close(terms["label"], label)
        torch.testing.assert_close(
            loss, config.rho_class * label + config.rho_localize * expected_map
        )
        assert terms["loss"] == loss


def test_terms_without_a_weight_are_left_out_but_every_output_gets_a_gradient() -> None:
    label = LABEL.clone().requires_grad_()
    loss, terms = task(rho_class=0.0).objective(
        {**OUTPUTS, "label_logits": label}, BATCH, GENERATOR
    )
    assert set(terms) == {"loss", "map"}
    loss.backward()
    assert label.grad is not None
    assert not label.grad.any()


def test_attention_needs_something_to_come_from() -> None:
    for config in ({}, {"attention_weights": {"hair": 1.0}}):
        chosen = pairs.recipe(model={"config": {"attention": "parts", **config}})
        with pytest.raises(ConfigError, match=r"set fakelocator\.labels .* fakelocator\.parser"):
            make_task(chosen)


# --------------------------------------------------------------------------- numbers


def test_numbers_are_those_of_the_metrics() -> None:
    real, fake = task().numbers(OUTPUTS, BATCH)
    found, truth = MAP.sigmoid().numpy()[:, 0], TRUTH.numpy()
    for name in ("coss", "psnr", "ssim"):
        assert name not in real
        assert fake[name] == pytest.approx(getattr(maps, name)(found[1], truth[1]))
    assert real["mae"] == pytest.approx(found[0].mean(), rel=1e-5)
    probabilities = LABEL.softmax(1)[:, 1]
    assert [real["score"], fake["score"]] == pytest.approx(probabilities.tolist())
    assert real["accuracy"] == float(probabilities[0] <= 0.5)
    assert fake["accuracy"] == float(probabilities[1] > 0.5)
    _, terms = task().objective(OUTPUTS, BATCH, GENERATOR)
    assert (float(real["loss"]) + float(fake["loss"])) / 2 == pytest.approx(float(terms["loss"]))


def test_accuracy_weighs_real_and_fake_alike() -> None:
    records: list[dict[str, float | str]] = [
        {"kind": REAL, "score": 0.1, "accuracy": 1.0, "mae": 0.0},
        {"kind": "flat/whole", "score": 0.9, "accuracy": 1.0, "coss": 0.8, "mae": 0.2},
        {"kind": "flat/region", "score": 0.7, "accuracy": 1.0, "coss": 0.4, "mae": 0.1},
        {"kind": "flat/region", "score": 0.05, "accuracy": 0.0, "coss": 0.6, "mae": 0.1},
    ]
    numbers = task().summarize(records)
    assert numbers["accuracy"] == pytest.approx((1 + 2 / 3) / 2)
    assert numbers["ap"] == pytest.approx((1 + 1 + 3 / 4) / 3)
    assert (numbers["coss"], numbers["coss/flat/region"]) == (pytest.approx(0.6), 0.5)
    assert numbers["mae/real"] == 0
    assert "score" not in numbers
    assert "ap" not in task().summarize(records[1:])


# --------------------------------------------------------------------------- runs


def test_training_learns_maps_and_labels(root: Path, tmp_path: Path) -> None:
    chosen = pairs.recipe(
        fakelocator={"size": pairs.SIZE, "augment": "none"},
        schedule={"total_samples": 240},
        optim={"lr": 1e-2},
        run={"validate_every": 240, "log_every": 40, "checkpoint_every": 0, "best_metric": "coss"},
    )
    report = run_training(chosen, data_root=root, output=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    trained = [line for line in lines if line["event"] == "train"]
    for name in ("map", "label"):
        assert trained[-1][name] < 0.6 * trained[0][name]
    assert report.metrics["coss"] > 0.6
    assert report.metrics["accuracy"] > 0.85
    expected = {"loss", "label", "map", "coss", "psnr", "ssim", "mae", "accuracy", "ap"}
    assert {name for name in report.metrics if "/" not in name} == expected


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_a_resumed_run_is_the_uninterrupted_one(root: Path, tmp_path: Path, precision: str) -> None:
    options: dict[str, Any] = {
        "model": {"config": {"attention": "parts"}},
        "fakelocator": {"size": pairs.SIZE, "crop": 0.5, "augment": "both", "labels": "labelled"},
        "optim": {"ema_decay": 0.9},
        "run": {"precision": precision},
    }
    constant = {"kind": "constant"}
    half = pairs.recipe(**options, schedule={**constant, "total_samples": 16})
    full = pairs.recipe(**options, schedule=constant)
    run_training(half, data_root=root, output=tmp_path / "a")
    resumed = run_training(full, data_root=root, output=tmp_path / "a")
    straight = run_training(full, data_root=root, output=tmp_path / "b")
    assert resumed.samples == straight.samples == 32
    assert_same_checkpoint(resumed.checkpoint, straight.checkpoint)


def test_attention_reaches_the_network(root: Path) -> None:
    chosen = pairs.recipe(
        model={"config": {"attention": "parts"}},
        fakelocator={"size": pairs.SIZE, "labels": "labelled", "attention_dropout": 0.0},
    )
    made = make_task(chosen)
    sample = made.source(root, "train")[0]
    batch = {"image": sample["image"][None], "attention": sample["attention"][None]}
    inputs = made.network_inputs(batch, torch.device("cpu"), channels_last=True)
    assert len(inputs) == 2
    network = build_network(chosen.model.config).eval()
    with torch.no_grad():
        seen, blind = network(*inputs), network(inputs[0])
    assert not torch.allclose(seen["map_logits"], blind["map_logits"])


# --------------------------------------------------------------------------- export


def test_export_card_load_localize(root: Path, tmp_path: Path) -> None:
    run_training(pairs.recipe(), data_root=root, output=tmp_path / "run")
    out = tmp_path / "net.safetensors"
    done: list[int] = []
    card = export_run(tmp_path / "run", out, data_root=root, progress=done.append)
    assert card == card_for(out)
    assert (card.method, card.backbone, card.options) == (
        "fakelocator",
        "fakelocator",
        pairs.NETWORK,
    )
    assert card.data == "celebahq faces, generators: all; name the set"
    assert card.side == pairs.SIZE
    assert done[-1] == 8
    told = ("coss", "accuracy", "decision_accuracy", "map_accuracy", "mask_iou")
    assert {f"valid_{name}" for name in told} <= set(card.numbers)
    wanted = {"image_scale", "image_bias", "map_threshold", "threshold"}
    assert set(card.decision) == wanted
    network, _ = network_for(out)
    assert network.label_head.weight.dtype == torch.float32
    found = tamperscope.load("fakelocator", weights=out, device="cpu", parser="none").localize(
        faces.face(3, 80)
    )
    assert found.size == (80, 80)
    assert found.threshold == card.decision["threshold"]
    assert found.provenance.notes["feature_grid"] == [pairs.SIZE] * 2


def test_without_pairs_the_decision_is_left_uncalibrated(root: Path, tmp_path: Path) -> None:
    run_training(pairs.recipe(), data_root=root, output=tmp_path / "run")
    card = export_run(tmp_path / "run", tmp_path / "net.safetensors")
    assert card.decision == {}
    assert "coss" in card.numbers


class Oracle(torch.nn.Module):
    """Flat parts are fake: no step to the next pixel. Its labels lean to one side."""

    def __init__(self, lean: float = -1.0) -> None:
        super().__init__()
        self.lean = lean

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        still = (x - x.roll(1, -1)).abs().sum(1, keepdim=True) < 1e-6
        share = still.float().mean((1, 2, 3))
        logits = torch.stack([torch.zeros_like(share), 40 * share + self.lean], 1)
        return {"map_logits": still * 5.0 - 5.0 + 0 * x[:, :1], "label_logits": logits}


@pytest.mark.parametrize("lean", [-90.0, 5.0])
def test_calibration_sets_labels_right_that_lean_to_one_side(root: Path, lean: float) -> None:
    report = calibrate(Oracle(lean), pairs.recipe(), data_root=root)
    assert report.numbers["accuracy"] == 0.5
    assert report.numbers["decision_accuracy"] == 1


def test_calibration_separates_what_the_network_separates(root: Path) -> None:
    report = calibrate(Oracle(), pairs.recipe(), data_root=root)
    assert report.numbers["accuracy"] == report.numbers["decision_accuracy"] == 1
    assert report.numbers["map_accuracy"] == 1
    assert report.numbers["mask_iou"] > 0.9
    assert report.decision["image_scale"] > 0
    assert (report.numbers["fake_pictures"], report.numbers["real_pictures"]) == (4, 4)
    with pytest.raises(TrainingError, match="at least two fake and two real validation pictures"):
        calibrate(Oracle(), pairs.recipe(), data_root=root, pictures=3)


# --------------------------------------------------------------------------- recipe


def test_the_shipped_recipe_makes_its_task_and_a_small_network() -> None:
    recipe = load_recipe("fakelocator")
    made = make_task(recipe)
    assert isinstance(made, FakeLocatorTask)
    assert made.config.map_loss == "l1"
    assert made.config.augment == "real"
    network = build_network(recipe.model.config)
    stored = sum(2 * p.numel() for p in network.parameters())
    stored += sum(b.numel() * b.element_size() for b in network.buffers())
    assert stored < 15e6


def test_the_table_of_another_task_is_refused() -> None:
    with pytest.raises(ConfigError, match="the fakelocator table is for the task fakelocator; wr"):
        load_recipe("smoke", ["fakelocator.flip=false"])
    with pytest.raises(ConfigError, match="'iou' is not a validation number"):
        load_recipe("fakelocator", ["run.best_metric=iou"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("reals=1", r"fakelocator.reals must be in \[0, 1\), got 1.0"),
        ("changed_share=1", r"fakelocator.changed_share must be in \[0, 1\)"),
        ("augment=reals", "fakelocator.augment = 'reals' is not a choice, did you mean 'real'"),
        ("augment_share=2", r"fakelocator.augment_share must be in \[0, 1\]"),
        ("crop=0", r"fakelocator.crop must be in \(0, 1\], got 0.0"),
        ("map_scale=0", "fakelocator.map_scale must be above 0, got 0.0"),
        ("map_loss=ce", "fakelocator.map_loss = 'ce' is not a choice"),
        ("generators=[]", "fakelocator.generators must be at least one name"),
        ("jpeg_quality=[90, 40]", "fakelocator.jpeg_quality must be in 1 to 100, rising"),
        ("noise_sigma=[0, 1]", "fakelocator.noise_sigma must be above 0, rising"),
        ("rescale_range=[0.5, 1.5]", "fakelocator.rescale_range must be at most 1"),
        ("limit=-1", "fakelocator.limit must be at least 0"),
    ],
)
def test_settings_that_cannot_be(change: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe("fakelocator", [f"fakelocator.{change}"])


def test_an_objective_needs_a_term() -> None:
    with pytest.raises(ConfigError, match="rho_class or rho_localize must be above 0"):
        load_recipe("fakelocator", ["fakelocator.rho_class=0", "fakelocator.rho_localize=0"])
