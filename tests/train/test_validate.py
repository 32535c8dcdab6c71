from contextlib import nullcontext
from types import ModuleType
from typing import Any

import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from tamperscope.train.batches import collate
from tamperscope.train.config import Recipe
from tamperscope.train.task_config import LossConfig
from tamperscope.train.tasks.forgery import ForgeryTask, auc, picture_numbers, summarize
from tamperscope.train.validate import validate

CPU = torch.device("cpu")


def _run(network: nn.Module, batches: Any) -> list[dict[str, float | str]]:
    return validate(
        network,
        batches,
        ForgeryTask(Recipe()),
        device=CPU,
        channels_last=False,
        autocast=nullcontext(),
    )


def test_auc_agrees_with_scikit_learn_including_ties() -> None:
    draw = torch.Generator().manual_seed(0)
    scores = torch.randint(0, 20, (300,), generator=draw).float() / 7
    labels = torch.rand(300, generator=draw) < 0.3
    assert auc(scores, labels) == pytest.approx(roc_auc_score(labels.numpy(), scores.numpy()))


def _numbers(evidence: Tensor, mask: Tensor) -> dict[str, float]:
    features = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    return picture_numbers({"features": features, "evidence": evidence}, mask, LossConfig())


def test_numbers_of_a_known_evidence_map() -> None:
    mask = torch.zeros(1, 32, 32, dtype=torch.uint8)
    mask[:, :16, :16] = 1
    evidence = torch.full((1, 1, 8, 8), -1.0)
    evidence[..., :4, :2] = 1.0
    evidence[..., :4, 4:5] = 2.0
    numbers = _numbers(evidence, mask)
    assert numbers["evidence_f1"] == pytest.approx(2 * 8 / (12 + 16))
    assert numbers["evidence_iou"] == pytest.approx(8 / 20)
    assert 0 < numbers["evidence_auc"] < 1
    assert "false_alarm" not in numbers


def test_an_authentic_picture_has_false_alarms_and_nothing_that_needs_a_forged_cell() -> None:
    evidence = torch.full((1, 1, 8, 8), -1.0)
    evidence[..., 0, :] = 1.0
    numbers = _numbers(evidence, torch.zeros(1, 32, 32, dtype=torch.uint8))
    assert numbers["false_alarm"] == pytest.approx(1 / 8)
    assert set(numbers) == {"bce", "false_alarm"}


def test_features_that_tell_the_classes_apart_have_separability_one() -> None:
    mask = torch.zeros(1, 32, 32, dtype=torch.uint8)
    mask[:, :16, :16] = 1
    grid = torch.nn.functional.avg_pool2d(mask.float()[:, None], 4)
    noise = 0.1 * torch.randn(1, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    features = torch.cat([grid, 1 - grid], 1) + noise
    loss = LossConfig(bce_weight=0.0)
    assert picture_numbers({"features": features}, mask, loss)["separability"] == 1.0


def test_records_do_not_depend_on_the_batches(standin: ModuleType) -> None:
    torch.manual_seed(0)
    network = standin.TinyNet()
    samples = [standin.Squares()[i] for i in range(6)]
    together = _run(network, [collate(samples)])
    means = summarize(together, LossConfig())
    alone = _run(network, [collate([s]) for s in samples])
    for one, other in zip(together, alone, strict=True):
        assert one.pop("kind") == other.pop("kind")
        assert one == pytest.approx(other, rel=1e-4)
    assert means["loss"] == pytest.approx(means["contrastive"] + means["bce"])
    assert means["false_alarm"] == means["false_alarm/pristine"]
    assert "false_alarm/square" not in means


def test_the_validation_loss_has_every_term_of_the_training_loss() -> None:
    records: list[dict[str, float | str]] = [
        {"kind": "square", "contrastive": 8.0, "bce": 1.0, "dice": 0.5, "image": 0.5},
        {"kind": "pristine", "bce": 3.0, "image": 1.5},
    ]
    weights = {"contrastive_weight": 0.5, "bce_weight": 2.0, "dice_weight": 4.0}
    plain = summarize(records, LossConfig(**weights))
    weighed = summarize(records, LossConfig(**weights, image_weight=0.25))
    assert plain["loss"] == pytest.approx(0.5 * 8 + 2 * 2 + 4 * 0.5)
    assert weighed == {**plain, "loss": pytest.approx(plain["loss"] + 0.25 * 1.0)}
    assert weighed["image"] == 1.0


def test_the_network_keeps_its_modes_even_after_an_error(standin: ModuleType) -> None:
    network = standin.TinyNet()
    network.train()
    network.body[1].eval()

    def broken() -> Any:
        yield collate([standin.Squares()[0]])
        raise RuntimeError("no more pictures")

    with pytest.raises(RuntimeError, match="no more pictures"):
        _run(network, broken())
    assert network.training
    assert network.body[0].training
    assert not network.body[1].training
