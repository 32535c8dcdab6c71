"""One picture of a set, and the set: what is on disk, before any pixel is read."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from tamperscope.data.masks import MaskCoding, read_truth
from tamperscope.errors import DataError
from tamperscope.image import DEFAULT_MAX_PIXELS

Label = Literal["forged", "authentic"]
Unmasked = Literal["whole", "unknown"]
Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One picture of a set.

    id: unique in its set, stable between machines (a stem, never a position).
    mask_path: the forged region of a forged picture; None for an authentic one, and where
        `unmasked` says why there is none.
    further_masks: more files whose regions are forged too (sets with a mask per object).
    polarity: how the mask files mark what is forged (see `MaskCoding`).
    unmasked: "whole" for a forged picture of which every pixel is generated, "unknown" for one
        whose region is not given.
    kind: how it was forged ("splice", "copymove", ...), None where unknown or authentic.
    object_mask_path: a salient object of an authentic picture, for content overlap only.
    source: the face, video or photo it shows, where several pictures of the set may show the same
        one: they are no independent samples. None where every picture stands for itself.

    Raises DataError when the label and the mask contradict each other.
    """

    id: str
    image_path: Path
    mask_path: Path | None
    label: Label
    kind: str | None = None
    object_mask_path: Path | None = None
    unmasked: Unmasked | None = None
    polarity: MaskCoding = "forged-white"
    further_masks: tuple[Path, ...] = ()
    source: str | None = None

    def __post_init__(self) -> None:
        if self.unmasked and (self.label != "forged" or self.mask_path is not None):
            raise DataError(
                f"picture {self.id!r} is said to be without mask ({self.unmasked}), but is "
                "authentic or has one: leave unmasked out"
            )
        if self.label == "forged" and self.mask_path is None and not self.unmasked:
            raise DataError(f"forged picture {self.id!r} has no mask: give its mask_path")
        if self.label == "authentic" and self.mask_path is not None:
            raise DataError(
                f"authentic picture {self.id!r} has a mask of a forged region: "
                "label it 'forged', or give the mask as object_mask_path"
            )

    def truth(self, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> NDArray[np.bool_] | None:
        """The forged region, (h, w) with True = forged; None where there is no mask file.

        Raises ImageError for a mask that cannot be read, DataError for masks of several sizes.
        """
        if self.mask_path is None:
            return None
        region = read_truth(self.mask_path, self.polarity, max_pixels=max_pixels)
        for path in self.further_masks:
            more = read_truth(path, self.polarity, max_pixels=max_pixels)
            if more.shape != region.shape:
                raise DataError(
                    f"masks of {self.id!r} differ in size: {region.shape} and {more.shape} (rows, "
                    f"columns) in {path.name}: replace one"
                )
            region = region | more
        return region


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A named set of samples under one root, ordered by (label, id) whatever the file system says.

    notes: counts and remarks of the reader, copied into benchmark records.

    Raises DataError for an empty set or for ids that are not unique.
    """

    name: str
    root: Path
    samples: tuple[Sample, ...]
    notes: dict[str, str | int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.samples:
            raise DataError(f"{self.root}: no pictures found for {self.name!r}: check the folder")
        ordered = tuple(sorted(self.samples, key=lambda s: (s.label != "forged", s.id)))
        object.__setattr__(self, "samples", ordered)
        ids = [sample.id for sample in ordered]
        twice = sorted({i for i, j in zip(sorted(ids), sorted(ids)[1:], strict=False) if i == j})
        if twice:
            raise DataError(
                f"{self.root}: {len(twice)} ids are not unique (first: {twice[0]!r}): "
                "give every picture its own name"
            )

    @property
    def polarity(self) -> MaskCoding | Literal["mixed"]:
        """How its mask files mark what is forged; "mixed" when they differ."""
        codings = {s.polarity for s in self.samples if s.mask_path is not None}
        return "mixed" if len(codings) > 1 else next(iter(codings), "forged-white")

    @property
    def forged(self) -> tuple[Sample, ...]:
        """Samples with a forged region, in id order."""
        return tuple(s for s in self.samples if s.label == "forged")

    @property
    def forged_sources(self) -> int:
        """How many faces, videos or photos the forged samples show: at most as many as those."""
        return len(_by_source(self.forged))

    @property
    def authentic(self) -> tuple[Sample, ...]:
        """Samples without a forged region, in id order."""
        return tuple(s for s in self.samples if s.label == "authentic")

    def first(self, count: int) -> "Dataset":
        """The first `count` forged and the first `count` authentic samples in id order."""
        return self._cut(count, lambda group: group[:count], "first")

    def spread(self, count: int) -> "Dataset":
        """At most `count` forged and `count` authentic samples, evenly spaced in id order.

        Ids often carry the kind of forgery, so the first ones of a set are rarely like the rest.
        Where pictures have their source in common (a face that several generators changed), as many
        sources as possible are taken, and their pictures in turns: intervals take pictures for
        independent.
        """
        return self._cut(count, lambda group: _spread(group, count), "evenly spaced")

    def only(self, ids: Iterable[str]) -> "Dataset":
        """The samples with these ids; DataError names the ids that are not in the set."""
        wanted = set(ids)
        missing = sorted(wanted - {s.id for s in self.samples})
        if missing:
            raise DataError(
                f"{self.name}: {len(missing)} listed ids are not in the set (first: "
                f"{missing[0]!r}): list ids as they appear in {self.root}"
            )
        kept = tuple(s for s in self.samples if s.id in wanted)
        return replace(self, samples=kept, notes={**self.notes, "subset": f"{len(kept)} listed"})

    def _cut(
        self, count: int, pick: Callable[[tuple[Sample, ...]], tuple[Sample, ...]], how: str
    ) -> "Dataset":
        if count < 1:
            raise DataError(f"a limit of {count} pictures leaves none: give 1 or more")
        forged, authentic = pick(self.forged), pick(self.authentic)
        note = (
            f"{how}: {len(forged)} of {len(self.forged)} forged, "
            f"{len(authentic)} of {len(self.authentic)} authentic"
        )
        if _shares_sources(self.forged):
            note += f"; the forged ones of {len(_by_source(forged))} sources"
        return replace(self, samples=forged + authentic, notes={**self.notes, "subset": note})


def _spread(group: Sequence[Sample], count: int) -> tuple[Sample, ...]:
    """At most ``count`` of them, evenly spaced; of as many sources as possible."""
    if len(group) <= count or not _shares_sources(group):
        return _evenly(group, count)
    chosen = _evenly(list(_by_source(group).values()), count)
    # The first source begins with its first picture, the second with its second, and so on: the
    # kinds of forgery, by which ids are sorted, take turns.
    turned = [own[place % len(own) :] + own[: place % len(own)] for place, own in enumerate(chosen)]
    picked: tuple[Sample, ...] = ()
    for turn in zip_longest(*turned):
        there = (sample for sample in turn if sample is not None)
        picked += _evenly(sorted(there, key=lambda sample: sample.id), count - len(picked))
    return picked


def _evenly(items: Sequence[Item], count: int) -> tuple[Item, ...]:
    if len(items) <= count:
        return tuple(items)
    return tuple(items[(2 * i + 1) * len(items) // (2 * count)] for i in range(count))


def _by_source(group: Iterable[Sample]) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = {}
    for sample in group:
        found.setdefault(sample.id if sample.source is None else sample.source, []).append(sample)
    return found


def _shares_sources(group: Sequence[Sample]) -> bool:
    return len(_by_source(group)) < len(group)
