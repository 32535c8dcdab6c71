import numpy as np
import pytest
from numpy.typing import NDArray

from tamperscope.data.generators import Generator
from tamperscope.data.generators.classical import ClassicalInpainter
from tamperscope.errors import ConfigError, ImageValueError


def scene(size: int = 48) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A grey ramp with a white spot, and the mask of the spot."""
    ramp = np.linspace(60, 120, size).astype(np.uint8)
    image = np.repeat(np.tile(ramp, (size, 1))[..., None], 3, axis=2)
    mask = np.zeros((size, size), bool)
    mask[16:28, 20:32] = True
    image[mask] = 255
    return image, mask


@pytest.mark.parametrize("name", ["telea", "ns"])
def test_a_spot_is_filled_from_its_surroundings_and_nothing_else_changes(name: str) -> None:
    image, mask = scene()
    generator = ClassicalInpainter(name)  # type: ignore[arg-type]
    assert isinstance(generator, Generator)
    (made,) = generator.inpaint(image[None], mask[None], seed=0)
    assert np.array_equal(made[~mask], image[~mask])
    assert made[mask].max() < 140


def test_a_picture_does_not_depend_on_its_neighbours() -> None:
    image, mask = scene()
    generator = ClassicalInpainter("telea")
    both = generator.inpaint(np.stack([image[::-1], image]), np.stack([mask, mask]), seed=0)
    alone = generator.inpaint(image[None], mask[None], seed=5)
    assert np.array_equal(both[1], alone[0])


def test_an_empty_mask_and_no_pictures_are_fine() -> None:
    image, mask = scene()
    generator = ClassicalInpainter("ns")
    assert np.array_equal(generator.inpaint(image[None], ~mask[None] & mask, seed=0)[0], image)
    assert generator.inpaint(image[None][:0], mask[None][:0], seed=0).shape == (0, 48, 48, 3)


def test_what_cannot_be_is_named() -> None:
    image, mask = scene()
    generator = ClassicalInpainter("telea")
    with pytest.raises(ConfigError, match="'telea' only fills regions: for whole pictures use"):
        generator.regenerate(image[None], seed=0)
    with pytest.raises(ConfigError, match="radius must be above 0 and below 256 pixels, not 0"):
        ClassicalInpainter("ns", radius=0)
    with pytest.raises(ImageValueError, match="masks must be a bool array"):
        generator.inpaint(image[None], mask[None].astype(np.uint8), seed=0)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="seed must be a non-negative integer, not -1"):
        generator.inpaint(image[None], mask[None], seed=-1)
