"""The recipe that fills the networks makes the recorded values."""

import json

import numpy as np
import pytest

from reference import recipe

RECORDED = json.loads((recipe.FOLDER / "recipe_selftest.json").read_text())


@pytest.mark.parametrize(("name", "entry"), RECORDED.items())
def test_recorded_values(name: str, entry: dict) -> None:
    shape = tuple(entry["shape"])
    if name.startswith("input:"):
        values = recipe.make_input(name.removeprefix("input:"), shape, entry["kind"])
    else:
        values = recipe.value_for(name, shape, entry["gain"])
    flat = values.ravel()
    np.testing.assert_array_equal(flat[:4], np.float32(entry["first4"]))
    assert flat[-1] == np.float32(entry["last"])
    assert flat.sum(dtype=np.float64) == pytest.approx(entry["sum"], rel=1e-9)
