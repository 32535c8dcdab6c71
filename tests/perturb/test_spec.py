import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tamperscope import perturb
from tamperscope.errors import ConfigError, UnknownNameError
from tamperscope.perturb import GRID, GRIDS, IDENTITY, PERTURBATIONS, parse, parse_all
from tamperscope.perturb.networks import NETWORKS, Network, fit_box, standard_tables

H, W = 96, 128


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return perturb.add_noise(perturb.resize(coarse, (H, W)), 6.0, rng)


@pytest.fixture
def mask() -> NDArray[np.bool_]:
    found = np.zeros((H, W), np.bool_)
    found[30:70, 40:90] = True
    return found


@pytest.mark.parametrize("spec", GRID)
def test_the_grid_keeps_picture_and_mask_together(
    spec: str, picture: NDArray[np.uint8], mask: NDArray[np.bool_]
) -> None:
    found = parse(spec)
    out, moved = found.apply(picture, seed=5), found.move_mask(mask, seed=5)
    assert out.dtype == np.uint8
    assert out.shape == (*moved.shape, 3)
    assert found.name == spec
    assert np.array_equal(out, found.apply(picture, seed=5))
    assert (spec == "none") == (out.shape == picture.shape and np.array_equal(out, picture))
    if not found.moves:
        assert np.array_equal(moved, mask)


@pytest.mark.parametrize(
    "spec", [s for s in GRID if s.startswith(("resize", "crop", "screenshot", "wechat"))]
)
def test_the_mask_moves_as_the_picture_does(spec: str, mask: NDArray[np.bool_]) -> None:
    """A picture that shows its own mask still shows it afterwards."""
    shown = np.repeat(np.where(mask, np.uint8(255), np.uint8(0))[..., None], 3, axis=2)
    found = parse(spec)
    out, moved = found.apply(shown, seed=3), found.move_mask(mask, seed=3)
    # Resampling and compression blur the edge by a pixel or two.
    assert np.mean((out[..., 0] > 127) != moved) < 0.03


def test_a_crop_is_the_same_window_and_follows_the_seed() -> None:
    rows = np.arange(H * W).reshape(H, W)
    image = np.stack([rows % 256, rows // 256, rows * 0], axis=2).astype(np.uint8)
    crop = parse("crop:0.5")
    out = crop.apply(image, seed=1)
    assert out.shape == (H // 2, W // 2, 3)
    places = {crop.apply(image, seed=seed)[0, 0].tobytes() for seed in range(8)}
    assert len(places) > 4
    top, left = divmod(int(out[0, 0, 0]) + 256 * int(out[0, 0, 1]), W)
    one = np.zeros((H, W), np.bool_)
    one[top, left] = True
    assert crop.move_mask(one, seed=1)[0, 0]


def test_scaling_a_mask_takes_the_majority() -> None:
    mask = np.zeros((4, 4), np.bool_)
    mask[:2, :2] = [[True, True], [False, False]]  # one half: forged
    mask[2:, 2:] = [[True, False], [False, False]]  # one quarter: not
    assert parse("resize:0.5").move_mask(mask).tolist() == [[True, False], [False, False]]
    bigger = parse("resize:2").move_mask(mask)
    assert np.array_equal(bigger, mask.repeat(2, 0).repeat(2, 1))


def test_values_are_exact(picture: NDArray[np.uint8]) -> None:
    assert np.array_equal(parse("jpeg:70").apply(picture), perturb.jpeg(picture, 70))
    sharp = parse("jpeg:70,444").apply(picture)
    assert np.array_equal(sharp, perturb.jpeg(picture, 70, subsampling=0))
    twice = perturb.jpeg(perturb.jpeg(picture, 60), 90)
    assert np.array_equal(parse("double-jpeg:60,90").apply(picture), twice)
    shifted = perturb.jpeg(perturb.jpeg(picture, 60, offset=(3, 5)), 90)
    assert np.array_equal(parse("double-jpeg:60,90,3,5").apply(picture), shifted)
    chain = perturb.jpeg(perturb.resize(picture, (48, 64), "area"), 80)
    assert np.array_equal(parse("resize:0.5+jpeg:80").apply(picture), chain)


def test_noise_has_the_variance_and_blur_the_kernel() -> None:
    grey = np.full((300, 300, 3), 128, np.uint8)
    # Rounding to whole levels adds one twelfth.
    assert parse("noise:9").apply(grey, seed=2).var() == pytest.approx(9 + 1 / 12, rel=0.03)
    point = np.zeros((15, 15, 3), np.uint8)
    point[7, 7] = 255
    for size in (3, 5, 7):
        reached = np.flatnonzero(parse(f"blur:{size}").apply(point)[7, :, 0])
        assert (reached[0], reached[-1]) == (7 - size // 2, 7 + size // 2)


def test_steps_draw_apart() -> None:
    grey = np.full((64, 64, 3), 128, np.uint8)
    twice = parse("noise:9+noise:9").apply(grey, seed=4)
    assert twice.var() == pytest.approx(18, rel=0.1)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.name)
def test_networks_fit_their_box_and_use_their_tables(network: Network) -> None:
    assert network.size((H, W)) == (H, W)
    size = network.size((6000, 3000))
    assert size == (network.longest, network.longest // 2)
    kind = PERTURBATIONS[network.name]
    assert kind.model
    assert "model" in kind.summary
    assert kind.constants["luminance_table"][0] == standard_tables(network.luminance, 50)[0][0]


@pytest.mark.parametrize("quality", [30, 50, 75, 95])
def test_standard_tables_are_those_of_libjpeg(quality: int, picture: NDArray[np.uint8]) -> None:
    tables = [list(t) for t in standard_tables(quality, quality)]
    made = perturb.jpeg(picture, 10, tables=tables)
    assert np.array_equal(made, perturb.jpeg(picture, quality))


def test_networks_do_more_harm_in_their_order(picture: NDArray[np.uint8]) -> None:
    harm = [
        np.abs(parse(network.name).apply(picture).astype(int) - picture).mean()
        for network in NETWORKS
    ]
    assert harm == sorted(harm)
    assert harm[0] > 0


def test_fit_box_keeps_the_shape() -> None:
    assert fit_box((100, 200), (50, 50), enlarge=False) == (25, 50)
    assert fit_box((10, 20), (50, 50), enlarge=False) == (10, 20)
    assert fit_box((10, 20), (50, 50), enlarge=True) == (25, 50)
    assert fit_box((10000, 1), (50, 50), enlarge=False) == (50, 1)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("jepg:70", "unknown perturbation 'jepg'; did you mean 'jpeg'"),
        ("resize:0.5+", "unknown perturbation ''"),
        ("jpeg", r"'jpeg': quality is missing: write jpeg:quality,\[subsampling\]"),
        ("jpeg:x", "'jpeg:x': quality is 'x': give a whole number"),
        ("jpeg:0", "'jpeg:0': quality is 0: give 1 to 100"),
        ("noise:nan", "'noise:nan': variance is nan: give 0 to 10000"),
        ("blur:4", "'blur:4': size is 4: give an odd number"),
        ("jpeg:1,420,3", r"jpeg:quality,\[subsampling\] takes 2 values at most"),
        ("jpeg:70,411", "subsampling is '411': give 444 or 422 or 420"),
        ("facebook:3", "'facebook:3': facebook takes 0 values at most"),
        ("  ", "an empty perturbation: give one such as jpeg:70, or none"),
    ],
)
def test_wrong_specs_say_what_would_be_right(spec: str, message: str) -> None:
    with pytest.raises((ConfigError, UnknownNameError), match=message):
        parse(spec)


def test_names_are_canonical_and_grids_are_lists() -> None:
    assert parse(" Resize:0.50 + JPEG:080,420 ").name == "resize:0.5+jpeg:80"
    assert parse("none") == IDENTITY
    assert IDENTITY.name == "none"
    assert not IDENTITY.moves
    found = [one.name for one in parse_all(["none", "grid", "jpeg:70", "jpeg:71"])]
    assert found == [*GRID, "jpeg:71"]
    assert {"grid", "small-grid"} == set(GRIDS)
    used = {step.kind.name for spec in GRID for step in parse(spec).steps}
    assert used == set(PERTURBATIONS)


def test_axes_are_for_single_steps_with_defaults_elsewhere() -> None:
    assert parse("jpeg:70").axis == ("jpeg", "quality", 70)
    assert parse("jpeg:70,444").axis is None
    assert parse("jpeg:70+jpeg:80").axis is None
    assert parse("facebook").axis is None


def test_every_perturbation_says_what_it_does_to_the_truth() -> None:
    for kind in PERTURBATIONS.values():
        assert "truth mask" in kind.mask
        assert ("stays" in kind.mask) == (kind.move is None)
    described = parse("crop:0.5+whatsapp").describe()
    assert [s["name"] for s in described["steps"]] == ["crop", "whatsapp"]
    assert described["steps"][0]["values"] == {"share": 0.5}
    assert described["steps"][1]["model"] is True
    assert len(described["steps"][1]["luminance_table"]) == 64


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    spec=st.sampled_from(["resize:0.02", "crop:0.05", "lowres:0.1", "screenshot:16,16", "blur:99"]),
    seed=st.integers(0, 2**63),
)
def test_tiny_pictures_never_become_nothing(size: tuple[int, int], spec: str, seed: int) -> None:
    image = np.full((*size, 3), 7, np.uint8)
    found = parse(spec)
    out = found.apply(image, seed=seed)
    assert min(out.shape) >= 1
    assert found.move_mask(np.ones(size, np.bool_), seed=seed).all()
    assert found.move_mask(np.ones(size, np.bool_), seed=seed).shape == out.shape[:2]
