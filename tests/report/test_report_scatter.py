import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from tamperscope.errors import MissingExtraError
from tamperscope.report.scatter import draw_scatter

POINTS = np.random.default_rng(0).standard_normal((12, 3)).astype(np.float32)
FAKE = np.arange(12) % 2 == 1


@pytest.mark.parametrize("dimensions", [2, 3])
def test_both_files_say_what_is_what(tmp_path: Path, dimensions: int) -> None:
    truth = np.arange(12) < 6
    paths = draw_scatter(
        POINTS[:, :dimensions], FAKE, tmp_path / "a" / "plot", truth=truth, known=[3], title="Where"
    )
    assert [path.name for path in paths] == ["plot.svg", "plot.png"]
    svg = paths[0].read_text()
    for words in ("Where", "real, named fake", "fake, named fake", "label given"):
        assert words in svg
    with PILImage.open(paths[1]) as png:
        assert png.convert("RGBA").getpixel((0, 0))[3] == 0  # type: ignore[index]


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    first, second = (draw_scatter(POINTS[:, :2], FAKE, tmp_path / stem) for stem in "ab")
    assert first[0].read_bytes() == second[0].read_bytes()
    assert first[1].read_bytes() == second[1].read_bytes()
    assert "named real" in first[0].read_text()


def test_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"the scatter plot needs .*tamperscope\[plots\]"):
        draw_scatter(POINTS[:, :2], FAKE, tmp_path / "plot")
