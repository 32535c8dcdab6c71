import numpy as np
import pytest
import torch
from PIL import Image as PILImage

from hostile import photo
from tamperscope.errors import ConfigError, ImageValueError
from tamperscope.face_parsing.preprocess import squeeze


def test_it_is_pillow_s_picture_on_another_scale() -> None:
    picture = photo(50, 80)
    resized = PILImage.fromarray(picture).resize((32, 32), PILImage.Resampling.LANCZOS)
    found = squeeze(picture, 32, resample="lanczos")
    assert (found.shape, found.dtype) == ((3, 32, 32), torch.float32)
    levels = ((found + 1) / 2 * 255).round().byte().permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(levels, np.asarray(resized))
    assert found.min() >= -1
    assert found.max() <= 1


def test_refusals() -> None:
    with pytest.raises(ImageValueError, match=r"pixels must be RGB uint8 \(h, w, 3\)"):
        squeeze(np.zeros((4, 4), np.uint8), 8)
    with pytest.raises(ConfigError, match="no resampling 'cubic' here; known: lanczos, bilinear"):
        squeeze(photo(), 8, resample="cubic")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="size must be at least 1 pixel, not 0"):
        squeeze(photo(), 0)
