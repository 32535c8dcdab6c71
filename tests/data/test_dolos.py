import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tamperscope.data import Sample, fingerprint, read_manifest, write_manifest
from tamperscope.data.datasets import dolos
from tamperscope.data.sample import Dataset
from tamperscope.errors import DataError, UnknownNameError

Writer = Callable[..., Path]


@pytest.fixture
def published(tmp_path: Path, picture: Writer) -> Path:
    """A part of the published set: two fakes of lama with masks, two of p2 without, one real."""
    root = tmp_path / "dolos"
    base = root / "celebahq"
    for stem in "ba":
        picture(base / "fake/lama/images/test" / f"{stem}.jpg")
        picture(base / "fake/lama/masks/test" / f"{stem}.png")
        picture(base / "fake/p2/train" / f"{stem}.png")
    picture(base / "real/test/a.png")
    return root


def test_fakes_are_sorted_and_paired_by_name(published: Path) -> None:
    samples = dolos.load(published, generator="lama")
    assert [s.id for s in samples] == ["lama/a", "lama/b"]
    assert [s.mask_path and s.mask_path.name for s in samples] == ["a.png", "b.png"]
    assert {(s.label, s.kind) for s in samples} == {("forged", "lama")}


def test_fakes_without_masks_for_image_labels(published: Path) -> None:
    for path in (published / "celebahq/fake/lama/masks/test").iterdir():
        path.unlink()
    samples = dolos.load(published, generator="lama", masks=False)
    assert {(s.mask_path, s.unmasked) for s in samples} == {(None, "unknown")}
    with pytest.raises(DataError, match="no pictures in .*masks/test: get this part of the set"):
        dolos.load(published, generator="lama")


def test_a_pair_that_is_not_one_is_named(published: Path) -> None:
    masks = published / "celebahq/fake/lama/masks/test"
    (masks / "a.png").rename(masks / "c.png")
    with pytest.raises(DataError, match=r"1 masks missing \(a\)"):
        dolos.load(published, generator="lama")
    (published / "celebahq/fake/lama/images/test/a.jpg").unlink()
    with pytest.raises(DataError, match=r"1 pictures missing \(c\)"):
        dolos.load(published, generator="lama")


def test_real_and_wholly_generated(published: Path, picture: Writer) -> None:
    (real,) = dolos.load_real(published)
    assert (real.id, real.label, real.mask_path) == ("real/a", "authentic", None)
    whole = dolos.load_whole(published, generator="p2", split="train")
    assert [(s.id, s.label, s.unmasked) for s in whole] == [
        ("p2/a", "forged", "whole"),
        ("p2/b", "forged", "whole"),
    ]
    picture(published / "celebahq/fake/lama-whole/test/z.png")
    assert [s.id for s in dolos.load_whole(published, generator="lama")] == ["lama-whole/z"]


def test_what_is_not_there_is_named(published: Path) -> None:
    with pytest.raises(UnknownNameError, match="generator of this set 'lamma'; did you mean"):
        dolos.load(published, generator="lamma")
    with pytest.raises(UnknownNameError, match="collection of faces 'ffhq'; known: celebahq"):
        dolos.load_real(published, faces="ffhq")
    with pytest.raises(UnknownNameError, match="unknown split 'val'; did you mean 'valid'"):
        dolos.load(published, generator="lama", split="val")
    with pytest.raises(DataError, match="no pictures in .*real/train: get this part of the set"):
        dolos.load_real(published, split="train")
    with pytest.raises(DataError, match="p2: has no images/ and masks/: its pictures are wholly"):
        dolos.load(published, generator="p2", split="train")
    with pytest.raises(DataError, match="lama: its pictures are generated in part: load them with"):
        dolos.load_whole(published, generator="lama")
    with pytest.raises(DataError, match="no such folder: .*nowhere: give the folder that holds"):
        dolos.load_real(published / "nowhere")
    with pytest.raises(DataError, match="holds no set of the layout FACES/real/SPLIT"):
        dolos.load_real(published / "celebahq/real/test")


def test_a_check_of_a_part_of_the_published_set(published: Path) -> None:
    report = dolos.check(published)
    assert [group.line() for group in report.groups] == [
        "celebahq/real test: 1 pictures",
        "celebahq/fake/lama test: 2 pictures, 2 masks",
        "celebahq/fake/p2 train: 2 pictures",
    ]
    assert not report.complete
    assert "celebahq/fake/lama train: a part of the published set" in report.missing
    assert "ffhq/real valid: a part of the published set" in report.missing
    assert len(report.missing) == 26 - 3
    assert json.loads(json.dumps(report.to_dict()))["complete"] is False


def test_a_check_names_pairs_that_are_none(published: Path, picture: Writer) -> None:
    (published / "celebahq/fake/lama/masks/test/a.png").unlink()
    picture(published / "celebahq/fake/lama/masks/test/x.png")
    picture(published / "celebahq/real/test/a.jpg")
    missing = dolos.check(published).missing
    assert "celebahq/fake/lama/masks/test: 1 masks (a)" in missing
    assert "celebahq/fake/lama/images/test: 1 pictures (x)" in missing
    assert any("a.jpg and a.png have the same stem" in line for line in missing)


def test_a_check_of_a_built_set(published: Path) -> None:
    base = published / "celebahq"
    rows = [{"image": "celebahq/real/test/a.png", "mask": None, "sha256": "0"}]
    row = {"image": "celebahq/fake/lama/images/test/a.jpg", "sha256": "0"}
    rows.append({**row, "mask": "celebahq/fake/lama/masks/test/gone.png", "mask_sha256": "0"})
    manifest = published / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert dolos.check(published).missing == (
        "1 files of the manifest (celebahq/fake/lama/masks/test/gone.png)",
    )
    changed = dolos.check(published, hashes=True).missing[1]
    assert changed.startswith("2 files as the manifest has them (celebahq/real/test/a.png, cele")
    (base / "real/train").mkdir()
    (base / "real/train/a.png").write_bytes((base / "real/test/a.png").read_bytes())
    assert (
        "celebahq/real: a is in train and in test; a face belongs to one split"
        in dolos.check(published).missing
    )
    manifest.write_text("{}\n")
    with pytest.raises(DataError, match="line 1 names no picture: give the same 'data build"):
        dolos.check(published)
    manifest.unlink()
    with pytest.raises(DataError, match="no manifest.jsonl to compare with: leave --hashes out"):
        dolos.check(published, hashes=True)


def test_a_check_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no set of the layout"):
        dolos.check(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        dolos.check(tmp_path / "nowhere")


def test_samples_without_mask_in_a_manifest(published: Path) -> None:
    samples = dolos.load_whole(published, generator="p2", split="train")
    data = Dataset(name="p2", root=published, samples=tuple(samples))
    write_manifest(data, published / "manifest.json")
    again = read_manifest(published / "manifest.json")
    assert again.samples == data.samples
    assert fingerprint(again) == fingerprint(data)


def test_a_reason_for_no_mask_where_there_is_one() -> None:
    with pytest.raises(DataError, match=r"'a' is said to be without mask \(whole\), but is authen"):
        Sample(id="a", image_path=Path("a"), mask_path=None, label="authentic", unmasked="whole")
    with pytest.raises(DataError, match=r"'a' is said to be without mask \(unknown\), but is auth"):
        Sample(
            id="a", image_path=Path("a"), mask_path=Path("m"), label="forged", unmasked="unknown"
        )
