"""Pictures of features."""

import numpy as np
import torch

from methods.focal.toys import box, two_regions
from tamperscope.methods.focal.views import feature_colours

SHAPE = (24, 32)
REGION = box(SHAPE, slice(6, 16), slice(8, 20))


def test_two_kinds_of_features_have_two_colours() -> None:
    seen = feature_colours(two_regions(REGION, noise=0.05)).astype(float)
    assert seen.shape == (*SHAPE, 3)
    inside, outside = seen[REGION].mean(0), seen[~REGION].mean(0)
    assert abs(inside - outside).max() > 150
    # The region is the smaller one, so the first component is dark outside.
    assert inside[0] > 200
    assert outside[0] < 55


def test_the_same_features_have_the_same_picture_and_one_kind_has_no_noise_made_of_it() -> None:
    seen = two_regions(REGION, noise=0.2)
    np.testing.assert_array_equal(feature_colours(seen), feature_colours(seen.clone()))
    assert (feature_colours(torch.ones(4, 5, 6)) == 0).all()
