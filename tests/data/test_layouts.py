"""Every set is read in its own layout: right pairs, right colours, right labels."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from data import layouts
from tamperscope.data import (
    DATASETS,
    Sample,
    fingerprint,
    load,
    read_dataset,
    read_manifest,
    write_manifest,
)
from tamperscope.data.datasets import dataset_card
from tamperscope.errors import ConfigError, DataError, UnknownNameError
from tamperscope.image import read_image


def assert_right(sample: Sample) -> None:
    """The truth is the region of the picture that is there, and only forged ones have one."""
    number = layouts.number_of(read_image(sample.image_path).pixels)
    truth = sample.truth()
    if sample.label == "authentic":
        assert truth is None
    else:
        assert truth is not None
        assert truth.tolist() == layouts.region(number).tolist()


@pytest.mark.parametrize("name", sorted(layouts.COUNTS))
def test_the_set_is_read_in_its_own_layout(name: str, tmp_path: Path) -> None:
    build, forged, clean = layouts.COUNTS[name]
    build(tmp_path)
    samples = load(name, tmp_path)
    assert [s.label for s in samples] == ["forged"] * forged + ["authentic"] * clean
    for sample in samples:
        assert_right(sample)
    assert len({s.id for s in samples}) == len(samples)
    assert read_dataset(name, tmp_path).name == name


@pytest.mark.parametrize("name", sorted(layouts.COUNTS))
def test_an_orphan_is_refused_or_counted(name: str, tmp_path: Path) -> None:
    build, forged, clean = layouts.COUNTS[name]
    build(tmp_path)
    victim = load(name, tmp_path)[0]
    assert victim.mask_path is not None
    for path in (victim.mask_path, *victim.further_masks):
        path.unlink()
    if forged == 1:
        with pytest.raises(DataError, match="masks missing"):
            load(name, tmp_path)
        return
    with pytest.raises(DataError, match=r"missing .*: (pairs are made by|restore them|.*or give)"):
        load(name, tmp_path)
    kept = read_dataset(name, tmp_path, skip_orphans=True)
    assert victim.id not in {s.id for s in kept.samples}
    lost = 2 if name == "autosplice" and "7_" in victim.id else 1
    assert len(kept.samples) == forged + clean - lost
    assert kept.notes["orphans"] == lost


@pytest.mark.parametrize("name", sorted(layouts.COUNTS))
def test_a_manifest_keeps_everything(name: str, tmp_path: Path) -> None:
    layouts.COUNTS[name][0](tmp_path)
    whole = read_dataset(name, tmp_path)
    write_manifest(whole, tmp_path / "manifest.json")
    assert read_manifest(tmp_path, check_hashes=True).samples == whole.samples
    assert fingerprint(read_dataset("manifest", tmp_path)) == fingerprint(whole)


@pytest.mark.parametrize("name", sorted(layouts.COUNTS))
def test_an_empty_folder_gets_the_layout(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected |holds no set of the layout"):
        load(name, tmp_path)


def test_kinds(tmp_path: Path) -> None:
    expected = {
        "casia1": {"copymove", "splice"},
        "casia2": {"copymove", "splice"},
        "columbia": {"splice"},
        "coverage": {"copymove"},
        "nist16": {"removal", "splice"},
        "tampcoco": {"copymove", "splice"},
        "cocoglide": {"inpainting"},
    }
    for name, kinds in expected.items():
        layouts.COUNTS[name][0](tmp_path / name)
        samples = load(name, tmp_path / name)
        assert {s.kind for s in samples if s.label == "forged"} == kinds


def test_the_one_casia_picture_without_mask(tmp_path: Path) -> None:
    layouts.casia1(tmp_path)
    name = "Sp_D_NRN_A_cha0011_sec0011_0542"
    assert f"Tp/Sp/{name}" not in {s.id for s in load("casia1", tmp_path)}
    layouts.mask(tmp_path / "CASIA 1.0 groundtruth/Sp" / f"{name}_gt.png", 5)
    assert f"Tp/Sp/{name}" in {s.id for s in load("casia1", tmp_path)}


def test_nist16_by_a_list_and_in_sorted_folders(tmp_path: Path) -> None:
    layouts.nist16(tmp_path)
    listed = tmp_path / "NIST16_fake.txt"
    listed.write_text("probe/NC2016_7691.jpg,reference/manipulation/mask/NC2016_2490.png\n")
    (one,) = load("nist16", tmp_path, list=listed)
    assert one.id == "probe/NC2016_7691"
    assert_right(one)
    layouts.picture(tmp_path / "sorted/image/x.jpg", 3)
    layouts.mask(tmp_path / "sorted/mask/x_gt.png", 3)
    assert_right(load("nist16", tmp_path / "sorted")[0])
    table = tmp_path / "NC2016_Test0613/reference/manipulation/NC2016-manipulation-ref.csv"
    table.write_text("ProbeFileName|IsTarget\n")
    with pytest.raises(DataError, match="no column ProbeMaskFileName: get the table again"):
        load("nist16", tmp_path)


def test_misd_with_one_mask_per_picture(tmp_path: Path) -> None:
    layouts.picture(tmp_path / "Sp/a.png", 1)
    layouts.mask(tmp_path / "Ground Truth Masks/a_gt.png", 1)
    assert_right(load("misd", tmp_path)[0])


def test_masks_of_one_picture_must_agree_in_size(tmp_path: Path) -> None:
    layouts.misd(tmp_path)
    (sample,) = (s for s in load("misd", tmp_path) if s.label == "forged")
    PILImage.fromarray(np.zeros((8, 8), np.uint8)).save(sample.further_masks[0])
    with pytest.raises(DataError, match=r"differ in size: \(16, 24\) and \(8, 8\) \(rows, columns"):
        sample.truth()


def test_autosplice_in_another_quality(tmp_path: Path) -> None:
    layouts.autosplice(tmp_path)
    assert {s.id for s in load("autosplice", tmp_path, quality=75)} >= {"Forged_JPEG75/7_1"}
    with pytest.raises(ConfigError, match="quality 80 must be one of 100, 90, 75"):
        load("autosplice", tmp_path, quality=80)


def test_korus_grey_can_count_as_untouched(tmp_path: Path) -> None:
    layouts.korus(tmp_path)
    path = tmp_path / "Sony_A57/ground-truth/DSC01535.PNG"
    layouts.save(path, layouts.coded(layouts.region(0), "forged-nonzero") // 2)
    ids = {s.id: s for s in load("korus", tmp_path, polarity="forged-white")}
    truth = ids["Sony_A57/tampered/DSC01535"].truth()
    assert truth is not None
    assert not truth.any()


def test_tampcoco_of_a_split(tmp_path: Path) -> None:
    layouts.tampcoco(tmp_path)
    (tmp_path / "lists").mkdir()
    (tmp_path / "cm_COCO_list.txt").rename(tmp_path / "lists/cm_COCO_valid_list.txt")
    (one,) = load("tampcoco", tmp_path, lists=tmp_path / "lists", split="valid")
    assert one.kind == "copymove"
    with pytest.raises(UnknownNameError, match="unknown split 'val'; did you mean 'valid'"):
        load("tampcoco", tmp_path, split="val")
    with pytest.raises(DataError, match="no pictures of a list PART_COCO_test_list.txt: expected"):
        load("tampcoco", tmp_path, split="test")


def test_names_of_another_form(tmp_path: Path) -> None:
    layouts.cocoglide(tmp_path)
    layouts.picture(tmp_path / "fake/extra.png", 0)
    with pytest.raises(DataError, match=r"extra.png: not named like the set's files: expected"):
        load("cocoglide", tmp_path)
    (tmp_path / "fake/extra.png").unlink()
    layouts.mask(tmp_path / "mask/cow_114871_mask.png", 0)
    with pytest.raises(DataError, match="have one number"):
        load("cocoglide", tmp_path)


def test_unknown_names_and_options(tmp_path: Path) -> None:
    with pytest.raises(
        UnknownNameError, match="unknown dataset 'coverge'; did you mean 'coverage'"
    ):
        load("coverge", tmp_path)
    with pytest.raises(UnknownNameError, match="option of coverage 'polarty'; did you mean 'pol"):
        load("coverage", tmp_path, polarty="forged-black")
    with pytest.raises(UnknownNameError, match="unknown dataset 'dso'"):
        dataset_card("dso")


def test_a_coding_that_is_none(tmp_path: Path) -> None:
    layouts.folder(tmp_path)
    sample = load("folder", tmp_path, polarity="forged-blue")[0]
    with pytest.raises(ConfigError, match="mask coding 'forged-blue' must be one of: forged-white"):
        sample.truth()


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_cards_say_enough(name: str) -> None:
    card = DATASETS[name]
    assert card.name == name
    assert card.title
    assert card.summary
    assert card.terms
    assert card.layouts
    if card.paper:
        assert card.source or name == "imdlbenco"
    assert all(count.who for count in card.counts)
    assert card.to_dict()["options"] == dict(card.options)
