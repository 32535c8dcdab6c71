"""The pictures of a FakeLocator study: pairs of a built set, and faces of a generator that none of
the localizers was trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tamperscope.bench.fakelocator_cells import PictureSet
from tamperscope.bench.fakelocator_study import VARIANTS, Study
from tamperscope.data.datasets.gan_faces import load_gan_faces
from tamperscope.data.faces.pairs import load_pairs, load_reals
from tamperscope.data.pair import FacePair
from tamperscope.errors import DataError
from tamperscope.perturb import parse
from tamperscope.provenance import JSON

UNSEEN = "stylegan2"
"""The column of the generator that none of the localizers was trained on."""

Place = tuple[str, str]
"""(generator, variant); the unseen generator has the variant "whole"."""


@dataclass(frozen=True, kw_only=True)
class StudySets:
    """The test pictures.

    Attributes:
        fakes: by generator and variant; a variant that was not built is not there.
        reals: of the built set.
        unseen: fakes and real pictures of the unseen generator, recompressed alike, or None.
    """

    fakes: dict[Place, PictureSet]
    reals: PictureSet
    unseen: tuple[PictureSet, PictureSet] | None

    @property
    def places(self) -> list[Place]:
        """All of them, the unseen generator last."""
        return [*self.fakes, *([(UNSEEN, "whole")] if self.unseen else [])]

    def at(self, place: Place) -> tuple[PictureSet, PictureSet]:
        """The fakes of a place, and the real pictures they are told from."""
        if place[0] == UNSEEN and self.unseen is not None:
            return self.unseen
        return self.fakes[place], self.reals

    def describe(self) -> dict[str, JSON]:
        """Counts and hashes."""
        named = {f"{g}/{variant}": s for (g, variant), s in self.fakes.items()}
        named["real"] = self.reals
        if self.unseen:
            named |= {f"{UNSEEN}/fake": self.unseen[0], f"{UNSEEN}/real": self.unseen[1]}
        return {
            name: {"pictures": len(s.pairs), "sha256": s.sha256, "condition": s.condition.name}
            for name, s in named.items()
        }


def read_sets(study: Study, root: Path, unseen: Path | None) -> StudySets:
    """The pictures of a study, at most ``study.limit`` of each set.

    Args:
        root: a built set of pairs.
        unseen: a folder with ``fake/`` and ``real/``, or None.

    Raises:
        DataError: no such set, or a generator without any pictures in it.
        UnknownNameError: a face collection, split or generator that the set does not have.
    """
    found = pairs_by_place(root, study, study.split)
    fakes = {
        place: PictureSet.of(
            spread(pairs, study.limit),
            features=place[1] == study.variant or (place[0], study.variant) not in found,
        )
        for place, pairs in found.items()
    }
    reals = load_reals(root, faces=study.faces, split=study.split)
    return StudySets(
        fakes=fakes,
        reals=PictureSet.of(spread(reals, study.limit), features=True),
        unseen=None if unseen is None else _read_unseen(unseen, study),
    )


def pairs_by_place(root: Path, study: Study, split: str) -> dict[Place, list[FacePair]]:
    """The pairs of a split, generators in the study's order; variants that were not built lack.

    Raises:
        DataError, UnknownNameError: as `read_sets`.
    """
    chosen = list(study.generators)
    found = load_pairs(root, faces=study.faces, split=split, generators=chosen)
    places = [(generator, variant) for generator in chosen for variant in VARIANTS]
    groups: dict[Place, list[FacePair]] = {place: [] for place in places}
    for pair in found:
        groups[pair.generator or "", pair.variant].append(pair)
    return {place: pairs for place, pairs in groups.items() if pairs}


def spread(pairs: Sequence[FacePair], limit: int | None) -> list[FacePair]:
    """At most ``limit`` of them, evenly spaced."""
    if limit is None or len(pairs) <= limit:
        return list(pairs)
    return [pairs[(2 * i + 1) * len(pairs) // (2 * limit)] for i in range(limit)]


def _read_unseen(folder: Path, study: Study) -> tuple[PictureSet, PictureSet]:
    pairs = load_gan_faces(folder, pairing="none")
    condition = parse(f"jpeg:{study.jpeg_quality}")
    sides = []
    for fake in (True, False):
        side = [pair for pair in pairs if pair.is_fake is fake]
        if not side:
            what = "fake/" if fake else "real/"
            raise DataError(f"{folder}: no pictures in {what}: both fake/ and real/ are needed")
        chosen = PictureSet.of(spread(side, study.limit), features=True)
        sides.append(chosen.under(condition))
    return sides[0], sides[1]
