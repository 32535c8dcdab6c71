import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from safetensors.torch import load_file

from tamperscope.errors import ConfigError, TrainingError, UnknownNameError
from tamperscope.train import __main__ as entry
from tamperscope.train.checkpoint import checkpoints, load_checkpoint
from tamperscope.train.config import ScheduleConfig, load_recipe, recipe_names
from tamperscope.train.loop import run_training
from tamperscope.train.setup import learning_rate, named_builder

SCRIPT = Path(__file__).with_name("standin.py")


def _lines(run: Path, event: str) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == event]


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        return {k: v for key, x in value.items() for k, v in _flat(x, f"{name}/{key}").items()}
    if isinstance(value, list):
        return {k: v for i, x in enumerate(value) for k, v in _flat(x, f"{name}/{i}").items()}
    return {name: value}


def assert_same_checkpoint(one: Path, other: Path) -> None:
    """Weights, averages, optimizer moments and counters equal bit for bit."""
    first, second = load_checkpoint(one), load_checkpoint(other)
    for a, b in (
        (first.network, second.network),
        (first.ema or {}, second.ema or {}),
        (_flat(first.state), _flat(second.state)),
    ):
        assert a.keys() == b.keys()
        for key, value in a.items():
            same = torch.equal(value, b[key]) if torch.is_tensor(value) else value == b[key]
            assert same, f"{key} differs: {value} and {b[key]}"


def _run_python(
    *arguments: object, extra: Mapping[str, str] = MappingProxyType({})
) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""} | dict(extra)
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=200,
    )


# --------------------------------------------------------------------------- learning


def test_training_learns_and_leaves_a_complete_run_folder(
    tmp_path: Path, standin: ModuleType
) -> None:
    report = standin.train(standin.recipe(schedule={"total_samples": 240}), tmp_path)
    losses = [line["loss"] for line in _lines(tmp_path, "train")]
    assert losses[-1] < 0.7 * losses[0]
    assert report.finished
    assert (report.samples, report.steps) == (240, 60)
    validations = _lines(tmp_path, "validation")
    assert [line["samples"] for line in validations] == list(range(24, 241, 24))
    best = max(validations, key=lambda line: line["separability"])
    assert report.best_samples == best["samples"]
    assert report.best_value == pytest.approx(best["separability"], abs=1e-5)
    assert report.metrics["separability"] > 0.9
    assert [f.name for f in checkpoints(tmp_path)] == ["samples-000000000240"]
    assert report.checkpoint == checkpoints(tmp_path)[0]
    assert json.loads((tmp_path / "recipe.json").read_text())["optim"]["lr"] == 0.01
    assert json.loads((tmp_path / "environment.json").read_text())["torch"] == torch.__version__


def test_the_samples_are_taken_in_order_once(tmp_path: Path, standin: ModuleType) -> None:
    source = standin.Squares()
    standin.train(standin.recipe(schedule={"total_samples": 10}), tmp_path, train_source=source)
    assert source.seen == list(range(12))


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_both_layouts_and_precisions_train(
    tmp_path: Path, standin: ModuleType, precision: str
) -> None:
    for layout in (True, False):
        report = standin.train(
            standin.recipe(model={"channels_last": layout}),
            tmp_path / str(layout),
            overrides=[f"run.precision={precision}"],
        )
        assert report.metrics["separability"] > 0.6
        weights = load_file(report.checkpoint / "network.safetensors")
        assert weights["body.0.weight"].dtype == torch.float32


def test_pieces_add_up_to_the_big_batch(tmp_path: Path, standin: ModuleType) -> None:
    weights = []
    for pieces in (1, 4):
        chosen = standin.recipe(
            optim={"batch_size": 8, "accumulate": pieces, "eps": 1e-3},
            loss={"balance": "picture"},
        )
        report = standin.train(
            chosen,
            tmp_path / str(pieces),
            network=lambda: standin.TinyNet(noisy=False),
            train_source=standin.Squares(all_forged=True),
        )
        weights.append(load_file(report.checkpoint / "network.safetensors"))
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-4, atol=1e-5)


def test_only_matrices_and_kernels_decay(tmp_path: Path, standin: ModuleType) -> None:
    chosen = standin.recipe(optim={"weight_decay": 0.3})
    state = load_checkpoint(standin.train(chosen, tmp_path).checkpoint).state
    decaying, free = state["optimizer"]["param_groups"]
    assert (decaying["weight_decay"], free["weight_decay"]) == (0.3, 0.0)
    network = standin.TinyNet()
    assert len(decaying["params"]) == sum(p.ndim > 1 for p in network.parameters())
    assert len(free["params"]) == sum(p.ndim <= 1 for p in network.parameters())


def test_a_network_without_evidence_trains_on_features_alone(
    tmp_path: Path, standin: ModuleType
) -> None:
    report = standin.train(
        standin.recipe(loss={"bce_weight": 0.0}),
        tmp_path,
        network=lambda: standin.TinyNet(evidence=False),
    )
    assert "evidence_auc" not in report.metrics
    assert report.metrics["separability"] > 0.5


def test_batch_norm_freezes_after_the_first_validation_when_asked(
    tmp_path: Path, standin: ModuleType
) -> None:
    counts = {}
    for freeze in (True, False):
        chosen = standin.recipe(model={"freeze_bn_after_first_val": freeze})
        report = standin.train(chosen, tmp_path / str(freeze))
        weights = load_file(report.checkpoint / "network.safetensors")
        counts[freeze] = int(weights["body.1.num_batches_tracked"])
    assert counts == {True: 6, False: 12}


def test_the_best_picture_term_is_the_smallest(tmp_path: Path, standin: ModuleType) -> None:
    chosen = standin.recipe(
        loss={"image_weight": 0.5},
        schedule={"total_samples": 32},
        run={"validate_every": 8, "best_metric": "image"},
    )
    report = standin.train(chosen, tmp_path)
    found = [line["image"] for line in _lines(tmp_path, "validation")]
    assert len(set(found)) == 4
    assert report.best_value == pytest.approx(min(found), abs=1e-5)


# --------------------------------------------------------------------------- schedules


def test_warm_up_then_cosine() -> None:
    schedule = ScheduleConfig(total_samples=100, warmup_samples=20, final_scale=0.1)
    rates = [learning_rate(schedule, 1.0, s, 10) for s in (0, 10, 20, 60, 100, 140)]
    assert rates == pytest.approx([0.5, 1.0, 1.0, 0.55, 0.1, 0.1])


def test_constant_stays() -> None:
    schedule = ScheduleConfig(kind="constant", total_samples=100)
    assert [learning_rate(schedule, 0.3, s, 10) for s in (0, 50, 90)] == [0.3, 0.3, 0.3]


def test_plateau_cuts_after_patience_and_stops_at_the_least(
    tmp_path: Path, standin: ModuleType
) -> None:
    # A frozen score: features that never change cannot get better after the first validation.
    chosen = standin.recipe(
        schedule={"kind": "plateau", "patience": 0, "factor": 0.1, "min_lr": 2e-13},
        optim={"lr": 1e-10, "ema_decay": 0.0, "weight_decay": 0.0},
        run={"validate_every": 8, "log_every": 4, "best_metric": "evidence_f1/square"},
    )
    standin.train(chosen, tmp_path, network=lambda: standin.TinyNet(noisy=False))
    rates = {line["samples"]: line["lr"] for line in _lines(tmp_path, "train")}
    got = [rates[s] for s in (4, 8, 12, 16, 20, 24, 28, 32, 36)]
    assert got == pytest.approx([5e-11, 1e-10, 1e-10, 1e-10, 1e-11, 1e-11, 1e-12, 1e-12, 2e-13])


# --------------------------------------------------------------------------- stopping and resuming


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_killed_run_resumes_to_the_same_bits(
    tmp_path: Path, standin: ModuleType, workers: int
) -> None:
    killed = _run_python(SCRIPT, tmp_path / "killed", workers, 7)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [f.name for f in checkpoints(tmp_path / "killed")] == ["samples-000000000016"]
    chosen = standin.recipe(data={"num_workers": workers, "val_samples": 8})
    resumed = standin.train(chosen, tmp_path / "killed")
    straight = standin.train(chosen, tmp_path / "straight")
    assert resumed.steps == straight.steps == 12
    assert_same_checkpoint(resumed.checkpoint, straight.checkpoint)
    one, other = (_lines(tmp_path / name, "validation") for name in ("killed", "straight"))
    assert one == other
    best = [load_file(tmp_path / name / "best.safetensors") for name in ("killed", "straight")]
    assert all(torch.equal(best[0][k], best[1][k]) for k in best[1])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_step_saves_and_leaves_the_handlers_as_they_were(
    tmp_path: Path, standin: ModuleType, number: signal.Signals
) -> None:
    def raise_signal(step: int) -> None:
        if step == 4:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    stopped = standin.train(
        standin.recipe(), tmp_path / "a", network=lambda: standin.TinyNet(at_step=raise_signal)
    )
    assert signal.getsignal(number) is before
    assert not stopped.finished
    assert stopped.samples == 20
    resumed = standin.train(standin.recipe(), tmp_path / "a")
    straight = standin.train(standin.recipe(), tmp_path / "b")
    assert resumed.finished
    assert_same_checkpoint(resumed.checkpoint, straight.checkpoint)


def test_a_finished_run_can_be_made_longer(tmp_path: Path, standin: ModuleType) -> None:
    chosen = standin.recipe(schedule={"kind": "constant", "total_samples": 24})
    standin.train(chosen, tmp_path / "a")
    longer = standin.recipe(schedule={"kind": "constant", "total_samples": 48})
    report = standin.train(longer, tmp_path / "a")
    assert_same_checkpoint(report.checkpoint, standin.train(longer, tmp_path / "b").checkpoint)
    again = standin.train(longer, tmp_path / "a")
    assert (again.steps, again.finished) == (12, True)


def test_another_recipe_needs_another_folder_or_an_explicit_start(
    tmp_path: Path, standin: ModuleType
) -> None:
    first = standin.train(standin.recipe(), tmp_path / "a")
    changed = standin.recipe(optim={"lr": 0.02}, schedule={"total_samples": 64})
    with pytest.raises(ConfigError, match=r"trained with another recipe \(optim\.lr changed\)"):
        standin.train(changed, tmp_path / "a")
    report = standin.train(changed, tmp_path / "b", resume=first.checkpoint)
    assert (report.samples, report.steps) == (64, 16)
    assert (tmp_path / "b" / "best.safetensors").exists()
    assert standin.train(changed, tmp_path / "c", resume=tmp_path / "a").samples == 64
    with pytest.raises(ConfigError, match=r"already holds a run that ends with samples-0+64;"):
        standin.train(changed, tmp_path / "b", resume=first.checkpoint)


def test_a_resumed_optimizer_has_the_settings_of_the_recipe(
    tmp_path: Path, standin: ModuleType
) -> None:
    first = standin.train(standin.recipe(), tmp_path / "a")
    chosen = {"betas": [0.5, 0.75], "eps": 1e-3, "weight_decay": 0.25}
    changed = standin.recipe(optim=chosen, schedule={"total_samples": 52})
    report = standin.train(changed, tmp_path / "b", resume=first.checkpoint)
    saved = load_checkpoint(report.checkpoint).state["optimizer"]
    for group, decay in zip(saved["param_groups"], (0.25, 0.0), strict=True):
        assert tuple(group["betas"]) == (0.5, 0.75)
        assert (group["eps"], group["weight_decay"]) == (1e-3, decay)
    assert {float(moments["step"]) for moments in saved["state"].values()} == {13.0}


def test_a_resumed_run_thaws_what_its_recipe_does_not_freeze(
    tmp_path: Path, standin: ModuleType
) -> None:
    frozen = standin.recipe(model={"freeze_bn_after_first_val": True})
    first = standin.train(frozen, tmp_path / "frozen")
    counts = {}
    for freeze in (True, False):
        chosen = standin.recipe(
            model={"freeze_bn_after_first_val": freeze}, schedule={"total_samples": 64}
        )
        report = standin.train(chosen, tmp_path / str(freeze), resume=first.checkpoint)
        weights = load_file(report.checkpoint / "network.safetensors")
        counts[freeze] = int(weights["body.1.num_batches_tracked"])
    assert counts == {True: 6, False: 10}


def test_never_refuses_a_used_folder(tmp_path: Path, standin: ModuleType) -> None:
    standin.train(standin.recipe(), tmp_path, resume="never")
    with pytest.raises(ConfigError, match="already holds a run; resume it, or name another output"):
        standin.train(standin.recipe(), tmp_path, resume="never")


def test_init_from_starts_with_the_given_weights(tmp_path: Path, standin: ModuleType) -> None:
    first = standin.train(standin.recipe(), tmp_path / "a")
    path = first.checkpoint / "network.safetensors"
    chosen = standin.recipe(model={"init_from": str(path)}, optim={"lr": 1e-12})
    report = standin.train(chosen, tmp_path / "b")
    expected, got = load_file(path), load_file(report.checkpoint / "network.safetensors")
    torch.testing.assert_close(got["body.0.weight"], expected["body.0.weight"])


# --------------------------------------------------------------------------- errors


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(
    tmp_path: Path, standin: ModuleType
) -> None:
    class Exploding(standin.TinyNet):  # type: ignore[name-defined,misc]
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            out: dict[str, torch.Tensor] = super().forward(x)
            if self.training and self.steps > 5:
                out = {name: value * float("nan") for name, value in out.items()}
            return out

    message = r"the loss became nan at step 5 \(20 samples\): lower optim\.lr"
    with pytest.raises(TrainingError, match=message):
        standin.train(standin.recipe(), tmp_path, network=lambda: Exploding(at_step=lambda _: None))
    saved = load_checkpoint(checkpoints(tmp_path)[-1])
    assert saved.state["samples"] == 16
    assert all(value.isfinite().all() for value in saved.network.values())


def test_a_gradient_that_is_not_finite_stops_the_run(tmp_path: Path, standin: ModuleType) -> None:
    class Cliff(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
            return grads[0] * float("inf")

    class Steep(standin.TinyNet):  # type: ignore[name-defined,misc]
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            out: dict[str, torch.Tensor] = super().forward(x)
            return {name: Cliff.apply(value) for name, value in out.items()}

    with pytest.raises(TrainingError, match=r"the gradient became (nan|inf) at step 0"):
        standin.train(standin.recipe(), tmp_path, network=Steep)


def test_settings_a_cpu_cannot_have(
    tmp_path: Path, standin: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"run\.precision = 'fp16' needs a GPU"):
        standin.train(standin.recipe(), tmp_path, overrides=["run.precision=fp16"])
    with pytest.raises(ConfigError, match=r"run\.device = 'cuda' but torch finds no GPU"):
        standin.train(standin.recipe(), tmp_path, overrides=["run.device=cuda"])


def test_names_that_do_not_exist(tmp_path: Path, standin: ModuleType) -> None:
    chosen = standin.recipe(model={"network": "fokal"})
    with pytest.raises(UnknownNameError, match=r"unknown network 'fokal'; did you mean 'focal'\?"):
        run_training(chosen, data_root="unused", output=tmp_path)
    with pytest.raises(ConfigError, match=r"'evidence_auc/cut' is defined by no picture"):
        standin.train(standin.recipe(), tmp_path, overrides=["run.best_metric=evidence_auc/cut"])


def test_the_module_entry_prints_one_line_and_exits_with_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["smoke", "--data", str(tmp_path), "-o", str(tmp_path / "run")]
    assert entry.main([*arguments, "--set", "optim.lrr=1"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: unknown key 'optim.lrr'")
    assert error.count("\n") == 1


def _photos(folder: Path, *, seed: int) -> Path:
    """A folder of twelve coarse JPEG photos, 160 x 120."""
    draw = np.random.default_rng(seed)
    folder.mkdir()
    for i in range(12):
        coarse = draw.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        PIL.Image.fromarray(coarse).resize((160, 120)).save(folder / f"{i}.jpg", quality=90)
    return folder


def test_the_module_entry_trains_the_real_network_on_real_forgeries(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = _photos(tmp_path / "photos", seed=0)
    changes = ["data.num_workers=0", "data.synthesis.size=[64, 64]", "data.val_samples=4"]
    changes += ["schedule.total_samples=8", "run.device=cpu", "run.best_metric=loss"]
    # Pictures of two sizes, batch by batch.
    changes += ["data.synthesis.small=0.5", "data.synthesis.small_size=[32, 64]"]
    changes += ["data.synthesis.same_size=4", "optim.batch_size=4"]
    run = tmp_path / "run"
    settings = [word for change in changes for word in ("--set", change)]
    assert entry.main(["smoke", "--data", str(photos), "-o", str(run), *settings]) == 0
    assert load_checkpoint(checkpoints(run)[-1]).state["samples"] == 8
    unlike = [*settings, "--set", "data.synthesis.same_size=6"]
    assert entry.main(["smoke", "--data", str(photos), "-o", str(tmp_path / "no"), *unlike]) == 1
    assert "same_size = 6 does not divide into batches of 4" in capsys.readouterr().err


FOCAL_RECIPES = [name for name in recipe_names() if load_recipe(name).task == "focal"]


@pytest.mark.parametrize("name", FOCAL_RECIPES)
def test_every_recipe_of_focal_trains_from_photos(name: str, tmp_path: Path) -> None:
    """Two steps on small pictures: those that are meant for a GPU are run nowhere else."""
    photos = _photos(tmp_path / "photos", seed=1)
    small = ["data.synthesis.size=[64, 64]", "data.synthesis.small_size=[32, 64]"]
    small += ["data.synthesis.folders=[]", "data.synthesis.same_size=2", "optim.batch_size=2"]
    small += ["data.num_workers=0", "data.val_samples=2", "schedule.total_samples=4"]
    small += ["schedule.warmup_samples=0", "run.device=cpu", "run.best_metric=loss"]
    run = tmp_path / "run"
    report = run_training(
        load_recipe(name), data_root=photos, output=run, overrides=[*small, "run.threads=1"]
    )
    assert report.finished
    assert np.isfinite(report.metrics["loss"])
    trained = load_checkpoint(checkpoints(run)[-1])
    assert trained.state["samples"] == 4
    recipe = load_recipe(name)
    torch.manual_seed(recipe.run.seed)
    began = named_builder("focal")(recipe.model.config).state_dict()
    assert trained.network.keys() == began.keys()
    learned = [key for key in began if key.endswith("weight")]
    assert any(not torch.equal(trained.network[key], began[key]) for key in learned)


# --------------------------------------------------------------------------- several processes


EXACT = (
    "loss.balance=picture",
    "optim.eps=1e-3",
    "model.config.noisy=false",
    "data.synthesis.all_forged=true",
)
"""What makes the mean over the halves of a batch the mean over the batch: losses are means over
pictures that all count alike, no batch normalisation, no dropout."""


def _torchrun(script: Path, *arguments: object) -> list[subprocess.CompletedProcess[str]]:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    return [_run_python(*launcher, script, *arguments)]


def _accelerate_launch(script: Path, *arguments: object) -> list[subprocess.CompletedProcess[str]]:
    """Two processes of ``accelerate launch``, which on CPUs leaves it to MPI to start one for each
    rank and to say so in the environment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    options = ["--cpu", "--num_processes=2", "--num_machines=1", "--dynamo_backend=no"]
    options += ["--mixed_precision=no", "--main_process_ip=127.0.0.1"]
    options += [f"--main_process_port={port}"]
    launcher = ["-m", "accelerate.commands.launch", *options, script, *arguments]
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}

    def run(rank: str) -> subprocess.CompletedProcess[str]:
        return _run_python(*launcher, extra=place | {"RANK": rank, "LOCAL_RANK": rank})

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(run, ("0", "1")))


def _loss_curve(run: Path) -> list[tuple[str, int, float]]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [(line["event"], line["samples"], line["loss"]) for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("launch", [_torchrun, _accelerate_launch])
def test_two_processes_learn_what_one_does_with_the_doubled_batch(
    launch: Callable[..., list[subprocess.CompletedProcess[str]]],
    tmp_path: Path,
    standin: ModuleType,
) -> None:
    two = launch(SCRIPT, tmp_path / "two", 0, 0, *EXACT)
    assert [done.returncode for done in two] == [0] * len(two), two[0].stderr
    assert "(2 process(es) x 1 piece(s) x 2)" in two[0].stderr
    one = _run_python(SCRIPT, tmp_path / "one", 0, 0, *EXACT)
    assert one.returncode == 0, one.stderr
    assert "(1 process(es) x 1 piece(s) x 4)" in one.stderr
    curve, doubled = _loss_curve(tmp_path / "two"), _loss_curve(tmp_path / "one")
    assert len(doubled) == 8
    assert max(loss for _, _, loss in doubled) > 1.5 * min(loss for _, _, loss in doubled)
    for (event, samples, loss), (same_event, same_samples, wanted) in zip(
        curve, doubled, strict=True
    ):
        assert (event, samples) == (same_event, same_samples)
        assert loss == pytest.approx(wanted, rel=1e-3)
    first, second = (load_checkpoint(checkpoints(tmp_path / n)[-1]) for n in ("one", "two"))
    assert first.state["samples"] == second.state["samples"] == 48
    for name, value in first.network.items():
        torch.testing.assert_close(second.network[name], value, rtol=1e-4, atol=1e-5)
    assert second.state["metrics"] == pytest.approx(first.state["metrics"], abs=1e-3)
