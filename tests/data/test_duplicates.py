"""Near-duplicates: what the search finds, what it does not, and the record its limits rest on."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

from data.test_check import save, scene
from tamperscope.data.duplicates import (
    MAX_DISTANCE,
    MIN_CORRELATION,
    Fingerprint,
    correlation,
    fingerprint_of,
    near_pairs,
)

RECORD = Path(__file__).resolve().parents[2] / "results" / "duplicates.json"
NOISE = np.random.default_rng(5).integers(0, 256, (32, 32), np.uint8)


def test_near_pairs_are_all_pairs_within_the_limit() -> None:
    rng = np.random.default_rng(0)
    centres = rng.integers(0, 2**63, 12, np.uint64)

    def shaken(bits: int) -> int:
        for place in rng.choice(63, rng.integers(0, 17), replace=False):
            bits ^= 1 << int(place)
        return bits

    hashes = [shaken(int(c)) for c in centres for _ in range(10)]
    prints: list[Fingerprint | None] = [Fingerprint(h, NOISE) for h in hashes]
    expected = [
        (i, j)
        for i in range(len(hashes))
        for j in range(i + 1, len(hashes))
        if (hashes[i] ^ hashes[j]).bit_count() <= MAX_DISTANCE
    ]
    assert 100 < len(expected) < 540
    assert near_pairs(prints) == expected
    both = near_pairs(prints[:60], prints[60:])
    assert both == [(i, j - 60) for i, j in expected if i < 60 <= j]


def test_equal_hashes_of_pictures_that_differ_are_no_pair() -> None:
    assert near_pairs([Fingerprint(5, NOISE), Fingerprint(5, NOISE[::-1])]) == []
    assert near_pairs([Fingerprint(5, NOISE), None, Fingerprint(5, NOISE)]) == [(0, 2)]
    assert near_pairs([]) == []


def test_correlation_is_blind_to_brightness_and_contrast() -> None:
    half = Fingerprint(0, (NOISE // 2 + 40).astype(np.uint8))
    assert correlation(Fingerprint(0, NOISE), half) == pytest.approx(1, abs=1e-4)
    assert correlation(Fingerprint(0, NOISE), Fingerprint(0, 255 - NOISE)) == pytest.approx(-1)
    flat = Fingerprint(None, np.full((32, 32), 9, np.uint8))
    assert correlation(flat, flat) == correlation(None, flat) == 0


def test_copies_are_found_whatever_was_done_to_them(tmp_path: Path) -> None:
    again = np.asarray(PILImage.open(save(tmp_path / "a.jpg", scene(1), quality=40)))
    shrunk = np.asarray(PILImage.fromarray(scene(1)).resize((50, 40)))
    brighter = (scene(1) // 2 + 100).astype(np.uint8)
    cropped = scene(1)[1:-1, 1:-1]
    pictures = (scene(1), again, shrunk, brighter, cropped)
    prints: list[Fingerprint | None] = [fingerprint_of(pixels) for pixels in pictures]
    assert [pair for pair in near_pairs(prints) if pair[0] == 0] == [(0, i) for i in (1, 2, 3, 4)]
    assert near_pairs([prints[0], fingerprint_of(scene(2))]) == []
    mirrored, inner = scene(1)[:, ::-1].copy(), scene(1)[20:-20, 30:-30]
    assert near_pairs([prints[0], fingerprint_of(mirrored), fingerprint_of(inner)]) == []
    assert fingerprint_of(np.full((9, 9, 3), 77, np.uint8)).bits is None


def test_the_limits_are_those_the_record_speaks_for() -> None:
    record: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))
    numbers = record["numbers"]
    assert numbers["limits"] == {"bits": MAX_DISTANCE, "correlation": MIN_CORRELATION}
    found = {one["name"]: one["found"] for one in numbers["variations"]}
    assert min(found[name] for name in ("jpeg:20", "resize:0.25", "blur:7")) > 0.99
    assert found["crop:0.98"] > 0.95
    assert found["mirrored"] < 0.01
    assert numbers["distinct_pairs"]["pairs"] > 1e6
    assert numbers["distinct_pairs"]["taken_for_one"] == 0
