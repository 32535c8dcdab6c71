"""The check of a set finds every fault put into it, and nothing in a good one."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

from data import layouts
from tamperscope.data import load
from tamperscope.data.check import Finding, SetReport, check_set
from tamperscope.data.datasets import DATASETS, Count
from tamperscope.errors import ConfigError, DataError, UnknownNameError


def scene(seed: int, size: tuple[int, int] = (96, 128)) -> np.ndarray[Any, Any]:
    """A smooth picture unlike those of other seeds."""
    rng = np.random.default_rng(seed)
    small = PILImage.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
    return np.asarray(small.resize(size[::-1], PILImage.Resampling.BICUBIC))


def save(path: Path, pixels: np.ndarray[Any, Any], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    PILImage.fromarray(pixels).save(path, **options)
    return path


def square(size: tuple[int, int] = (96, 128), value: int = 255) -> np.ndarray[Any, Any]:
    mask = np.zeros(size, np.uint8)
    mask[20:60, 30:80] = value
    return mask


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """Five forged pictures with masks and two authentic ones, none like another."""
    root = tmp_path / "good"
    for i in range(5):
        save(root / f"images/{i}.png", scene(i))
        save(root / f"masks/{i}.png", square())
    for i in (5, 6):
        save(root / f"authentic/{i}.png", scene(i))
    return root


def find(report: SetReport, kind: str) -> Finding:
    (finding,) = (f for f in report.findings if f.kind == kind)
    return finding


def test_a_good_set_is_sound(good: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    report = check_set("folder", good, workers=2, progress=lambda *step: seen.append(step))
    assert report.findings == ()
    assert report.verdict == "sound"
    assert report.counts == {"forged": 5, "authentic": 2}
    assert report.forged_share == pytest.approx(40 * 50 / (96 * 128))
    assert seen == [("folder", i, 7) for i in range(1, 8)]
    assert json.loads(json.dumps(report.to_dict()))["verdict"] == "sound"


def orphan(root: Path) -> None:
    (root / "masks/0.png").unlink()


def unreadable(root: Path) -> None:
    whole = (root / "images/0.png").read_bytes()
    (root / "images/0.png").write_bytes(whole[: len(whole) // 2])
    (root / "images/1.png").write_bytes(b"no picture")
    (root / "images/2.png").write_bytes(b"")


def unreadable_mask(root: Path) -> None:
    (root / "masks/0.png").write_bytes(b"no picture")


def other_size(root: Path) -> None:
    save(root / "masks/0.png", square((95, 128)))
    save(root / "masks/1.png", square((128, 96)))


def nothing_marked(root: Path) -> None:
    save(root / "masks/0.png", np.zeros((96, 128), np.uint8))


def all_marked(root: Path) -> None:
    save(root / "masks/0.png", np.full((96, 128), 255, np.uint8))


def upside_down(root: Path) -> None:
    for i in range(5):
        save(root / f"masks/{i}.png", 255 - square())


def half_grey(root: Path) -> None:
    save(root / "masks/0.png", square(value=130))


def jpeg_mask(root: Path) -> None:
    (root / "masks/0.png").unlink()
    save(root / "masks/0.jpg", square(), quality=80)


def zero_and_one(root: Path) -> None:
    save(root / "masks/0.png", square(value=1))


def same_pixels(root: Path) -> None:
    # Stored in another way, with another name: the same picture all the same.
    save(root / "authentic/7.bmp", scene(6))


def both_labels(root: Path) -> None:
    shutil.copy(root / "images/0.png", root / "authentic/8.png")


def recompressed(root: Path) -> None:
    save(root / "authentic/7.jpg", scene(6), quality=70)


def smaller_original(root: Path) -> None:
    save(root / "authentic/7.png", scene(0, (48, 64)))


@pytest.mark.parametrize(
    ("damage", "kind", "level", "text", "items"),
    [
        (orphan, "orphans", "error", "1 without partner: no masks in", ["0"]),
        (unreadable, "unreadable-pictures", "error", "3 pictures cannot be read", None),
        (unreadable_mask, "unreadable-masks", "error", "1 masks cannot be read", None),
        (zero_and_one, "unreadable-masks", "error", "1 masks cannot be read", None),
        (
            other_size,
            "size-mismatch",
            "warning",
            "2 masks differ in size from their pictures (height x width)",
            [
                "images/0: picture 96 x 128, mask 95 x 128",
                "images/1: picture 96 x 128, mask 128 x 96",
            ],
        ),
        (nothing_marked, "empty-masks", "error", "1 masks of forged pictures mark", ["images/0"]),
        (all_marked, "full-masks", "warning", "1 masks mark the whole picture", ["images/0"]),
        (upside_down, "inverted-masks", "error", "masks look inverted: half of them mark", []),
        (half_grey, "unclear-masks", "warning", "1 masks have pixels halfway between", None),
        (jpeg_mask, "non-binary-masks", "note", "1 masks are not of two colours only", None),
        (
            same_pixels,
            "duplicates",
            "warning",
            "1 pictures repeat another, pixel by pixel",
            ["authentic/6 = authentic/7"],
        ),
        (
            both_labels,
            "contradicting-labels",
            "error",
            "1 pictures are in the set as forged and as authentic",
            ["images/0 = authentic/8"],
        ),
        (
            recompressed,
            "near-duplicates",
            "note",
            "1 pairs of the same label are nearly the same picture",
            ["authentic/6 = authentic/7"],
        ),
        (
            smaller_original,
            "originals",
            "note",
            "1 pairs of a forged and an authentic picture",
            ["images/0 = authentic/7"],
        ),
    ],
)
def test_every_fault_is_found(
    damage: Callable[[Path], None],
    kind: str,
    level: str,
    text: str,
    items: list[str] | None,
    good: Path,
) -> None:
    damage(good)
    report = check_set("folder", good, workers=1)
    finding = find(report, kind)
    assert finding.level == level
    assert finding.text.startswith(text)
    if items is not None:
        assert list(finding.items) == items
    assert (report.verdict == "broken") == (level == "error")


def test_faults_say_what_is_wrong(good: Path) -> None:
    unreadable(good)
    zero_and_one(good)
    report = check_set("folder", good, workers=1)
    first, second, third = find(report, "unreadable-pictures").items
    assert first.startswith("images/0: is a truncated or damaged PNG")
    assert second.startswith("images/1: is not a picture; give a JPEG")
    assert third == "images/2: is empty (0 bytes); get the file again"
    assert "holds only 0 and 1" in find(report, "unreadable-masks").items[0]
    assert [f.level for f in report.findings] == ["error", "error"]


def test_the_gravest_comes_first(good: Path) -> None:
    for damage in (recompressed, other_size, orphan):
        damage(good)
    levels = [f.level for f in check_set("folder", good, workers=1).findings]
    assert levels == ["error", "warning", "note"]


def test_another_polarity_turns_masks_round(good: Path) -> None:
    upside_down(good)
    report = check_set("folder", good, options={"polarity": "forged-black"}, workers=1)
    assert report.verdict == "sound"
    assert report.polarity == "forged-black"
    with pytest.raises(ConfigError, match="mask coding 'black' must be one of"):
        check_set("folder", good, options={"polarity": "black"}, workers=1)


def test_masks_in_two_colours_of_jpeg(tmp_path: Path) -> None:
    layouts.columbia(tmp_path)
    report = check_set("columbia", tmp_path, workers=1)
    assert {f.kind for f in report.findings} == {"counts"}
    assert report.polarity == "forged-green"
    grey = tmp_path / "4cam_splc/4cam_splc/edgemask/canong3_canonxt_sub_01_edgemask.jpg"
    layouts.save(grey, layouts.coded(layouts.region(0), "forged-white"))
    report = check_set("columbia", tmp_path, workers=1)
    assert find(report, "unclear-masks").items == (
        "4cam_splc/canong3_canonxt_sub_01: 100.00% of its pixels",
    )
    assert find(report, "empty-masks").level == "error"


@pytest.mark.parametrize("name", sorted(layouts.COUNTS))
def test_every_layout_can_be_checked(name: str, tmp_path: Path) -> None:
    build, forged, clean = layouts.COUNTS[name]
    build(tmp_path)
    report = check_set(name, tmp_path, workers=1)
    assert (report.counts["forged"], report.counts["authentic"]) == (forged, clean)
    errors = [f for f in report.findings if f.level == "error"]
    assert errors == []


def counted(
    monkeypatch: pytest.MonkeyPatch, root: Path, *counts: Count
) -> tuple[Finding | None, str]:
    from tamperscope.data import check

    card = dataclasses.replace(DATASETS["folder"], counts=counts)
    monkeypatch.setattr(check, "dataset_card", lambda name: card)
    report = check_set("folder", root, workers=1)
    return next((f for f in report.findings if f.kind == "counts"), None), report.verdict


def test_counts_are_compared_with_all_known_ones(
    good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = Count(forged=7, authentic=2, who="them")
    finding, verdict = counted(monkeypatch, good, theirs, Count(forged=5, authentic=2, who="us"))
    assert finding is not None
    assert finding.text == "counts agree with: 5 forged, 2 authentic (us)"
    assert verdict == "sound"
    finding, verdict = counted(monkeypatch, good, theirs)
    assert finding is not None
    assert finding.text == (
        "5 forged and 2 authentic pictures agree with no known count: a number on them is not one "
        "on the set as others have it; known: 7 forged, 2 authentic (them)"
    )
    assert verdict == "usable with care"
    finding, verdict = counted(monkeypatch, good, Count(forged=5, authentic=9, who="them"))
    assert finding is not None
    assert finding.text.startswith("5 forged pictures as known, but 2 authentic ones: image-")
    assert verdict == "usable with care"
    shutil.rmtree(good / "authentic")
    _, verdict = counted(monkeypatch, good, Count(forged=5, authentic=9, who="them"))
    assert verdict == "sound"
    finding, _ = counted(monkeypatch, good, Count(forged=9, authentic=1, who="x", unit="videos"))
    assert finding is None


def test_pictures_shared_with_another_set(good: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    save(other / "images/a.bmp", scene(5))
    save(other / "images/b.jpg", scene(0), quality=60)
    save(other / "images/c.png", scene(99))
    report = check_set("folder", good, against=[("authentic", other)], workers=1)
    assert find(report, "shared").items == ("authentic/5 = a",)
    assert find(report, "nearly-shared").items == ("images/0 = b",)
    assert find(report, "shared").text == "1 pictures are in authentic too, pixel by pixel"
    assert report.verdict == "usable with care"


def test_what_cannot_be_checked(good: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown dataset 'fold'; did you mean 'folder'"):
        check_set("fold", good)
    with pytest.raises(DataError, match="no such folder"):
        check_set("folder", tmp_path / "nowhere")
    for path in (good / "masks").iterdir():
        path.rename(path.with_name(f"region_{path.name}"))
    shutil.rmtree(good / "authentic")
    with pytest.raises(DataError, match="nothing pairs up: 0 and 9 more are without masks in .*:"):
        check_set("folder", good)


def test_pictures_too_flat_to_tell_apart_are_no_pairs(tmp_path: Path) -> None:
    layouts.folder(tmp_path)
    assert len(load("folder", tmp_path)) == 3
    kinds = {f.kind for f in check_set("folder", tmp_path, workers=1).findings}
    assert kinds == set()
