"""The script that measures the search for copied regions and fits its confidence."""

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from scripts import load_script
from tamperscope.bench.record import read_record
from tamperscope.data.synthesis import sources
from tamperscope.data.synthesis.compose import Forgery
from tamperscope.methods.focal.copy_proof import Evidence


@pytest.fixture(scope="module")
def script() -> Any:
    return load_script("benchmarks/copied_regions.py")


def evidence(shift: int, support: int) -> Evidence:
    first, second = np.zeros((40, 60), bool), np.zeros((40, 60), bool)
    first[5:25, 2:20], second[5:25, 30 + shift : 48 + shift] = True, True
    return Evidence(first, second, support, 0.5, 360, 0.8, 0.3, 28.0)


def looked(script: Any, forged: bool, *found: Evidence) -> Any:
    mask = np.zeros((40, 60), bool)
    mask[5:25, 30:48] = forged
    image = np.zeros((40, 60, 3), np.uint8)
    kind = "copymove" if forged else "pristine"
    return script.Looked(Forgery(image=image, mask=mask, kind=kind), list(found), [], 0.1)


def test_a_place_that_is_mostly_forged_is_a_true_one(script: Any) -> None:
    for shift, expected in ((0, True), (6, True), (12, False)):
        one = looked(script, True, evidence(shift, 9))
        assert script.is_true(one.found[0], one.forgery) == expected
    clean = looked(script, False, evidence(0, 9))
    assert not script.is_true(clean.found[0], clean.forgery)


def test_what_tells_true_from_false_gets_the_weight(script: Any) -> None:
    copied = [looked(script, True, evidence(0, 30 + i)) for i in range(6)]
    clean = [looked(script, False, evidence(0, 2 + i)) for i in range(6)]
    fitted = dict(zip(script.CUES, script.fit(copied, clean), strict=True))
    assert fitted["support"] > 0
    assert fitted["area"] == fitted["agreement"] == fitted["distance"] == 0


def test_without_false_ones_there_is_nothing_to_fit(script: Any) -> None:
    with pytest.raises(SystemExit, match="add photos"):
        script.fit([looked(script, True, evidence(0, 9))], [looked(script, False)])


def test_the_curve_counts_untouched_pictures_above_each_cut(script: Any) -> None:
    clean = np.arange(1000) / 1000
    rows = script.curve(np.array([0.985, 0.992, 1.0, 0.0]), clean)
    assert [row["false_alarms"] for row in rows] == [0.005, 0.01, 0.02, 0.05]
    assert [row["flagged"] for row in rows] == pytest.approx([0.005, 0.01, 0.02, 0.05])
    assert [row["found"] for row in rows] == [0.25, 0.5, 0.75, 0.75]


def test_from_photos_to_the_record(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half of the photos hold something twice by nature, so that there is something to confuse."""
    held = [i for i in range(400) if sources.held_back(str(i), 0.1)][:6]
    others = [i for i in range(400) if not sources.held_back(str(i), 0.1)][:8]
    for i in [*held, *others]:
        rng = np.random.default_rng(i)
        grain = rng.normal(0, 1, (300, 420, 3)).astype(np.float32)
        picture = sum(2.0**s * cv2.GaussianBlur(grain, (0, 0), 2.0**s) for s in range(5))
        picture = np.clip(128 + 45 * picture / picture.std(), 0, 255).astype(np.uint8)
        if i % 2:
            picture[150:260, 250:380] = picture[20:130, 30:160]
        cv2.imwrite(str(tmp_path / f"{i}.png"), picture)
    out = tmp_path / "copied.json"
    options = ["--copied", "6", "--untouched", "12", "--output", str(out)]
    monkeypatch.setattr(sys, "argv", ["copied_regions.py", str(tmp_path), *options])
    script.main()
    assert str(out) in capsys.readouterr().out
    numbers = read_record(out)["numbers"]
    assert (numbers["copy_moves"], numbers["untouched"]) == (6, 12)
    assert len(numbers["fitted"]) == len(numbers["cues"]) == 7
    best = numbers["by_keypoints_and_offsets"][-1]
    assert 0 <= best["flagged"] <= 0.05 + 1 / 12
    assert numbers["which_is_the_copy"]["pictures"] > 0
    assert numbers["seconds"] > 0
