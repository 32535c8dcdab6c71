from pathlib import Path

import pytest

from tamperscope.data import Dataset, Sample
from tamperscope.errors import DataError


def forged(name: str) -> Sample:
    return Sample(id=name, image_path=Path(name), mask_path=Path("m"), label="forged")


def authentic(name: str) -> Sample:
    return Sample(id=name, image_path=Path(name), mask_path=None, label="authentic")


def dataset(*samples: Sample) -> Dataset:
    return Dataset(name="tiny", root=Path("root"), samples=samples)


def test_a_forged_picture_needs_a_mask() -> None:
    with pytest.raises(DataError, match=r"'a' has no mask: give its mask_path"):
        Sample(id="a", image_path=Path("a"), mask_path=None, label="forged")


def test_an_authentic_picture_has_no_forged_region() -> None:
    with pytest.raises(DataError, match=r"'a' has a mask of a forged region: label it 'forged'"):
        Sample(id="a", image_path=Path("a"), mask_path=Path("m"), label="authentic")


def test_order_does_not_depend_on_the_order_given() -> None:
    some = dataset(authentic("b"), forged("z"), authentic("a"), forged("c"))
    assert [s.id for s in some.samples] == ["c", "z", "a", "b"]
    assert [s.id for s in some.forged] == ["c", "z"]
    assert [s.id for s in some.authentic] == ["a", "b"]


def test_empty_and_repeated_ids_are_errors() -> None:
    with pytest.raises(DataError, match="no pictures found for 'tiny': check the folder"):
        dataset()
    with pytest.raises(DataError, match=r"1 ids are not unique \(first: 'a'\)"):
        dataset(forged("a"), authentic("a"))


def test_first_and_spread() -> None:
    some = dataset(*(forged(f"{i}") for i in range(10)), authentic("x"))
    assert [s.id for s in some.first(2).samples] == ["0", "1", "x"]
    assert [s.id for s in some.spread(2).samples] == ["2", "7", "x"]
    assert some.spread(2).notes["subset"] == "evenly spaced: 2 of 10 forged, 1 of 1 authentic"
    assert some.spread(10).samples == some.samples
    with pytest.raises(DataError, match="a limit of 0 pictures leaves none: give 1 or more"):
        some.spread(0)


def test_only_names_what_is_missing() -> None:
    some = dataset(forged("a"), forged("b"))
    assert [s.id for s in some.only(["b"]).samples] == ["b"]
    with pytest.raises(DataError, match=r"2 listed ids are not in the set \(first: 'y'\)"):
        some.only(["a", "z", "y"])
