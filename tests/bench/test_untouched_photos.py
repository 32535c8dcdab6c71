"""The script that asks whether untouched photos are called forged."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

from scripts import load_script
from tamperscope.bench.record import read_record
from tamperscope.data.synthesis import sources


@pytest.fixture(scope="module")
def script() -> Any:
    return load_script("benchmarks/untouched_photos.py")


def photo(seed: int, size: tuple[int, int]) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = PILImage.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return np.asarray(coarse.resize(size[::-1], PILImage.Resampling.BICUBIC))


@pytest.mark.parametrize("size", [(300, 400), (500, 333), (40, 50)])
def test_a_window_lies_in_the_middle_on_the_block_grid(script: Any, size: tuple[int, int]) -> None:
    pixels = photo(1, size)
    found = script.window(pixels)
    h, w = min(size[0], 256), min(size[1], 384)
    assert found.shape == (h, w, 3)
    y, x = (size[0] - h) // 2 // 8 * 8, (size[1] - w) // 2 // 8 * 8
    assert np.array_equal(found, pixels[y : y + h, x : x + w])


def test_sorts_of_a_photo_are_drawn_by_the_seed(script: Any) -> None:
    pixels = photo(2, (300, 400))
    first, again = (script.variants(pixels, [17, 0]) for _ in range(2))
    assert all(np.array_equal(first[sort], again[sort]) for sort in first)
    assert first["as on disk"] is pixels
    assert any(
        not np.array_equal(first["window"], script.variants(pixels, [17, i])["window, saved"])
        for i in range(4)
    )


@pytest.mark.parametrize("size", [(300, 400), (900, 500), (40, 50)])
def test_a_shrunk_photo_keeps_its_shape(script: Any, size: tuple[int, int]) -> None:
    factor = min(1.0, 256 / max(size))
    found = script.variants(photo(3, size), [17, 0])["shrunk"]
    assert found.shape == (round(size[0] * factor), round(size[1] * factor), 3)


def test_rows_are_summed_up_by_folder_and_in_all(script: Any) -> None:
    rows = [
        ("a", "window", "old", 0.2, False),
        ("a", "window", "old", 0.4, True),
        ("b", "window", "old", 0.9, True),
    ]
    found = {row["folder"]: row for row in script.summary(rows)}
    assert (found["a"]["pictures"], found["a"]["flagged"]) == (2, 0.5)
    assert found["a"]["score"] == pytest.approx(0.3)
    assert (found["all"]["pictures"], found["all"]["score"]) == (3, pytest.approx(0.5))


def test_from_photos_to_the_record(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [str(i) for i in range(200)]
    held = [n for n in names if sources.held_back(n, 0.1)][:5]
    seen = [n for n in names if not sources.held_back(n, 0.1)][:2]
    for folder in ("one", "two", "elsewhere"):
        (tmp_path / folder).mkdir()
        for number, name in enumerate([*held, *seen]):
            pixels = photo(len(folder) * 100 + number, (72, 96))
            PILImage.fromarray(pixels).save(tmp_path / folder / f"{name}.png")
    out = tmp_path / "untouched.json"
    options = ["--folder", "one", "--folder", "two", "--each", "2", "--output", str(out)]
    options += ["--weights", "shipped=", "--weights", "named=focal-compact"]
    monkeypatch.setattr(sys, "argv", ["untouched_photos.py", str(tmp_path), *options])
    script.main()
    assert str(out) in capsys.readouterr().out
    record = read_record(out)
    rows = record["numbers"]["rows"]
    assert {row["folder"] for row in rows} == {"one", "two", "all"}
    assert {row["pictures"] for row in rows if row["folder"] == "one"} == {2}
    assert len(rows) == 3 * 6 * 2
    scores = {(r["folder"], r["sort"], r["weights"]): r["score"] for r in rows}
    assert scores["all", "window", "shipped"] == scores["all", "window", "named"]
    assert set(record["weights"]) == {"shipped: focal-compact", "named: focal-compact"}
