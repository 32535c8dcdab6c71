import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tamperscope.data import fingerprint, read_manifest, write_manifest
from tamperscope.data.datasets.authentic import read_objects
from tamperscope.data.datasets.casia1 import read_casia1
from tamperscope.data.manifest import hash_file
from tamperscope.errors import DataError

Writer = Callable[..., Path]


def test_hash_is_the_sha256_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert hash_file(tmp_path / "f") == expected
    with pytest.raises(DataError, match=r"gone: cannot be read \(No such file or directory\)"):
        hash_file(tmp_path / "gone")


def test_fingerprint_follows_bytes_not_places(casia: Path, tmp_path: Path) -> None:
    before = fingerprint(read_casia1(casia))
    moved = shutil.copytree(casia, tmp_path / "elsewhere")
    assert fingerprint(read_casia1(moved)) == before
    mask = moved / "mask" / "Sp_D_a.png"
    shutil.copy(moved / "mask" / "Sp_S_b.png", mask)
    assert fingerprint(read_casia1(moved)) != before


def test_round_trip(casia: Path) -> None:
    data = read_casia1(casia)
    write_manifest(data, casia / "manifest.json")
    back = read_manifest(casia / "manifest.json", check_hashes=True)
    assert back.samples == data.samples
    assert (back.name, back.polarity, back.notes) == (data.name, data.polarity, data.notes)


def test_round_trip_keeps_object_masks(tmp_path: Path, picture: Writer) -> None:
    picture(tmp_path / "images" / "a.jpg")
    picture(tmp_path / "masks" / "a.png")
    data = read_objects(tmp_path)
    write_manifest(data, tmp_path / "manifest.json")
    assert read_manifest(tmp_path).samples == data.samples


def test_changed_and_missing_files_are_named(casia: Path, picture: Writer) -> None:
    write_manifest(read_casia1(casia), casia / "manifest.json")
    picture(casia / "mask" / "Sp_D_a.png", 7)
    assert len(read_manifest(casia).samples) == 4
    with pytest.raises(DataError, match=r"1 files differ .* \(first: mask/Sp_D_a.png\): restore"):
        read_manifest(casia, check_hashes=True)
    (casia / "Au" / "Au_ani_0001.jpg").unlink()
    with pytest.raises(DataError, match=r"1 listed files are missing \(first: .*Au_ani_0001.jpg"):
        read_manifest(casia)


def test_a_manifest_lies_above_its_files(casia: Path) -> None:
    with pytest.raises(DataError, match=r"is outside .*: write the manifest above all its files"):
        write_manifest(read_casia1(casia), casia / "Sp" / "manifest.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON: write the manifest again"),
        ("{}", "not a tamperscope-manifest file"),
        ('{"format": "tamperscope-manifest", "version": 9}', "manifest version 9, this release"),
        ('{"format": "tamperscope-manifest", "version": 1}', r"incomplete manifest \('samples'\)"),
    ],
)
def test_files_that_are_no_manifest(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read_manifest(tmp_path)


def test_an_unknown_label_is_an_error(casia: Path) -> None:
    write_manifest(read_casia1(casia), casia / "manifest.json")
    document = json.loads((casia / "manifest.json").read_text())
    document["samples"][0]["label"] = "fake"
    (casia / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match="has label 'fake': use 'forged' or 'authentic'"):
        read_manifest(casia)


def test_no_manifest_in_the_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read .*: give a manifest or its folder"):
        read_manifest(tmp_path)


def test_a_polarity_of_the_whole_set_goes_to_every_picture(tmp_path: Path, picture: Writer) -> None:
    picture(tmp_path / "a.jpg")
    picture(tmp_path / "a.png")
    document = {
        "format": "tamperscope-manifest",
        "version": 1,
        "name": "old",
        "polarity": "forged-black",
        "samples": [
            {
                "id": "a",
                "label": "forged",
                "image": {"path": "a.jpg", "sha256": ""},
                "mask": {"path": "a.png", "sha256": ""},
            }
        ],
    }
    (tmp_path / "manifest.json").write_text(json.dumps(document))
    data = read_manifest(tmp_path)
    assert data.polarity == "forged-black"
    assert data.samples[0].polarity == "forged-black"
