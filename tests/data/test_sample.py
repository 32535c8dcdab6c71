from collections import Counter
from dataclasses import replace
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


def faces(generators: int, count: int) -> Dataset:
    """Every generator changed every face; ids sort by generator, as the sets' do."""
    return dataset(
        *(
            replace(forged(f"g{g}/{f:03}"), kind=f"g{g}", source=f"{f:03}")
            for g in range(generators)
            for f in range(count)
        )
    )


@pytest.mark.parametrize("count", [6, 30, 31, 50])
def test_a_limit_takes_every_face_once_before_any_twice(count: int) -> None:
    made = faces(5, 31).spread(count)
    assert len(made.samples) == count
    times = Counter(sample.source for sample in made.samples)
    assert made.forged_sources == min(count, 31)
    assert max(times.values()) - min(times.values()) <= 1
    kinds = Counter(sample.kind for sample in made.samples)
    assert max(kinds.values()) - min(kinds.values()) <= (1 if count <= 31 else 2)
    assert made.notes["subset"] == (
        f"evenly spaced: {count} of 155 forged, 0 of 0 authentic; "
        f"the forged ones of {min(count, 31)} sources"
    )


def test_sources_of_different_sizes_are_used_up() -> None:
    some = dataset(
        *(replace(forged(f"a{i}"), source="a") for i in range(5)),
        replace(forged("b0"), source="b"),
        replace(forged("c0"), source="c"),
        forged("d0"),
    )
    assert [s.id for s in some.spread(4).samples] == ["a0", "b0", "c0", "d0"]
    assert {"b0", "c0", "d0"} < {s.id for s in some.spread(6).samples}
    assert some.spread(8).samples == some.samples


def test_pictures_that_stand_for_themselves_are_chosen_as_ever() -> None:
    plain = dataset(*(forged(f"{i}") for i in range(10)))
    named = dataset(*(replace(s, source=s.id) for s in plain.samples))
    assert [s.id for s in named.spread(3).samples] == [s.id for s in plain.spread(3).samples]
    assert "sources" not in str(named.spread(3).notes)


def test_only_names_what_is_missing() -> None:
    some = dataset(forged("a"), forged("b"))
    assert [s.id for s in some.only(["b"]).samples] == ["b"]
    with pytest.raises(DataError, match=r"2 listed ids are not in the set \(first: 'y'\)"):
        some.only(["a", "z", "y"])
