import numpy as np
import pytest

from tamperscope.errors import DataError, UnknownNameError
from tamperscope.face_parsing.parser import parse_face
from tamperscope.face_parsing.parts import (
    DEFAULT_REGIONS,
    NUMBERINGS,
    PARTS,
    REGIONS,
    parse_region,
    present,
    renumber,
)


def test_numbers_are_those_of_celebamask_hq() -> None:
    wanted = {"background": 0, "skin": 1, "nose": 2, "eye_g": 3, "l_eye": 4, "r_eye": 5}
    wanted |= {"l_brow": 6, "mouth": 10, "u_lip": 11, "hair": 13, "ear_r": 15, "cloth": 18}
    assert {name: PARTS.index(name) for name in wanted} == wanted
    assert len(PARTS) == 19


def test_every_region_is_made_of_parts() -> None:
    for name in (*REGIONS, *PARTS[1:], *DEFAULT_REGIONS):
        assert set(parse_region(name).parts) <= set(PARTS[1:])
    assert all(sorted(names) == sorted(PARTS) for names in NUMBERINGS.values())


def test_unions_and_single_parts() -> None:
    assert parse_region("eyes + Brows").name == "eyes+brows"
    assert parse_region("eyes+brows").parts == ("l_eye", "r_eye", "l_brow", "r_brow")
    assert parse_region("l_eye").parts == ("l_eye",)
    assert parse_region("mouth").parts == ("mouth", "u_lip", "l_lip")
    with pytest.raises(UnknownNameError, match="face region 'hairs'; did you mean 'hair'"):
        parse_region("eyes+hairs")
    with pytest.raises(UnknownNameError, match="face region 'background'"):
        parse_region("background")


def test_the_mask_of_a_region() -> None:
    labels = np.array([[0, 4], [5, 1]], np.uint8)
    eyes = parse_region("eyes+nose")
    assert eyes.mask(labels).tolist() == [[False, True], [True, False]]
    assert eyes.parts_in(labels) == ["l_eye", "r_eye"]
    assert present(labels, [eyes, parse_region("hair"), parse_region("skin")], 1) == [
        eyes,
        parse_region("skin"),
    ]
    assert present(labels, [eyes], 3) == []


def test_another_numbering() -> None:
    labels = np.array([[0, 1, 10, 17, 18]], np.uint8)
    assert [PARTS[i] for i in renumber(labels, "bisenet", what="a.png")[0]] == [
        "background",
        "skin",
        "nose",
        "hair",
        "hat",
    ]
    with pytest.raises(UnknownNameError, match="label numbering 'bise'; did you mean 'bisenet'"):
        renumber(labels, "bise", what="a.png")
    with pytest.raises(DataError, match=r"a.png: label 19 is none of the 19 parts .*: give maps"):
        renumber(labels + 1, "celebamask", what="a.png")


def test_what_a_parser_gives_is_checked() -> None:
    pixels = np.zeros((4, 6, 3), np.uint8)
    assert parse_face(lambda p: np.ones(p.shape[:2], np.int64), pixels, what="a").dtype == np.uint8
    with pytest.raises(DataError, match=r"a: the face parser gave float64 \(4, 6\): it must give"):
        parse_face(lambda p: np.ones(p.shape[:2]), pixels, what="a")  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"int64 \(6, 4\): it must give integers of shape \(4, 6\)"):
        parse_face(lambda _: np.ones((6, 4), np.int64), pixels, what="a")  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"labels from -1 to -1: they must be in 0..255"):
        parse_face(lambda p: np.full(p.shape[:2], -1), pixels, what="a")  # type: ignore[arg-type]
