"""Contrastive losses against the official code (focal_misc), an independent evaluation of the
journal formulas (scl_formula_ref), and plain loops."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reference import recipe
from tamperscope.errors import ConfigError
from tamperscope.losses.contrastive import info_nce, info_nce_pp, soft_contrastive

ARRAYS = {k: torch.from_numpy(v) for k, v in np.load(recipe.FOLDER / "focal_misc.npz").items()}
NUMBERS = json.loads((recipe.FOLDER / "focal_misc.json").read_text())
SCL = {k: torch.from_numpy(v) for k, v in np.load(recipe.FOLDER / "scl_formula_ref.npz").items()}
SCL_NUMBERS = json.loads((recipe.FOLDER / "scl_formula_ref.json").read_text())

OFFICIAL_METRIC = {"cosine": "cosine", "euclidean": "l2"}


def picture(forged: int, pristine: int, channels: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    """One picture (1, C, 1, n) in float64 with its mask; forged pixels come first."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(1, channels, 1, forged + pristine, generator=generator).double()
    mask = torch.zeros(1, 1, forged + pristine, dtype=torch.long)
    mask[..., :forged] = 1
    return features, mask


def looped(rows: Tensor, others: Tensor, variant: str, t: float = 0.1) -> float:
    """Mean loss of queries by the formula, one exponential at a time."""
    rows, others = F.normalize(rows, dim=1), F.normalize(others, dim=1)
    losses = []
    for i, q in enumerate(rows):
        own = [float(q @ k) for j, k in enumerate(rows) if j != i]
        bad = sum(math.exp(float(q @ n) / t) for n in others)
        if variant == "released":
            good = math.exp(sum(own) / len(own) / t)
            losses.append(-math.log(good / (good + bad)))
        else:
            good = sum(math.exp(s / t) for s in own) / len(own)
            losses.append(-math.log(good / bad))
    return sum(losses) / len(losses)


class TestOfficialNumbers:
    @pytest.mark.parametrize("case", ["a", "b"])
    @pytest.mark.parametrize("metric", ["cosine", "euclidean"])
    @pytest.mark.parametrize("temperature", [0.1, 0.5])
    def test_values(self, case: str, metric: Any, temperature: float) -> None:
        q, k = ARRAYS[f"nce_{case}_q"], ARRAYS[f"nce_{case}_k"]
        name = f"nce_{case}_{OFFICIAL_METRIC[metric]}"
        for reduction in ("mean", "sum"):
            loss = info_nce(q, k, metric=metric, temperature=temperature, reduction=reduction)
            expected = NUMBERS[f"{name}_{reduction}_{temperature}"]
            assert loss.item() == pytest.approx(expected, rel=2e-5)
        each = info_nce(q, k, metric=metric, temperature=temperature, reduction="none")
        expected_each = ARRAYS[f"{name}_none_{temperature}"]
        # The official distance of a row to itself is not exactly 0 in float32.
        torch.testing.assert_close(each, expected_each, rtol=1e-4, atol=1e-3)

    @pytest.mark.parametrize("case", ["a", "b"])
    def test_gradients(self, case: str) -> None:
        q = ARRAYS[f"nce_{case}_q"].clone().requires_grad_()
        k = ARRAYS[f"nce_{case}_k"].clone().requires_grad_()
        info_nce(q, k).backward()
        torch.testing.assert_close(q.grad, ARRAYS[f"nce_{case}_grad_q"], rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(k.grad, ARRAYS[f"nce_{case}_grad_k"], rtol=1e-4, atol=1e-7)

    def test_negatives_of_their_own_for_each_query(self) -> None:
        loss = info_nce(ARRAYS["nce_p_q"], ARRAYS["nce_p_k"], negative_mode="paired")
        assert loss.item() == pytest.approx(NUMBERS["nce_p_paired_mean"], rel=1e-5)

    @pytest.mark.parametrize("case", ["a", "b"])
    def test_other_partners_as_negatives(self, case: str) -> None:
        q = ARRAYS[f"nce_{case}_q"]
        loss = info_nce(q, positive=q + 0.1)
        assert loss.item() == pytest.approx(NUMBERS[f"nce_{case}_implicit_mean"], rel=1e-4)

    def test_one_training_step(self) -> None:
        weight = ARRAYS["tiny_w"].clone().requires_grad_()
        bias = ARRAYS["tiny_b"].clone().requires_grad_()
        optimizer = torch.optim.Adam([weight, bias], lr=1e-4)
        features = F.conv2d(ARRAYS["proc_x"], weight, bias, stride=4)
        loss = info_nce_pp(features, ARRAYS["proc_mask"][:, 0])
        loss.backward()
        optimizer.step()
        assert loss.item() == pytest.approx(NUMBERS["proc_train_loss"], rel=1e-6)
        torch.testing.assert_close(weight, ARRAYS["tiny_w_after_step"], rtol=0, atol=1e-6)
        torch.testing.assert_close(bias, ARRAYS["tiny_b_after_step"], rtol=0, atol=1e-6)


class TestInfoNcePlusPlus:
    @pytest.mark.parametrize("variant", ["released", "paper"])
    def test_is_the_formula(self, variant: Any) -> None:
        features, mask = picture(4, 7)
        rows = features[0, :, 0].T
        loss = info_nce_pp(features, mask, variant=variant)
        assert loss.item() == pytest.approx(looped(rows[4:], rows[:4], variant), rel=1e-12)

    @pytest.mark.parametrize("variant", ["released", "paper"])
    @pytest.mark.parametrize("metric", ["cosine", "euclidean"])
    def test_symmetric_is_the_mean_of_both_directions(self, variant: Any, metric: Any) -> None:
        features, mask = picture(4, 7)
        options = {"variant": variant, "metric": metric}
        both = info_nce_pp(features, mask, symmetric=True, **options)
        one = info_nce_pp(features, mask, **options)
        other = info_nce_pp(features, 1 - mask, **options)
        assert both.item() == pytest.approx((one.item() + other.item()) / 2, rel=1e-12)

    def test_mean_over_pictures_not_over_pixels(self) -> None:
        features = torch.randn(2, 3, 1, 12, generator=torch.Generator().manual_seed(1))
        mask = torch.zeros(2, 1, 12)
        mask[0, :, :2], mask[1, :, :9] = 1, 1
        alone = [info_nce_pp(features[i : i + 1], mask[i : i + 1]) for i in (0, 1)]
        torch.testing.assert_close(info_nce_pp(features, mask), (alone[0] + alone[1]) / 2)
        torch.testing.assert_close(
            info_nce_pp(features, mask, reduction="sum"), alone[0] + alone[1]
        )
        torch.testing.assert_close(
            info_nce_pp(features, mask, reduction="none"), torch.stack(alone)
        )

    def test_pictures_with_one_class_are_skipped(self) -> None:
        features, mask = picture(4, 7)
        triple = features.repeat(3, 1, 1, 1)
        masks = torch.cat([torch.zeros_like(mask), mask, torch.ones_like(mask)])
        alone = info_nce_pp(features, mask)
        torch.testing.assert_close(info_nce_pp(triple, masks), alone)
        each = info_nce_pp(triple, masks, reduction="none")
        torch.testing.assert_close(each, torch.stack([alone * 0, alone, alone * 0]))

    @pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
    def test_nothing_to_compare_is_zero_with_zero_gradients(self, reduction: Any) -> None:
        features = torch.randn(2, 3, 4, 4, requires_grad=True)
        loss = info_nce_pp(features, torch.zeros(2, 4, 4), reduction=reduction)
        loss.sum().backward()
        assert loss.tolist() == ([0.0, 0.0] if reduction == "none" else 0.0)
        assert features.grad is not None
        assert features.grad.abs().max() == 0

    def test_a_single_query_has_no_positive(self) -> None:
        features, mask = picture(6, 1)
        assert info_nce_pp(features, mask).item() == 0
        other_way = info_nce_pp(features, 1 - mask)
        both = info_nce_pp(features, mask, symmetric=True)
        assert both.item() == pytest.approx(other_way.item())

    def test_other_mask_values_take_no_part(self) -> None:
        features, mask = picture(4, 7)
        extra = torch.cat([features, torch.randn(1, 5, 1, 3).double()], dim=3)
        marked = torch.cat([mask, torch.full((1, 1, 3), 255)], dim=2)
        torch.testing.assert_close(info_nce_pp(extra, marked), info_nce_pp(features, mask))

    @pytest.mark.parametrize("symmetric", [False, True])
    def test_scale_of_the_features_does_not_matter(self, symmetric: bool) -> None:
        features, mask = picture(5, 6)
        scaled = features * torch.rand(1, 1, 1, 11).double().add(0.1) * 50
        a, b = (info_nce_pp(f, mask, symmetric=symmetric) for f in (features, scaled))
        torch.testing.assert_close(a, b)

    def test_at_most_max_samples_rows_are_used(self) -> None:
        """Three forged rows, two of them drawn: one of three possible losses."""
        features, mask = picture(3, 2)
        rows = features[0, :, 0].T
        possible = [
            looped(rows[3:], rows[[i for i in range(3) if i != left_out]], "released")
            for left_out in range(3)
        ]
        seen = set()
        for seed in range(20):
            generator = torch.Generator().manual_seed(seed)
            loss = info_nce_pp(features, mask, max_samples=2, generator=generator).item()
            distance = [abs(loss - p) for p in possible]
            assert min(distance) < 1e-12
            seen.add(distance.index(min(distance)))
        assert seen == {0, 1, 2}

    def test_a_generator_makes_the_draws_repeatable(self) -> None:
        features, mask = picture(300, 500)
        draws = [
            info_nce_pp(
                features, mask, max_samples=50, generator=torch.Generator().manual_seed(seed)
            ).item()
            for seed in (0, 0, 1)
        ]
        assert draws[0] == draws[1] != draws[2]

    def test_half_precision_is_summed_in_single(self) -> None:
        generator = torch.Generator().manual_seed(0)
        features = torch.randn(2, 8, 6, 6, generator=generator).bfloat16().requires_grad_()
        mask = (torch.rand(2, 6, 6, generator=generator) > 0.5).long()
        with torch.autocast("cpu", torch.bfloat16):
            loss = info_nce_pp(features, mask, symmetric=True)
        loss.backward()
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, info_nce_pp(features.float(), mask, symmetric=True))
        assert features.grad is not None
        assert torch.isfinite(features.grad).all()

    def test_dead_pixels_get_no_gradient_and_break_nothing(self) -> None:
        features, mask = picture(4, 7)
        features[..., 5] = 0
        features.requires_grad_()
        for variant in ("released", "paper"):
            (gradient,) = torch.autograd.grad(
                info_nce_pp(features, mask, variant=variant),
                features,  # type: ignore[arg-type]
            )
            assert gradient[..., 5].abs().max() == 0
            assert 0 < gradient.abs().max() < 100

    @pytest.mark.parametrize("variant", ["released", "paper"])
    @pytest.mark.parametrize("metric", ["cosine", "euclidean"])
    def test_gradient_is_the_derivative(self, variant: Any, metric: Any) -> None:
        features, mask = picture(3, 4, channels=3)
        features.requires_grad_()
        assert torch.autograd.gradcheck(
            lambda f: info_nce_pp(f, mask, variant=variant, metric=metric, symmetric=True),
            (features,),
        )


class TestSoftContrastive:
    @pytest.mark.parametrize("case", ["sep", "weak"])
    @pytest.mark.parametrize("run", ["it1", "it3", "it100"])
    def test_independent_numbers(self, case: str, run: str) -> None:
        expected = SCL_NUMBERS[f"{case}_{run}"]
        features = SCL[f"{case}_F"].T.reshape(1, -1, 20, 20)
        loss = soft_contrastive(
            features, SCL[f"{case}_y"].reshape(1, 20, 20), iters=expected["iters_used"]
        )
        assert loss.item() == pytest.approx(expected["L_SCL"], rel=1e-10)

    def test_mean_over_pictures_that_hold_both_classes(self) -> None:
        features = torch.randn(3, 4, 5, 5, generator=torch.Generator().manual_seed(0))
        mask = torch.zeros(3, 5, 5)
        mask[0, :2], mask[2, 1:] = 1, 1
        each = soft_contrastive(features, mask, reduction="none")
        assert each[1] == 0
        torch.testing.assert_close(soft_contrastive(features, mask), (each[0] + each[2]) / 2)

    def test_two_forms_of_membership_agree_at_rho_two_only(self) -> None:
        features, mask = picture(5, 9)
        for rho, same in ((2.0, True), (1.5, False), (3.0, False)):
            paper, fcm = (
                soft_contrastive(features, mask, rho=rho, membership=form).item()
                for form in ("paper", "fcm")  # type: ignore[arg-type]
            )
            assert (abs(paper - fcm) < 1e-9) is same

    def test_detaching_changes_the_gradient_only(self) -> None:
        features, mask = picture(5, 9)
        features.requires_grad_()
        losses = [
            soft_contrastive(features, mask, iters=2, detach_weights=d) for d in (True, False)
        ]
        torch.testing.assert_close(losses[0], losses[1])
        gradients = [torch.autograd.grad(loss, features)[0] for loss in losses]
        assert (gradients[0] - gradients[1]).abs().max() > 1e-3
        assert torch.autograd.gradcheck(
            lambda f: soft_contrastive(f, mask, iters=2, detach_weights=False), (features,)
        )

    def test_identical_features_stay_finite(self) -> None:
        features = torch.ones(1, 4, 3, 3, requires_grad=True)
        mask = torch.zeros(1, 3, 3)
        mask[0, 0] = 1
        loss = soft_contrastive(features, mask, detach_weights=False)
        loss.backward()
        assert torch.isfinite(loss)
        assert features.grad is not None
        assert torch.isfinite(features.grad).all()


class TestErrors:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"temperature": 0.0}, "temperature must be greater than 0, got 0.0"),
            ({"max_samples": 1}, "max_samples must be at least 2 to form a positive pair, got 1"),
            ({"variant": "v1"}, "unknown variant 'v1'; use 'released' or 'paper'"),
            ({"metric": "l3"}, "unknown metric 'l3'; use 'cosine' or 'euclidean'"),
            ({"reduction": "max"}, "unknown reduction 'max'; use 'mean', 'sum' or 'none'"),
        ],
    )
    def test_options_of_info_nce_pp(self, options: dict[str, Any], message: str) -> None:
        features, mask = picture(3, 3)
        with pytest.raises(ConfigError, match=message):
            info_nce_pp(features, mask, **options)

    def test_mask_of_another_size(self) -> None:
        with pytest.raises(ConfigError, match=r"masks must be \(1, 4, 4\).*resize the masks"):
            info_nce_pp(torch.rand(1, 3, 4, 4), torch.zeros(1, 8, 8))
        with pytest.raises(ConfigError, match=r"features must be a float tensor \(B, C, h, w\)"):
            info_nce_pp(torch.zeros(1, 3, 4, 4, dtype=torch.long), torch.zeros(1, 4, 4))

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"rho": 1.0}, "rho must be greater than 1, got 1.0"),
            ({"iters": 0}, "iters must be at least 1, got 0"),
            ({"membership": "hard"}, "unknown membership 'hard'; use 'paper' or 'fcm'"),
        ],
    )
    def test_options_of_soft_contrastive(self, options: dict[str, Any], message: str) -> None:
        features, mask = picture(3, 3)
        with pytest.raises(ConfigError, match=message):
            soft_contrastive(features, mask, **options)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({}, "info_nce needs negatives or positive partners; got neither"),
            ({"negatives": torch.rand(2, 3), "positive": torch.rand(4, 3)}, "pass either positive"),
            ({"positive": torch.rand(3, 3)}, r"positive must have the shape of query \(4, 3\)"),
            ({"positive": torch.rand(4, 3), "metric": "euclidean"}, "only defined for metric='cos"),
            ({"negatives": torch.rand(2, 5)}, r"unpaired negatives must be \(m, 3\), got \(2, 5\)"),
            (
                {"negatives": torch.rand(2, 3), "negative_mode": "paired"},
                r"paired negatives must be \(4, m, 3\), got \(2, 3\)",
            ),
            ({"negatives": torch.rand(2, 3), "negative_mode": "x"}, "unknown negative_mode 'x'"),
        ],
    )
    def test_arguments_of_info_nce(self, arguments: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            info_nce(torch.rand(4, 3), **arguments)

    def test_queries_of_info_nce(self) -> None:
        with pytest.raises(ConfigError, match="needs at least 2 queries"):
            info_nce(torch.rand(1, 3), torch.rand(4, 3))
        with pytest.raises(ConfigError, match=r"query must be \(n, C\), got \(3,\)"):
            info_nce(torch.rand(3), torch.rand(4, 3))
