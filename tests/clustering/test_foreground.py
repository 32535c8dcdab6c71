"""Which clusters are forged: every rule, tie and degenerate case."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tamperscope.clustering.foreground import (
    ForegroundConfig,
    HalfRule,
    NoiseRule,
    PristineRule,
    cluster_centres,
    select_forged,
)
from tamperscope.errors import ClusteringError, ConfigError


def grid(text: str) -> np.ndarray:
    """Labels from rows of characters; a dot is noise."""
    rows = text.split()
    return np.array([[-1 if c == "." else int(c) for c in row] for row in rows])


def forged(labels: np.ndarray, config: dict[str, Any] | None = None, **maps: Any) -> str:
    """The mask as rows of # and -."""
    mask = select_forged(labels, ForegroundConfig(**(config or {})), **maps).mask
    return " ".join("".join("#" if m else "-" for m in row) for row in mask)


class TestPristine:
    def test_largest_is_pristine_all_others_are_forged(self) -> None:
        assert forged(grid("0011 1111 2111")) == "##-- ---- #---"

    def test_equally_large_the_border_decides(self) -> None:
        labels = grid("1111 1001 1001 0000")
        assert (labels == 0).sum() == (labels == 1).sum()
        assert select_forged(labels).pristine == (1,)

    def test_equal_in_everything_the_lower_label_is_pristine(self) -> None:
        assert forged(grid("22 11")) == "## --"

    @pytest.mark.parametrize(
        ("labels", "expected"),
        [("0001 0011", "---# --##"), ("0111 0011", "#--- ##--"), ("0011 0011", "--## --##")],
    )
    def test_released_rule_forges_the_minority_and_label_1_on_a_tie(
        self, labels: str, expected: str
    ) -> None:
        assert forged(grid(labels), {"pristine": "released"}) == expected

    def test_border(self) -> None:
        big_inside = np.zeros((10, 10), int)
        big_inside[0], big_inside[-1], big_inside[:, 0], big_inside[:, -1] = 3, 3, 3, 3
        chosen = select_forged(big_inside, ForegroundConfig(pristine=PristineRule.BORDER))
        assert (chosen.pristine, chosen.forged) == ((3,), (0,))
        assert select_forged(big_inside).pristine == (0,)

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ((-1.0, 2.0, 0.5), "-# #-"),
            ((-1.0, -2.0, 0.0), "-- --"),
            ((1.0, 2.0, 0.5), "## ##"),
        ],
    )
    def test_evidence(self, values: tuple[float, ...], expected: str) -> None:
        labels = grid("01 20")
        evidence = np.array(values)[labels]
        assert forged(labels, {"pristine": "evidence"}, evidence=evidence) == expected

    def test_evidence_is_a_mean_against_the_threshold(self) -> None:
        labels, evidence = grid("0011"), np.array([[0.1, 0.1, 0.3, 0.9]])
        config = {"pristine": "evidence", "evidence_threshold": 0.5}
        chosen = select_forged(labels, ForegroundConfig(**config), evidence=evidence)
        assert chosen.forged == (1,)
        assert chosen.trace["mean_evidence"] == pytest.approx({"0": 0.1, "1": 0.6})


class TestNoise:
    LABELS = grid("0001 00.1 00..")

    def test_a_forged_cluster_of_its_own(self) -> None:
        chosen = select_forged(self.LABELS)
        assert forged(self.LABELS) == "---# --## --##"
        assert (chosen.pristine, chosen.forged) == ((0,), (-1, 1))

    def test_pristine(self) -> None:
        assert forged(self.LABELS, {"noise": "pristine"}) == "---# ---# ----"

    def test_nearest_centre(self) -> None:
        features = np.zeros((3, 4, 2))
        features[self.LABELS == 0] = [0, 1]
        features[self.LABELS == 1] = [1, 0]
        features[1, 2], features[2, 2], features[2, 3] = [0.9, 0.3], [0.2, 0.9], [5, 1]
        expected = "---# --## ---#"
        assert forged(self.LABELS, {"noise": "nearest"}, features=features) == expected

    def test_noise_does_not_sway_the_choice_of_the_largest(self) -> None:
        labels = grid("0000 11.. ....")
        features = np.zeros((3, 4, 1))
        features[labels != 0] = 1
        chosen = select_forged(labels, ForegroundConfig(noise=NoiseRule.NEAREST), features=features)
        assert chosen.pristine == (0,)
        assert chosen.mask.sum() == 8

    @pytest.mark.parametrize(("level", "expected"), [(2.0, "-## ###"), (-2.0, "-#- ##-")])
    def test_evidence_judges_noise_too(self, level: float, expected: str) -> None:
        labels = grid("01. 11.")
        evidence = np.where(labels == 0, -1.0, np.where(labels == 1, 1.0, level))
        assert forged(labels, {"pristine": "evidence"}, evidence=evidence) == expected


class TestNothingToldApart:
    @pytest.mark.parametrize("rule", list(PristineRule))
    @pytest.mark.parametrize("noise", list(NoiseRule))
    @pytest.mark.parametrize(
        ("labels", "decision"),
        [
            ("... ...", "clean: no cluster"),
            ("000 000", "clean: one cluster"),
            ("1", "clean: one cluster"),
            ("0.. ...", "clean: one cluster"),
        ],
    )
    def test_is_clean(
        self, rule: PristineRule, noise: NoiseRule, labels: str, decision: str
    ) -> None:
        cells = grid(labels)
        chosen = select_forged(
            cells,
            ForegroundConfig(pristine=rule, noise=noise),
            features=np.ones((*cells.shape, 2)),
            evidence=np.ones(cells.shape),
        )
        assert not chosen.mask.any()
        assert chosen.trace["decision"] == decision
        assert (chosen.pristine, chosen.forged) == ((), ())


class TestMoreThanHalf:
    LABELS = grid("0012 0123")

    @pytest.mark.parametrize(
        ("rule", "expected"),
        [("keep", "--## -###"), ("swap", "##-- #---"), ("clean", "---- ----")],
    )
    def test_rules(self, rule: str, expected: str) -> None:
        chosen = select_forged(self.LABELS, ForegroundConfig(more_than_half=HalfRule(rule)))
        assert forged(self.LABELS, {"more_than_half": rule}) == expected
        assert ("more than half" in chosen.trace["decision"]) == (rule != "keep")

    def test_roles_are_swapped_with_the_mask(self) -> None:
        chosen = select_forged(self.LABELS, ForegroundConfig(more_than_half=HalfRule.SWAP))
        assert (chosen.pristine, chosen.forged) == ((1, 2, 3), (0,))

    def test_exactly_half_is_not_more(self) -> None:
        assert forged(grid("0011"), {"more_than_half": "clean"}) == "--##"


@given(
    labels=arrays(np.int64, array_shapes(min_dims=2, max_dims=2), elements=st.integers(-1, 3)),
    pristine=st.sampled_from([r for r in PristineRule if r is not PristineRule.RELEASED]),
    noise=st.sampled_from(list(NoiseRule)),
    half=st.sampled_from(list(HalfRule)),
    seed=st.integers(0, 5),
)
def test_mask_and_roles_always_agree(
    labels: np.ndarray, pristine: PristineRule, noise: NoiseRule, half: HalfRule, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    chosen = select_forged(
        labels,
        ForegroundConfig(pristine=pristine, noise=noise, more_than_half=half),
        features=rng.normal(size=(*labels.shape, 3)),
        evidence=rng.normal(size=labels.shape),
    )
    assert not set(chosen.pristine) & set(chosen.forged)
    for label in set(np.unique(labels)) - {-1}:
        values = np.unique(chosen.mask[labels == label])
        assert values.tolist() == [label in chosen.forged]
    if half is HalfRule.CLEAN:
        assert 2 * chosen.mask.sum() <= chosen.mask.size
    assert json.loads(json.dumps(chosen.trace)) == chosen.trace


def test_centres() -> None:
    features = np.array([[[1.0, 0], [3, 0]], [[0, 5], [9, 9]]], np.float32)
    centres = cluster_centres(features, np.array([[0, 0], [4, -1]]), (4, 0, -1))
    np.testing.assert_allclose(centres, [[0, 5], [2, 0], [9, 9]])
    assert cluster_centres(features, np.zeros((2, 2), int), ()).shape == (0, 2)
    with pytest.raises(ClusteringError, match="no pixel has label 7; pass labels that occur"):
        cluster_centres(features, np.zeros((2, 2), int), (7,))


def test_errors() -> None:
    with pytest.raises(ConfigError, match="unknown noise rule 'drop'; use one of 'forged-cluster'"):
        ForegroundConfig(noise="drop")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="evidence_threshold must be a finite number, got nan"):
        ForegroundConfig(evidence_threshold=float("nan"))
    with pytest.raises(ConfigError, match="'nearest' rule needs an array.*pass features="):
        select_forged(grid("01."), ForegroundConfig(noise=NoiseRule.NEAREST))
    evidence = ForegroundConfig(pristine=PristineRule.EVIDENCE)
    with pytest.raises(ConfigError, match="'evidence' rule needs an array.*pass evidence="):
        select_forged(grid("01"), evidence)
    with pytest.raises(ClusteringError, match=r"evidence must be finite and \(1, 2\) like labels"):
        select_forged(grid("01"), evidence, evidence=np.array([[np.nan, 0]]))
    nearest = ForegroundConfig(noise=NoiseRule.NEAREST)
    with pytest.raises(ClusteringError, match=r"features must be finite and \(1, 3, 'C'\)"):
        select_forged(grid("01."), nearest, features=np.zeros((3, 1, 2)))
    with pytest.raises(ClusteringError, match="knows labels 0 and 1 only, got 2; use 'largest'"):
        select_forged(grid("012"), ForegroundConfig(pristine=PristineRule.RELEASED))
    with pytest.raises(ClusteringError, match=r"labels must be -1 \(noise\) or higher, got -2"):
        select_forged(np.full((2, 2), -2))
    with pytest.raises(ClusteringError, match=r"non-empty integer array \(h, w\), got float64"):
        select_forged(np.zeros((2, 2)))  # type: ignore[arg-type]
