from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PILImage

from tamperscope.data.fakeness import fakeness_map
from tamperscope.data.pair import FacePair, read_pair
from tamperscope.errors import DataError


def save(path: Path, pixels: NDArray[np.uint8]) -> Path:
    PILImage.fromarray(pixels).save(path)
    return path


@pytest.fixture
def real(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    return save(tmp_path / "real.png", rng.integers(0, 256, (8, 10, 3), np.uint8))


@pytest.fixture
def fake(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    return save(tmp_path / "fake.png", rng.integers(0, 256, (8, 10, 3), np.uint8))


def pixels(path: Path) -> NDArray[np.uint8]:
    return np.asarray(PILImage.open(path))


def test_a_real_picture_is_looked_at_and_has_no_fakeness(real: Path) -> None:
    pair = FacePair(id="real/a", face="a", real=real)
    image, made = read_pair(pair)
    assert (pair.image, pair.is_fake) == (real, False)
    np.testing.assert_array_equal(image, pixels(real))
    assert not made.any()


def test_a_fake_is_compared_with_its_real_picture(real: Path, fake: Path) -> None:
    pair = FacePair(id="a", face="a", real=real, fake=fake, generator="g", variant="region")
    image, made = read_pair(pair, kind="mean-difference")
    assert (pair.image, pair.is_fake) == (fake, True)
    np.testing.assert_array_equal(image, pixels(fake))
    expected = fakeness_map(pixels(real), pixels(fake), kind="mean-difference")
    np.testing.assert_array_equal(made, expected)


def test_a_fake_without_a_real_picture(fake: Path, tmp_path: Path) -> None:
    grey = np.full((8, 10), 51, np.uint8)
    grey[:4] = 255
    given = save(tmp_path / "map.png", grey)
    whole = FacePair(id="a", face="a", real=None, fake=fake, generator="g", variant="whole")
    assert (read_pair(whole)[1] == 1).all()
    mapped = FacePair(
        id="a", face="a", real=None, fake=fake, generator="g", variant="region", map_path=given
    )
    np.testing.assert_allclose(read_pair(mapped)[1], grey / 255, atol=1e-6)
    masked = FacePair(
        id="a", face="a", real=None, fake=fake, generator="g", variant="region", mask_path=given
    )
    np.testing.assert_array_equal(read_pair(masked)[1], grey > 127)
    nothing = FacePair(id="a", face="a", real=None, fake=fake, generator="g", variant="region")
    with pytest.raises(DataError, match="fakeness is not known without the real picture, a mask"):
        read_pair(nothing)


def test_sizes_that_differ_are_named(real: Path, fake: Path, tmp_path: Path) -> None:
    strip = save(tmp_path / "strip.png", np.tile(pixels(fake), (1, 3, 1)))
    pair = FacePair(id="a", face="a", real=real, fake=strip, generator="g", variant="whole")
    with pytest.raises(DataError, match="strip of 3 pictures\\? cut it into one file for each"):
        read_pair(pair)
    small = save(tmp_path / "small.png", pixels(fake)[:6])
    pair = FacePair(id="a", face="a", real=real, fake=small, generator="g", variant="whole")
    with pytest.raises(DataError, match=r"small.png: 6 x 10 pixels .*real.png: 8 x 10: bring both"):
        read_pair(pair)


def test_contradictions(real: Path, fake: Path) -> None:
    with pytest.raises(DataError, match="pair 'a' has no picture: give the real one or the fake"):
        FacePair(id="a", face="a", real=None)
    with pytest.raises(DataError, match="pair 'a': a fake needs a generator and the variant"):
        FacePair(id="a", face="a", real=real, fake=fake)
    with pytest.raises(DataError, match="a real picture has neither"):
        FacePair(id="a", face="a", real=real, generator="g", variant="whole")
