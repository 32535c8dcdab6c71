"""The task dolos: objective, validation numbers, and runs on a tiny face set."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tamperscope.errors import ConfigError
from tamperscope.losses import dolos as losses
from tamperscope.train import load_recipe, recipe_names, run_training
from tamperscope.train.tasks import make_task
from tamperscope.train.tasks.dolos import DolosTask
from tamperscope.train.tasks.draws import REAL
from train import faces
from train.test_loop import assert_same_checkpoint

KINDS = [REAL, "flat"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return faces.write_set(tmp_path_factory.mktemp("faces"))


def task(method: str = "patches", setup: str = "C", **options: Any) -> DolosTask:
    made = make_task(faces.recipe(method, setup, dolos={"setup": setup, **options}))
    assert isinstance(made, DolosTask)
    return made


def batch(masks: Tensor) -> dict[str, Any]:
    return {"kind": KINDS, "mask": masks.to(torch.uint8)}


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


GENERATOR = torch.Generator()
LABELS = torch.tensor([0, 1])
MAP, LABEL_LOGITS, MASK_LOGITS = random(2, 2, 5, 5), random(2, 2), random(2, 1, 5, 5, seed=1)
MASKS = torch.zeros(2, 5, 5)
MASKS[1, 1:4, 1:4] = 1


# --------------------------------------------------------------------------- objective


def test_each_method_has_its_objective() -> None:
    label = losses.label_loss(LABEL_LOGITS, LABELS)
    both = {"label_logits": LABEL_LOGITS, "mask_logits": MASK_LOGITS}
    cases: list[tuple[DolosTask, dict[str, Tensor], Tensor]] = [
        (task(), {"map_logits": MAP}, losses.map_loss(MAP, MASKS)),
        (
            task(map_loss="dice"),
            {"map_logits": MAP},
            losses.map_loss(MAP, MASKS, kind="dice"),
        ),
        (
            task(balanced_map=True),
            {"map_logits": MAP},
            losses.map_loss(MAP, MASKS, balanced=True),
        ),
        (
            task(setup="B", pooling="max"),
            {"map_logits": MAP},
            losses.weak_map_loss(MAP, LABELS, pooling="max"),
        ),
        (task("gradcam", "A", rho_class=1.0), {"label_logits": LABEL_LOGITS}, label),
        (
            task("attention", "B", rho_class=1.0, rho_localize=0.5),
            both,
            losses.attention_weak(LABEL_LOGITS, MASK_LOGITS, LABELS, weight=0.5),
        ),
        (task("attention"), both, losses.attention_full(MASK_LOGITS, MASKS)),
        (
            task("attention", rho_class=2.0),
            both,
            losses.combined(label, losses.attention_full(MASK_LOGITS, MASKS), rho_class=2.0),
        ),
        (
            task(rho_class=1.0),
            {"map_logits": MAP},
            losses.combined(
                losses.label_loss(losses.pool_average(MAP), LABELS), losses.map_loss(MAP, MASKS)
            ),
        ),
    ]
    for made, outputs, expected in cases:
        loss, terms = made.objective(outputs, batch(MASKS), GENERATOR)
        torch.testing.assert_close(loss, expected)
        assert terms["loss"] == loss
        weighted = sum(made.weights[name] * terms[name] for name in terms if name != "loss")
        torch.testing.assert_close(weighted, expected)


def test_every_output_gets_a_gradient() -> None:
    label = LABEL_LOGITS.clone().requires_grad_()
    outputs = {"label_logits": label, "mask_logits": MASK_LOGITS}
    loss, _ = task("attention").objective(outputs, batch(MASKS), GENERATOR)
    loss.backward()
    assert label.grad is not None
    assert not label.grad.any()


def test_a_set_up_must_fit_the_supervision() -> None:
    for setup, supervision in (("A", "full"), ("B", "full"), ("C", "weak")):
        with pytest.raises(ConfigError, match=f"set-up {setup} does not fit .* = '{supervision}'"):
            make_task(
                faces.recipe(
                    setup=setup, model={"config": {"method": "patches", "supervision": supervision}}
                )
            )


def test_an_objective_needs_a_term() -> None:
    for method, setup, rho in (
        ("patches", "B", {"rho_class": 1.0, "rho_localize": 0.0}),
        ("gradcam", "A", {"rho_class": 0.0}),
    ):
        with pytest.raises(ConfigError, match=f"nothing to learn: {method} in set-up {setup}"):
            task(method, setup, **rho)
    with pytest.raises(ConfigError, match="the network stops at its map; set model.config.map_o"):
        task("attention", rho_class=1.0).objective(
            {"mask_logits": MASK_LOGITS}, batch(MASKS), GENERATOR
        )


# --------------------------------------------------------------------------- numbers


def test_numbers_of_known_maps() -> None:
    logits = torch.full((2, 1, 5, 5), -1.0)
    logits[1, 0, 1:4, 1:3] = 2.0
    logits[1, 0, 0] = 1.0
    logits[0, 0, 0, 0] = 1.0
    real, fake = task("attention").numbers({"mask_logits": logits}, batch(MASKS))
    assert real == {"kind": REAL, "score": real["score"], "false_alarm": pytest.approx(1 / 25)}
    assert fake["iou"] == pytest.approx(6 / (9 + 5))
    assert fake["false_alarm"] == pytest.approx(5 / 16)
    above, tied = 6 * 16 / (9 * 16), 3 * 11 / (9 * 16) / 2
    assert fake["pixel_auc"] == pytest.approx(above + tied)
    assert fake["score"] == pytest.approx(float(logits[1].sigmoid().mean()))
    # Training sees fakes only: a loss of real pictures would measure something else.
    assert "loss" in fake
    real, _ = task("attention", reals=0.5).numbers({"mask_logits": logits}, batch(MASKS))
    assert "loss" in real


def test_a_region_smaller_than_a_cell_is_not_a_missed_region() -> None:
    _, fake = task().numbers({"map_logits": MAP}, batch(torch.zeros(2, 5, 5)))
    assert "iou" not in fake
    assert "pixel_auc" not in fake


def test_a_wholly_fake_picture_has_no_false_alarm() -> None:
    _, fake = task(setup="A").numbers({"map_logits": MAP}, batch(torch.ones(2, 5, 5)))
    assert "false_alarm" not in fake
    assert 0 < float(fake["iou"]) < 1


def test_the_score_is_the_paper_s() -> None:
    both = {"label_logits": LABEL_LOGITS, "mask_logits": MASK_LOGITS}
    weak = task("attention", "B", rho_class=1.0)
    torch.testing.assert_close(weak.raw_score(both), LABEL_LOGITS[:, 1])
    mean = MASK_LOGITS.sigmoid().mean((1, 2, 3))
    torch.testing.assert_close(task("attention").raw_score(both), mean)
    mean = MAP.softmax(1)[:, 1].mean((1, 2))
    torch.testing.assert_close(task().raw_score({"map_logits": MAP}), mean)


def test_summary_ranks_pictures_and_separates_kinds() -> None:
    records: list[dict[str, float | str]] = [
        {"kind": REAL, "score": 0.1, "false_alarm": 0.0},
        {"kind": REAL, "score": 0.6, "false_alarm": 0.5},
        {"kind": "flat", "score": 0.9, "iou": 0.8, "loss": 1.0, "false_alarm": 0.1},
        {"kind": "blur", "score": 0.5, "iou": 0.4, "loss": 3.0, "false_alarm": 0.0},
    ]
    numbers = task().summarize(records)
    assert numbers["ap"] == pytest.approx((1 + 2 / 3) / 2)
    assert (numbers["iou"], numbers["iou/flat"], numbers["loss"]) == (
        pytest.approx(0.6),
        0.8,
        2.0,
    )
    assert numbers["false_alarm/real"] == 0.25
    assert "score" not in numbers
    assert "ap" not in task().summarize(records[:2])


# --------------------------------------------------------------------------- runs


def test_training_learns_where_faces_are_regenerated(root: Path, tmp_path: Path) -> None:
    chosen = faces.recipe(
        dolos={"reals": 0.25},
        schedule={"total_samples": 160},
        optim={"lr": 1e-2},
        run={"validate_every": 80, "log_every": 40, "checkpoint_every": 0, "best_metric": "iou"},
    )
    report = run_training(chosen, data_root=root, output=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    trained = [line["loss"] for line in lines if line["event"] == "train"]
    assert trained[-1] < 0.5 * trained[0]
    assert report.best_value is not None
    assert report.best_value > 0.8
    assert report.metrics["pixel_auc"] > 0.95
    assert report.metrics["ap"] > 0.95


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_a_resumed_run_is_the_uninterrupted_one(root: Path, tmp_path: Path, precision: str) -> None:
    options: dict[str, Any] = {
        "dolos": {"reals": 0.25, "flip": True, "jpeg": 0.5, "rescale": 0.3, "crop": 0.75},
        "optim": {"ema_decay": 0.9},
        "schedule": {"kind": "constant"},
        "run": {"precision": precision},
    }
    half = faces.recipe(**options | {"schedule": {"kind": "constant", "total_samples": 16}})
    full = faces.recipe(**options)
    run_training(half, data_root=root, output=tmp_path / "a")
    resumed = run_training(full, data_root=root, output=tmp_path / "a")
    straight = run_training(full, data_root=root, output=tmp_path / "b")
    assert resumed.samples == straight.samples == 32
    assert_same_checkpoint(resumed.checkpoint, straight.checkpoint)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "setup", "numbers"),
    [
        ("patches", "A", {"loss", "map", "iou", "ap", "false_alarm"}),
        ("patches", "B", {"loss", "map", "iou", "pixel_auc", "ap", "false_alarm"}),
        ("attention", "B", {"loss", "map", "label", "iou", "pixel_auc", "ap", "false_alarm"}),
        ("attention", "C", {"loss", "map", "iou", "pixel_auc", "ap", "false_alarm"}),
        ("gradcam", "B", {"loss", "label", "ap"}),
        ("gradcam", "C", {"loss", "map", "iou", "pixel_auc", "ap", "false_alarm"}),
    ],
)
def test_every_method_trains_in_its_set_ups(
    root: Path, tmp_path: Path, method: str, setup: str, numbers: set[str]
) -> None:
    chosen = faces.recipe(method, setup, schedule={"total_samples": 8})
    report = run_training(chosen, data_root=root, output=tmp_path)
    assert report.finished
    assert {name for name in report.metrics if "/" not in name} == numbers


# --------------------------------------------------------------------------- recipes


def test_the_shipped_recipes_make_their_task() -> None:
    names = [name for name in recipe_names() if name.startswith("dolos-")]
    expected = {
        f"dolos-{method}-{setup}"
        for method in ("patches", "attention", "gradcam")
        for setup in ("weak-a", "weak-b", "full-c")
    }
    assert set(names) == expected
    for name in names:
        recipe = load_recipe(name)
        made = make_task(recipe)
        assert isinstance(made, DolosTask)
        assert name == f"dolos-{made.method}-{'weak' if made.weak else 'full'}-" + (
            recipe.dolos.setup.lower()
        )
        assert made.geometry().grid(made.geometry().size) >= 7


def test_tables_of_another_task_are_refused() -> None:
    with pytest.raises(ConfigError, match="the dolos table is for the task dolos; write task ="):
        load_recipe("smoke", ["dolos.flip=true"])
    with pytest.raises(ConfigError, match=r"the loss table is for the task focal; .* \[dolos\]"):
        load_recipe("dolos-patches-full-c", ["loss.bce_weight=0.5"])
    with pytest.raises(ConfigError, match="'evidence_auc' is not a validation number; known: loss"):
        load_recipe("dolos-patches-full-c", ["run.best_metric=evidence_auc"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("reals=1", r"dolos.reals must be in \[0, 1\), got 1.0"),
        ("crop=0.0", r"dolos.crop must be in \(0, 1\], got 0.0"),
        ("jpeg=2", r"dolos.jpeg must be in \[0, 1\], got 2.0"),
        ("jpeg_quality=[90, 40]", "dolos.jpeg_quality must be in 1 to 100, rising"),
        ("blur_sigma=[0.0, 1.0]", "dolos.blur_sigma must be above 0, rising"),
        ("generators=[]", "dolos.generators must be at least one name"),
        ("generators=all", "dolos.generators must be a list, got 'all'"),
        ("generators=[1]", r"dolos.generators\[0\] must be a string, got 1"),
        ("limit=-1", "dolos.limit must be at least 0"),
    ],
)
def test_settings_that_cannot_be(change: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe("dolos-patches-full-c", [f"dolos.{change}"])
