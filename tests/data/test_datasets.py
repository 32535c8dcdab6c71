from collections.abc import Callable
from pathlib import Path

import pytest

from tamperscope.data import read_dataset, write_manifest
from tamperscope.data.datasets.authentic import read_authentic, read_objects
from tamperscope.data.datasets.casia1 import kind_from_name, read_casia1
from tamperscope.data.datasets.folder import read_folder
from tamperscope.data.datasets.imd2020 import read_imd2020
from tamperscope.data.datasets.synthesized import read_synthesized
from tamperscope.errors import DataError, UnknownNameError

Writer = Callable[..., Path]


def test_casia_pairs_by_name_and_counts_the_unlisted(casia: Path) -> None:
    data = read_casia1(casia)
    assert [(s.id, s.kind) for s in data.forged] == [
        ("Sp/Sp_D_a", "splice"),
        ("Sp/Sp_S_b", "copymove"),
    ]
    assert all(s.mask_path and s.mask_path.stem == s.image_path.stem for s in data.forged)
    assert [s.id for s in data.authentic] == ["Au/Au_ani_0001", "Au/Au_ani_0002"]
    assert data.notes["unlisted"] == 1


def test_casia_without_a_table_needs_every_mask(casia: Path) -> None:
    (casia / "pairs.csv").unlink()
    with pytest.raises(DataError, match=r"1 masks missing \(Sp_D_unlisted\): pairs are made by"):
        read_casia1(casia)
    (casia / "Sp" / "Sp_D_unlisted.jpg").unlink()
    assert [s.kind for s in read_casia1(casia).forged] == [None, None]


def test_casia_names_a_missing_picture_and_a_bad_table(casia: Path) -> None:
    (casia / "Sp" / "Sp_D_a.jpg").unlink()
    with pytest.raises(DataError, match=r"1 tampered pictures missing \(Sp_D_a\)"):
        read_casia1(casia)
    (casia / "pairs.csv").write_text("image,kind\nSp_S_b,warp\n")
    with pytest.raises(DataError, match="unknown kind 'warp': use splice or copymove"):
        read_casia1(casia)
    (casia / "pairs.csv").write_text("image\nSp_S_b\n")
    with pytest.raises(DataError, match="no column kind: add it"):
        read_casia1(casia)


@pytest.mark.parametrize(
    ("stem", "kind"),
    [
        ("Sp_D_CND_A_pla0005_pla0023_0281", "splice"),
        ("Sp_S_NNN_A_cha0052_cha0052_0309", "copymove"),
        # the leading D (two sources) contradicts the names, which agree
        ("Sp_D_NND_A_nat0054_nat0054_0189", "copymove"),
        ("Sp_S_NRD_A_ani0040_ani0054.0257", "splice"),
        ("holiday", None),
    ],
)
def test_kind_from_a_casia_name(stem: str, kind: str | None) -> None:
    assert kind_from_name(stem) == kind


def test_imd2020_understands_both_mask_names(tmp_path: Path, picture: Writer) -> None:
    for stem, mask in [("a", "a"), ("b_0", "b_0_mask")]:
        picture(tmp_path / "image" / f"{stem}.jpg")
        picture(tmp_path / "mask" / f"{mask}.png")
    data = read_imd2020(tmp_path)
    assert [(s.id, s.mask_path and s.mask_path.name) for s in data.samples] == [
        ("a", "a.png"),
        ("b_0", "b_0_mask.png"),
    ]
    picture(tmp_path / "mask" / "c.png")
    with pytest.raises(DataError, match=r"1 pictures missing \(c\)"):
        read_imd2020(tmp_path)


def test_a_missing_pair_is_named_where_positions_would_have_paired_anything(
    tmp_path: Path, picture: Writer
) -> None:
    for stem in "abcde":
        picture(tmp_path / "images" / f"{stem}.jpg")
    for stem in "vwxyz":
        picture(tmp_path / "masks" / f"{stem}.png")
    with pytest.raises(DataError, match=r"masks: 5 masks missing \(a, b, c, \.\.\.\)"):
        read_folder(tmp_path)


def test_folder_with_authentic_pictures(tmp_path: Path, picture: Writer) -> None:
    picture(tmp_path / "images" / "a.jpg")
    picture(tmp_path / "masks" / "a.png")
    picture(tmp_path / "authentic" / "a.jpg")
    (tmp_path / "images" / "notes.txt").write_text("not a picture")
    data = read_folder(tmp_path, polarity="forged-black")
    assert [s.id for s in data.samples] == ["images/a", "authentic/a"]
    assert data.polarity == "forged-black"


def test_two_files_of_one_stem_are_ambiguous(tmp_path: Path, picture: Writer) -> None:
    picture(tmp_path / "a.jpg")
    picture(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.jpg and a\.png have the same stem: rename one"):
        read_authentic(tmp_path)


def test_authentic_reads_a_plain_folder_or_images(tmp_path: Path, picture: Writer) -> None:
    picture(tmp_path / "plain" / "a.jpg")
    picture(tmp_path / "nested" / "images" / "b.jpg")
    assert [s.id for s in read_authentic(tmp_path / "plain").authentic] == ["a"]
    assert [s.id for s in read_authentic(tmp_path / "nested").authentic] == ["b"]


def test_objects_are_not_forgeries(tmp_path: Path, picture: Writer) -> None:
    picture(tmp_path / "images" / "a.jpg")
    picture(tmp_path / "masks" / "a.png")
    picture(tmp_path / "masks" / "held_back.png")
    (sample,) = read_objects(tmp_path).samples
    assert sample.label == "authentic"
    assert sample.mask_path is None
    assert sample.object_mask_path == tmp_path / "masks" / "a.png"
    picture(tmp_path / "images" / "b.jpg")
    with pytest.raises(DataError, match=r"1 object masks missing \(b\)"):
        read_objects(tmp_path)


def test_synthesized_rows_and_untouched_pictures(tmp_path: Path, picture: Writer) -> None:
    rows = [("0000000", "removal"), ("0000001", "pristine")]
    for stem, _ in rows:
        picture(tmp_path / "images" / f"{stem}.png")
        picture(tmp_path / "masks" / f"{stem}.png")
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text(
        "".join(
            f'{{"image": "images/{s}.png", "mask": "masks/{s}.png", "kind": "{k}"}}\n'
            for s, k in rows
        )
    )
    data = read_synthesized(tmp_path)
    assert [(s.id, s.kind) for s in data.forged] == [("0000000", "removal")]
    assert [(s.id, s.mask_path) for s in data.authentic] == [("0000001", None)]
    (tmp_path / "masks" / "0000000.png").unlink()
    with pytest.raises(DataError, match=r"1 listed files are missing \(first: 0000000.png\)"):
        read_synthesized(tmp_path)
    manifest.write_text("{}\n")
    with pytest.raises(DataError, match="line 1 has no image, mask and kind: write the set again"):
        read_synthesized(tmp_path)
    manifest.unlink()
    with pytest.raises(DataError, match=r"cannot be read .*: finish writing the set first"):
        read_synthesized(tmp_path)


@pytest.mark.parametrize("name", ["casia1", "imd2020", "folder", "objects"])
def test_every_reader_says_what_layout_it_expects(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no folder .*: expected .*/ \("):
        read_dataset(name, tmp_path)


def test_read_dataset_by_name(casia: Path) -> None:
    assert read_dataset("casia1", casia) == read_casia1(casia)
    write_manifest(read_casia1(casia), casia / "manifest.json")
    assert read_dataset("manifest", casia).samples == read_casia1(casia).samples
    with pytest.raises(UnknownNameError, match="unknown dataset 'casia_1'; did you mean 'casia1'"):
        read_dataset("casia_1", casia)
    with pytest.raises(DataError, match=r"no such folder: .*: give the folder that holds"):
        read_dataset("casia1", casia / "nowhere")
