"""Pairs of real and fake faces: built, read, checked."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.faces.toys import label_map, write_faces
from tamperscope.data.datasets import dolos
from tamperscope.data.faces import (
    BuildConfig,
    build_dolos,
    build_fakelocator,
    load_pairs,
    load_reals,
    split_of,
)
from tamperscope.data.faces.pairs import check
from tamperscope.data.pair import FacePair, read_pair
from tamperscope.errors import ConfigError, DataError, UnknownNameError
from tamperscope.face_parsing.parts import PARTS
from tamperscope.image import read_image

SMALL = BuildConfig(size=48, dilation=(1, 3), least=4)
SPLITS = ("train", "valid", "test")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_faces(tmp_path_factory.mktemp("toys") / "faces", 8)


@pytest.fixture(scope="module")
def built(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built") / "set"
    build_fakelocator(faces, out, generators=["telea", "nearest"], config=SMALL)
    return out


def everything(root: Path, **options: Any) -> list[FacePair]:
    found = []
    for split in SPLITS:
        if any(root.glob(f"celebahq/real/{split}/*")):
            found += load_pairs(root, split=split, **options)
    return found


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_whole_faces_and_regions_of_the_generators_that_can(built: Path, faces: Path) -> None:
    again = build_fakelocator(faces, built, generators=["telea", "nearest"], config=SMALL)
    counts = {"real": 8, "telea": 8, "nearest": 8, "nearest-whole": 8}
    assert again["made"] == 0
    assert again["pictures"] == counts
    assert "'telea' only fills regions" in again["not_whole"]["telea"]
    assert len(list(built.glob("celebahq/fake/nearest/whole/*/*.png"))) == 8
    assert not (built / "celebahq/fake/telea/whole").exists()
    assert not list(built.rglob("masks"))


def test_a_pair_is_a_fake_and_the_real_face_of_its_name(built: Path) -> None:
    pairs = everything(built)
    assert len(pairs) == 24
    for pair in pairs:
        assert pair.real is not None
        assert pair.fake is not None
        assert (pair.real.name, pair.face) == (pair.fake.name, pair.fake.stem)
        assert pair.id == f"{pair.generator}/{pair.variant}/{pair.face}"
        assert pair.real.parent.name == pair.fake.parent.name == split_of(pair.face)
        pixels, made = read_pair(pair)
        assert made.shape == pixels.shape[:2] == (48, 48)
        assert made.any()
        assert bool(pair.parts) == (pair.variant == "region")


def test_only_the_named_parts_of_a_region_change(built: Path) -> None:
    labels = label_map()
    for pair in everything(built, variant="region"):
        if pair.face == "f0":
            continue
        made = read_pair(pair)[1]
        inside = np.isin(labels, [PARTS.index(part) for part in pair.parts])
        assert set(pair.parts) <= set(PARTS)
        # Toys are 64 pixels wide and dilated by at most 3 of 48: 0.1 is far from any region.
        rows, columns = np.nonzero(inside)
        ys, xs = np.nonzero(made)
        assert ys.min() / 48 > rows.min() / 64 - 0.1
        assert xs.max() / 48 < columns.max() / 64 + 0.1


def test_pairs_are_chosen_by_generator_and_variant(built: Path) -> None:
    whole = everything(built, variant="whole")
    assert {(p.generator, p.variant) for p in whole} == {("nearest", "whole")}
    regions = everything(built, generators=["telea"], variant="region")
    assert {(p.generator, p.variant) for p in regions} == {("telea", "region")}
    ids = [pair.id for pair in load_pairs(built, split="train")]
    assert ids == sorted(ids)


def test_reals_have_no_fake(built: Path) -> None:
    reals = [
        r
        for s in SPLITS
        if (built / f"celebahq/real/{s}").is_dir()
        for r in load_reals(built, split=s)
    ]
    assert sorted(real.face for real in reals) == [f"f{i}" for i in range(8)]
    assert {(real.fake, real.generator, real.variant) for real in reals} == {(None, None, "real")}
    assert not read_pair(reals[0])[1].any()


def test_the_same_faces_and_regions_as_for_dolos(built: Path, faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "dolos"
    build_dolos(faces, out, generators=["telea"], config=SMALL)
    for pair in everything(built, generators=["telea"]):
        assert pair.fake is not None
        other = next(out.glob(f"celebahq/fake/telea/images/*/{pair.fake.name}"))
        assert other.parent.name == pair.fake.parent.name
        assert other.read_bytes() == pair.fake.read_bytes()
    with pytest.raises(DataError, match="set of 'data build dolos', not of 'data build fakelo"):
        load_pairs(out, split="train")
    with pytest.raises(DataError, match="set of 'data build dolos', not of 'data build fakelo"):
        build_fakelocator(faces, out, generators=["telea"], config=SMALL)


def test_a_set_is_gone_on_with_and_grows(built: Path, faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    first = build_fakelocator(
        faces, out, generators=["nearest"], config=SMALL, only="region", limit=3
    )
    assert first["pictures"] == {"nearest": 3, "real": 3}
    lost = next(out.glob("celebahq/fake/nearest/region/*/*.png"))
    lost.unlink()
    (out / "manifest.jsonl").write_bytes((out / "manifest.jsonl").read_bytes()[:-40])
    build_fakelocator(faces, out, generators=["nearest"], config=SMALL, only="whole")
    build_fakelocator(faces, out, generators=["telea", "nearest"], config=SMALL)
    done, wanted = files(out), files(built)
    assert set(done) == set(wanted)
    assert json.loads(done["build.json"]) == json.loads(wanted["build.json"])
    for name in done:
        if name.endswith(".png"):
            pictures = (read_image(folder / name).pixels.astype(int) for folder in (out, built))
            # Networks may round a pixel the other way.
            assert abs(next(pictures) - next(pictures)).max() <= 1
    assert check(out, hashes=True).complete


def test_workers_make_the_same_set(faces: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    build_fakelocator(faces, one, generators=["telea"], config=SMALL)
    build_fakelocator(faces, two, generators=["telea"], config=SMALL, workers=2)
    assert files(one) == files(two)


def test_variants_of_a_face_go_back_to_it(faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    build_fakelocator(faces, out, generators=["telea"], config=SMALL, variants=2, limit=4)
    pairs = everything(out)
    assert len(pairs) == 8
    for pair in pairs:
        assert pair.real is not None
        assert pair.real.stem == pair.face
        assert pair.id in (f"telea/region/{pair.face}", f"telea/region/{pair.face}-v1")


def test_whole_faces_need_no_labels(faces: Path, tmp_path: Path) -> None:
    out, plain = tmp_path / "set", faces / "images"
    report = build_fakelocator(plain, out, generators=["nearest"], config=SMALL, only="whole")
    assert report["pictures"] == {"nearest-whole": 8, "real": 8}
    assert report["without_region"] == []
    with pytest.raises(DataError, match="no parsing labels: expected"):
        build_fakelocator(plain, tmp_path / "b", generators=["nearest"], config=SMALL)


def test_wrong_usage(faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    with pytest.raises(ConfigError, match="'telea' only fills regions: for whole pictures use"):
        build_fakelocator(faces, out, generators=["telea"], config=SMALL, only="whole")
    with pytest.raises(UnknownNameError, match="kind of fakes 'wohle'; did you mean 'whole'"):
        build_fakelocator(faces, out, generators=["telea"], only="wohle")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="variants must be at least 1, got 0"):
        build_fakelocator(faces, out, generators=["telea"], variants=0)
    assert not out.exists()


def test_what_is_not_there_is_named(built: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="generator of this set 'nearst'; did you mean 'nea"):
        load_pairs(built, split="train", generators=["nearst"])
    with pytest.raises(UnknownNameError, match="unknown split 'val'; did you mean 'valid'"):
        load_pairs(built, split="val")
    with pytest.raises(UnknownNameError, match="collection of faces 'ffhq'; known: celebahq"):
        load_reals(built, faces="ffhq")
    with pytest.raises(UnknownNameError, match="variant of the fakes 'regions'; did you mean 're"):
        load_pairs(built, split="train", variant="regions")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="telea has no whole pictures in train: choose another"):
        load_pairs(built, split="train", generators=["telea"], variant="whole")
    with pytest.raises(DataError, match="no such folder: .*nowhere: give the folder that holds"):
        load_pairs(tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no set of the layout FACES/real/SPLIT"):
        check(tmp_path)


def test_a_check_names_what_is_missing(faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    build_fakelocator(faces, out, generators=["telea"], config=SMALL)
    report = check(out, hashes=True)
    assert report.complete
    assert sum(group.images for group in report.groups) == 16
    assert report.groups[0].path == "celebahq/real"
    pair = load_pairs(out, split="train")[0]
    assert pair.real is not None
    assert pair.fake is not None
    other = out / "celebahq/fake/telea/region/test" / pair.fake.name
    other.parent.mkdir(exist_ok=True)
    pair.fake.rename(other)
    pair.real.write_bytes(b"changed")
    missing = "\n".join(check(out, hashes=True).missing)
    assert "1 files of the manifest (celebahq/fake/telea/region/train/" in missing
    assert "1 files as the manifest has them (celebahq/real/train/" in missing
    assert (
        f"1 files in the manifest (first: celebahq/fake/telea/region/test/{other.name})" in missing
    )
    with pytest.raises(DataError, match=r"1 files of the manifest are missing \(first: .*: give"):
        load_pairs(out, split="train")
    manifest = out / "manifest.jsonl"
    kept = [line for line in manifest.read_text().splitlines() if '"kind": "real"' not in line]
    manifest.write_text("\n".join(kept) + "\n")
    assert any("the real picture of celebahq/fake/telea" in line for line in check(out).missing)
    assert dolos.check(out).groups[0].path == "celebahq/real"
    assert read_image(other).size == (48, 48)
