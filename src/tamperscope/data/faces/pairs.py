"""Pairs of a real face and the fake made from it, as `tamperscope data build fakelocator` writes.

::

    ROOT/FACES/real/{train,valid,test}/ID.png
    ROOT/FACES/fake/GENERATOR/region/{train,valid,test}/ID.png   a region is regenerated
    ROOT/FACES/fake/GENERATOR/whole/{train,valid,test}/ID.png    everything is
    ROOT/manifest.jsonl   a line per picture: face, generator, parts, seed, sha256
    ROOT/build.json       the settings

There are no masks: the grey-scale fakeness map of a pair is computed from its two pictures.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, get_args

from tamperscope.data.datasets._checking import (
    CheckReport,
    Group,
    against_manifest,
    folders,
    in_two_splits,
    pictures_in,
)
from tamperscope.data.faces import output
from tamperscope.data.faces.layout import FAKELOCATOR
from tamperscope.data.faces.splits import SPLITS
from tamperscope.data.pair import FacePair, PairVariant, read_pair
from tamperscope.errors import DataError, unknown
from tamperscope.face_parsing.parts import parse_region

Variants = Literal["whole", "region", "both"]
VARIANTS: tuple[Variants, ...] = get_args(Variants)

_LAYOUT = "FACES/real/SPLIT and FACES/fake/GENERATOR/{whole,region}/SPLIT with manifest.jsonl"
_COMMAND = FAKELOCATOR.command
_VARIANT_OF: dict[str, PairVariant] = {"fake": "region", "whole": "whole"}

__all__ = [
    "VARIANTS",
    "FacePair",
    "Variants",
    "check",
    "load_pairs",
    "load_reals",
    "read_pair",
    "split_by_regions",
]


def load_pairs(
    root: str | Path,
    *,
    faces: str = "celebahq",
    split: str = "test",
    generators: Sequence[str] | None = None,
    variant: Variants = "both",
) -> list[FacePair]:
    """The fakes of a built set with their real pictures, ordered by generator, variant and name.

    Args:
        root: folder of the set.
        faces: the collection, a folder of ``root``.
        split: train, valid or test.
        generators: folders of ``root/FACES/fake``; all of them by default.
        variant: whole pictures, regions or both.

    Returns:
        At least one pair for each generator; ``id`` is ``GENERATOR/VARIANT/NAME``, ``face`` the
        name of the real face.

    Raises:
        UnknownNameError: no such collection, generator, split or variant.
        DataError: no set of this layout, a generator without pictures of the variant, or files of
            the manifest that are gone.
    """
    base = Path(root)
    rows = [row for row in _rows(base, faces, split) if row["kind"] in _VARIANT_OF]
    if variant not in VARIANTS:
        raise unknown("variant of the fakes", variant, VARIANTS)
    there = sorted({row["generator"] for row in rows})
    chosen = list(there if generators is None else dict.fromkeys(generators))
    for generator in chosen:
        if generator not in there:
            raise unknown("generator of this set", generator, there)
    pairs = [
        _fake(base, faces, row)
        for row in rows
        if row["generator"] in chosen and variant in ("both", _VARIANT_OF[row["kind"]])
    ]
    for generator in chosen if generators is not None else ():
        if not any(pair.generator == generator for pair in pairs):
            raise DataError(
                f"{base}: {generator} has no {variant} pictures in {split}: choose another "
                "variant, or build them"
            )
    if not pairs:
        raise DataError(f"{base}: no {variant} fakes in {split}: choose another, or build them")
    _need_files(base, (path for p in pairs for path in (p.real, p.fake) if path is not None))
    return sorted(pairs, key=lambda pair: pair.id)


def load_reals(root: str | Path, *, faces: str = "celebahq", split: str = "test") -> list[FacePair]:
    """The real faces of a built set, in order of their names; ``fake`` is None.

    Arguments and errors as for `load_pairs`.
    """
    base = Path(root)
    reals = [
        FacePair(id=f"real/{row['id']}", face=row["face"], real=base / row["image"])
        for row in _rows(base, faces, split)
        if row["kind"] == "real"
    ]
    if not reals:
        raise DataError(f"{base}: no real faces in {split}: choose another split, or build more")
    _need_files(base, (pair.image for pair in reals))
    return sorted(reals, key=lambda pair: pair.id)


def split_by_regions(
    pairs: Iterable[FacePair], regions: Sequence[str]
) -> tuple[list[FacePair], list[FacePair]]:
    """The pictures changed in nothing but these regions of the face, and those changed in others
    only.

    Pictures changed in both kinds of region are in neither, and so are those whose parts are not
    known.

    Args:
        regions: as for `tamperscope.face_parsing.parts.parse_region`.

    Raises:
        UnknownNameError: no such region.
    """
    parts = {part for region in regions for part in parse_region(region).parts}
    known = [pair for pair in pairs if pair.parts]
    inside = [pair for pair in known if parts.issuperset(pair.parts)]
    return inside, [pair for pair in known if parts.isdisjoint(pair.parts)]


def _fake(base: Path, faces: str, row: output.Row) -> FacePair:
    variant, generator = _VARIANT_OF[row["kind"]], row["generator"]
    return FacePair(
        id=f"{generator}/{variant}/{row['id']}",
        face=row["face"],
        real=base / FAKELOCATOR.real_path(faces, row["split"], row["face"]),
        fake=base / row["image"],
        generator=generator,
        variant=variant,
        parts=tuple(row.get("parts", ())),
    )


def _rows(base: Path, faces: str, split: str) -> list[output.Row]:
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    rows = _manifest(base)
    there = {row["image"].partition("/")[0] for row in rows}
    if faces not in there:
        raise unknown("collection of faces", faces, there)
    return [row for row in rows if row["split"] == split and row["image"].startswith(f"{faces}/")]


def _need_files(base: Path, paths: Iterable[Path]) -> None:
    gone = sorted({path for path in paths if not path.is_file()})
    if gone:
        raise DataError(
            f"{base}: {len(gone)} files of the manifest are missing (first: "
            f"{gone[0].relative_to(base).as_posix()}): give the same {_COMMAND!r} again, it makes "
            "them"
        )


def _manifest(base: Path) -> list[output.Row]:
    if not base.is_dir():
        raise DataError(f"no such folder: {base}: give the folder that holds {_LAYOUT}")
    rows = list(output.read_rows(base).values())
    if not rows or not (base / output.SETTINGS).is_file():
        raise DataError(f"{base}: holds no set of the layout {_LAYOUT}: build one there")
    output.read_settings(base, FAKELOCATOR)
    return rows


# --- checking --------------------------------------------------------------------------------


def check(root: str | Path, *, hashes: bool = False) -> CheckReport:
    """What a built set holds and what it lacks.

    Looks for files of the manifest that are gone, files that are not in the manifest, fakes
    without their real picture, and faces in more than one split.

    Args:
        root: folder of the set.
        hashes: also compare the files with the sha256 of the manifest.

    Raises:
        DataError: no such folder, no set of this layout in it, or a damaged manifest.
    """
    base = Path(root)
    rows = _manifest(base)
    missing = against_manifest(base, hashes, _COMMAND)
    groups: list[Group] = []
    listed = {row["image"] for row in rows}
    for faces in folders(base):
        for path in _groups_of(base / faces):
            _check_group(base, path, listed, groups, missing)
    real = {(row["split"], row["face"]) for row in rows if row["kind"] == "real"}
    missing += [
        f"the real picture of {row['image']}"
        for row in rows
        if row["kind"] != "real" and (row["split"], row["face"]) not in real
    ]
    return CheckReport(root=str(base), groups=tuple(groups), missing=tuple(missing))


def _groups_of(collection: Path) -> list[Path]:
    fakes = collection / "fake"
    found = [fakes / name / kind for name in folders(fakes) for kind in ("region", "whole")]
    return [path for path in (collection / "real", *found) if path.is_dir()]


def _check_group(
    base: Path, path: Path, listed: set[str], groups: list[Group], missing: list[str]
) -> None:
    name = path.relative_to(base).as_posix()
    seen: dict[str, str] = {}
    for split in SPLITS:
        images = pictures_in(path / split, missing)
        if not images:
            continue
        groups.append(Group(path=name, split=split, images=len(images), masks=None))
        missing += in_two_splits(name, split, images, seen)
        files = sorted(file.relative_to(base).as_posix() for file in images.values())
        strange = [file for file in files if file not in listed]
        if strange:
            missing.append(f"{len(strange)} files in the manifest (first: {strange[0]})")
