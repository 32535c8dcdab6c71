import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tamperscope.methods.focal.copies import CUES, WEIGHTS, find_copies
from tamperscope.methods.focal.copy_candidates import (
    Candidate,
    Matches,
    find_matches,
    keypoint_candidates,
)
from tamperscope.perturb import jpeg


def textured(seed: int, size: tuple[int, int] = (200, 280)) -> np.ndarray:
    """A picture whose detail never repeats, with a photo's 1/f spectrum."""
    rng = np.random.default_rng(seed)
    h, w = size
    frequency = np.hypot(np.fft.fftfreq(h)[:, None], np.fft.rfftfreq(w)[None])
    frequency[0, 0] = 1.0
    planes = []
    for _ in range(3):
        spectrum = np.fft.rfft2(rng.standard_normal(size)) / frequency
        plane = np.fft.irfft2(spectrum, size)
        planes.append(plane / plane.std())
    common = planes[0]
    mixed = np.stack([0.85 * common + 0.15 * p for p in planes], 2)
    return np.clip(128 + 55 * mixed, 0, 255).astype(np.uint8)


def duplicate_map(pixels: np.ndarray, **options: int) -> np.ndarray:
    """The confidence in the surest copy that a pixel belongs to, (h, w); 0 elsewhere."""
    found = np.zeros(pixels.shape[:2], np.float32)
    for copy in reversed(find_copies(pixels, **options)):
        found[copy.first | copy.second] = copy.confidence
    return found


def moved(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    picture = textured(seed)
    source, copy = np.zeros(picture.shape[:2], bool), np.zeros(picture.shape[:2], bool)
    source[30:85, 40:100], copy[120:175, 190:250] = True, True
    picture[120:175, 190:250] = picture[30:85, 40:100]
    return picture, source, copy


@pytest.mark.parametrize("quality", [None, 90, 75])
def test_a_moved_region_and_its_source_are_marked_and_little_else(quality: int | None) -> None:
    picture, source, copy = moved(1)
    if quality:
        picture = jpeg(picture, quality)
    found = duplicate_map(picture) > 0.5
    assert found[source].mean() > 0.7
    assert found[copy].mean() > 0.7
    assert found[~(source | copy)].mean() < 0.02


@pytest.mark.parametrize("seed", range(4))
def test_untouched_texture_is_not_marked(seed: int) -> None:
    assert not duplicate_map(jpeg(textured(seed), 85)).any()


def carried(
    seed: int,
    *,
    angle: float = 0.0,
    scale: float = 1.0,
    mirror: bool = False,
    down: float = 60.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A picture with a disc of it copied elsewhere, turned by ``angle`` degrees and scaled."""
    picture = textured(seed, (220, 320))
    turn = cv2.getRotationMatrix2D((80, 75), angle, scale)
    if mirror:
        turn = turn @ np.array([[-1, 0, 160], [0, 1, 0], [0, 0, 1]], float)
    turn[:, 2] += (150, down)
    flat = np.zeros(picture.shape[:2], np.uint8)
    source = cv2.circle(flat, (80, 75), 40, 1, -1)
    layer = cv2.warpAffine(picture, turn, (320, 220), flags=cv2.INTER_CUBIC)
    copy = cv2.warpAffine(source, turn, (320, 220)) > 0
    return np.where(copy[..., None], layer, picture), source > 0, copy


@pytest.mark.parametrize("angle", [0, 10, 45, 90, 180, 300])
def test_a_turned_copy_is_found(angle: float) -> None:
    picture, source, copy = carried(5, angle=angle)
    found = duplicate_map(jpeg(picture, 90)) > 0.5
    assert found[source].mean() > 0.6
    assert found[copy].mean() > 0.6
    assert found[~(source | copy)].mean() < 0.03


@pytest.mark.parametrize("scale", [0.7, 0.8, 1.3, 1.6])
def test_a_scaled_copy_is_found(scale: float) -> None:
    picture, source, copy = carried(6, scale=scale, angle=7)
    (found, *_) = find_copies(jpeg(picture, 95))
    assert found.confidence > 0.5
    for place in (source, copy):
        assert max((found.first & place).sum(), (found.second & place).sum()) > 0.6 * place.sum()
    assert (found.first | found.second)[~(source | copy)].mean() < 0.03


@pytest.mark.parametrize("angle", [0, 30])
def test_a_mirrored_copy_is_found(angle: float) -> None:
    picture, source, copy = carried(7, angle=angle, mirror=True)
    found = duplicate_map(jpeg(picture, 90)) > 0.5
    assert found[source].mean() > 0.6
    assert found[copy].mean() > 0.6
    assert found[~(source | copy)].mean() < 0.03


def test_two_copies_are_two_regions() -> None:
    picture, _, copy = carried(8, angle=20)
    picture[160:215, 20:100] = picture[5:60, 230:310]
    regions = find_copies(picture)
    assert len(regions) == 2
    other = np.zeros(copy.shape, bool)
    other[160:215, 20:100] = True
    for place in (copy, other):
        assert any(
            (side & place).sum() > 0.6 * max(place.sum(), side.sum())
            for region in regions
            for side in (region.first, region.second)
        )


def test_the_surest_comes_first_and_the_unsure_are_left_out() -> None:
    picture, _, _ = carried(8, angle=20)
    picture[160:215, 20:100] = picture[5:60, 230:310]
    sure = [region.confidence for region in find_copies(picture, least=0.0)]
    assert sure == sorted(sure, reverse=True)
    limit = (sure[0] + sure[1]) / 2
    assert len(find_copies(picture, least=limit)) == sum(s >= limit for s in sure)


def test_the_record_holds_the_weights_in_use() -> None:
    path = Path(__file__).parents[3] / "results" / "copied-regions.json"
    numbers = json.loads(path.read_text())["numbers"]
    assert numbers["cues"] == list(CUES)
    assert numbers["fitted"] == numbers["used"] == list(WEIGHTS)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_candidate_and_its_matrix_say_the_same(mirrored: bool) -> None:
    candidate = Candidate(0.8 - 0.3j, 5 + 2j, mirrored)
    points = np.array([0, 3 + 1j, -2 + 7j])
    moved = candidate.apply(points)
    table = candidate.matrix @ np.stack([points.real, points.imag, np.ones(3)])
    np.testing.assert_allclose(table, [moved.real, moved.imag], atol=1e-12)


def test_keypoints_of_a_mirrored_picture_have_the_mirrored_descriptors() -> None:
    picture, *_ = carried(9, mirror=True)
    straight, mirrored = find_matches(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))
    assert len(mirrored.here) > 5 * max(len(straight.here), 1)
    (candidate, *_) = keypoint_candidates(mirrored)
    expected = np.array([230 + 135j])  # where the disc's middle went
    there = min(candidate.apply(np.array([80 + 75j])), key=lambda z: abs(z - expected[0]))
    assert abs(there - expected[0]) < 1 or abs(candidate.apply(expected)[0] - (80 + 75j)) < 1


def test_scaled_matches_point_at_the_same_places() -> None:
    found = Matches(*(np.array([10 + 20j]) for _ in range(4)))
    twice = found.scaled(2.0, 2.0)
    assert twice.here[0] == 20.5 + 40.5j
    assert twice.transform[0] == found.transform[0]
    assert found.scaled(1.0, 1.0) is found
    assert found.scaled(2.0, 3.0).here[0] == 31 + 40.5j


def test_a_straight_edge_that_matches_itself_is_no_copy() -> None:
    picture = np.full((160, 220, 3), 60, np.uint8)
    picture[:, 110:] = 190
    picture[70:74] = 120
    assert not duplicate_map(jpeg(picture, 90)).any()


def checkerboard() -> np.ndarray:
    cells = np.indices((10, 14)).sum(0) % 2
    noise = np.random.default_rng(2).integers(-6, 7, (200, 280, 3))
    return (60 + 130 * np.kron(cells, np.ones((20, 20)))[..., None] + noise).astype(np.uint8)


@pytest.mark.parametrize(
    "picture",
    [
        np.tile(textured(3, (23, 27)), (9, 10, 1)),
        np.tile(textured(4, (50, 70)), (4, 4, 1)),
        checkerboard(),
        np.concatenate([textured(5, (200, 140)), textured(5, (200, 140))[:, ::-1]], axis=1),
    ],
    ids=["bricks", "tiles", "checkerboard", "reflection"],
)
def test_a_pattern_that_agrees_with_itself_is_no_copy(picture: np.ndarray) -> None:
    assert duplicate_map(picture).max() < 0.5
    assert duplicate_map(jpeg(picture, 90)).max() < 0.5


def test_what_stands_in_front_of_a_pattern_can_be_a_copy() -> None:
    wall = np.tile(textured(3, (50, 50)), (4, 6, 1))
    poster = textured(4, (60, 60))
    wall[30:90, 40:100] = wall[110:170, 190:250] = poster
    (copy, *_) = find_copies(jpeg(wall, 92))
    assert copy.confidence > 0.5
    for place in (np.s_[35:85, 45:95], np.s_[115:165, 195:245]):
        assert (copy.first | copy.second)[place].mean() > 0.8


def test_windows_in_a_row_are_a_pattern() -> None:
    picture = textured(7, (200, 400))
    for i in range(6):
        picture[60:120, 20 + 60 * i : 60 + 60 * i] = textured(8, (60, 40))
    assert all(c.confidence < 0.5 for c in find_copies(jpeg(picture, 92)))


@pytest.mark.parametrize(("angle", "mirror"), [(180, False), (0, True)])
def test_two_places_are_two_where_each_is_taken_to_the_other(angle: float, mirror: bool) -> None:
    """Half a turn, or a reflection at the same height, undoes itself."""
    picture, source, copy = carried(5, angle=angle, mirror=mirror, down=0 if mirror else 60)
    (found, *_) = find_copies(jpeg(picture, 90))
    assert not (found.first & found.second).any()
    assert sorted([found.first[copy].mean() > 0.6, found.second[copy].mean() > 0.6]) == [0, 1]
    assert sorted([found.first[source].mean() > 0.6, found.second[source].mean() > 0.6]) == [0, 1]


def test_a_copy_that_covers_a_part_of_its_source_is_found() -> None:
    picture = textured(6)
    picture[70:130, 90:170] = picture[60:120, 50:130].copy()
    (copy, *_) = find_copies(jpeg(picture, 92))
    assert copy.confidence > 0.5
    assert (copy.first | copy.second)[70:130, 90:125].mean() > 0.7


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (59, 59), (17, 4000), (64, 64)])
def test_any_size(size: tuple[int, int]) -> None:
    found = duplicate_map(np.zeros((*size, 3), np.uint8))
    assert found.shape == size
    assert found.dtype == np.float32
    assert not found.any()


def test_a_large_picture_is_shrunk_and_the_answer_comes_back_in_its_size() -> None:
    picture, source, copy = moved(2)
    big = cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    found = duplicate_map(big, max_pixels=200 * 280) > 0.5
    assert found.shape == big.shape[:2]
    assert found[::2, ::2][source | copy].mean() > 0.6
    (small, *_) = find_copies(big, max_pixels=200 * 280, grow=False)
    assert small.first.shape == small.second.shape == picture.shape[:2]


def test_the_picture_is_left_as_it_was() -> None:
    picture, _, _ = moved(1)
    before = picture.copy()
    duplicate_map(picture)
    assert np.array_equal(picture, before)
