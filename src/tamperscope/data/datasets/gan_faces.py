"""Faces that GANs edited or made, in plain folders: StarGAN, AttGAN, STGAN, IcGAN, PGGAN, StyleGAN.

::

    ROOT/real/**/NAME.png                    untouched faces; may lie elsewhere, or be missing
    ROOT/GENERATOR/**/NAME.png               or below ROOT/fake/
    ROOT/GENERATOR/ATTRIBUTE/NAME.png        such as stargan/Black_Hair/000001.png
    ROOT/GENERATOR/**/NAME_ATTRIBUTE.png     or ATTRIBUTE_NAME.png

A fake goes with the real face whose name it has, alone or beside an attribute. Every pixel of it
went through a generator, whatever the attribute.
"""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

from tamperscope.data.datasets._checking import folders
from tamperscope.data.datasets._faces import (
    as_dataset,
    checked,
    has_pictures,
    one_of,
    pictures_below,
)
from tamperscope.data.datasets._files import Orphan, Orphans
from tamperscope.data.datasets.cards import DatasetCard
from tamperscope.data.pair import FacePair
from tamperscope.data.sample import Dataset
from tamperscope.errors import DataError, unknown

LAYOUT = "GENERATOR/ (pictures, also in folders) and optional real/ (same names)"
Pairing = Literal["auto", "stem", "none"]
PAIRINGS: tuple[Pairing, ...] = get_args(Pairing)

_REAL = ("real", "reals", "original", "originals")
_EDITING = ("stargan", "attgan", "stgan", "icgan")
# Their pictures are numbered as real ones often are, and have nothing to do with those.
_SYNTHESIS = ("pggan", "progan", "stylegan", "msggan", "biggan")
_SEPARATOR = re.compile(r"[_.\-]")


def load_gan_faces(
    root: str | Path,
    *,
    generators: str | Sequence[str] | None = None,
    real: str | Path | None = None,
    pairing: Pairing = "auto",
    orphans: Orphans | None = None,
) -> list[FacePair]:
    """Real faces, and fakes with the real faces they were made from where there are any.

    Args:
        root: as above. Pictures directly in it are those of one generator, named as the folder.
        generators: folders to read; all of them by default.
        real: folder of the real faces, in place of ``root/real``.
        pairing: "stem": every fake must have its real face; "none": no fake has one; "auto": those
            of StarGAN, AttGAN, STGAN and IcGAN must, those of PGGAN, StyleGAN and their like have
            none, and others must where the first of them does.
        orphans: filled with fakes without real face, which are then left out.

    Returns:
        Pairs with ids such as ``stargan/Black_Hair/000001``, reals first.

    Raises:
        UnknownNameError: no such generator or pairing.
        DataError: no pictures, or a fake without its real face.
    """
    base = Path(root)
    if pairing not in PAIRINGS:
        raise unknown("pairing", pairing, PAIRINGS)
    if not base.is_dir():
        raise DataError(f"no such folder: {base}: give the folder that holds {LAYOUT}")
    reals_at = _real_folder(base, real)
    reals = {} if reals_at is None else _by_unique_stem(reals_at)
    fakes = _generators(base, reals_at)
    pairs = [FacePair(id=f"real/{stem}", face=stem, real=path) for stem, path in reals.items()]
    for name in one_of("generator of this set", generators, sorted(fakes)):
        pictures = list(pictures_below(fakes[name]))
        if not pictures:
            raise DataError(f"{fakes[name]}: no pictures: expected {LAYOUT}")
        matched = _paired(name, pictures, reals, pairing)
        pairs += _fakes(name, fakes[name], pictures, reals, matched, orphans)
    return checked(base, pairs)


def read_gan_faces(
    root: Path,
    *,
    generators: str | Sequence[str] | None = None,
    real: str | Path | None = None,
    pairing: Pairing = "auto",
    orphans: Orphans | None = None,
) -> Dataset:
    """The same as samples: every fake is wholly generated. Errors as for `load_gan_faces`."""
    pairs = load_gan_faces(root, generators=generators, real=real, pairing=pairing, orphans=orphans)
    return as_dataset("gan-faces", root, pairs)


def _real_folder(base: Path, real: str | Path | None) -> Path | None:
    if real is not None:
        if not Path(real).is_dir():
            raise DataError(f"no folder {real}: give the folder of the real faces")
        return Path(real)
    return next((base / name for name in _REAL if (base / name).is_dir()), None)


def _by_unique_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in pictures_below(folder):
        if path.stem in found:
            raise DataError(
                f"{folder}: {found[path.stem].relative_to(folder)} and {path.relative_to(folder)} "
                "have the same stem: rename one"
            )
        found[path.stem] = path
    if not found:
        raise DataError(f"{folder}: no pictures: give the real faces, or remove the folder")
    return found


def _generators(base: Path, reals: Path | None) -> dict[str, Path]:
    """Generator -> folder."""
    below = base / "fake" if (base / "fake").is_dir() else base
    named = {name: below / name for name in folders(below) if below / name != reals}
    if has_pictures(below):
        return {base.resolve().name: below}
    if not named:
        raise DataError(f"{base}: no pictures of a generator: expected {LAYOUT}")
    return named


def _paired(
    name: str, pictures: Sequence[Path], reals: Mapping[str, Path], pairing: Pairing
) -> bool:
    if pairing != "auto":
        return pairing == "stem"
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    if plain.startswith(_SYNTHESIS):
        return False
    if plain.startswith(_EDITING):
        return True
    return _source(pictures[0].stem, reals) is not None


def _fakes(
    name: str,
    folder: Path,
    pictures: Sequence[Path],
    reals: Mapping[str, Path],
    matched: bool,
    orphans: Orphans | None,
) -> list[FacePair]:
    pairs, lost = [], []
    for path in pictures:
        source = _source(path.stem, reals) if matched else None
        if matched and source is None:
            lost.append(path.stem)
            continue
        inner = path.relative_to(folder).with_suffix("").as_posix()
        pairs.append(
            FacePair(
                id=f"{name}/{inner}",
                face=source if source is not None else f"{name}/{inner}",
                real=None if source is None else reals[source],
                fake=path,
                generator=name,
                variant="whole",
            )
        )
    if orphans is not None:
        orphans += [Orphan(name=stem, lacks="real face", where=str(folder)) for stem in lost]
    elif lost:
        raise _no_real(folder, lost, len(pictures), reals)
    return pairs


def _no_real(folder: Path, lost: list[str], count: int, reals: Mapping[str, Path]) -> DataError:
    near = difflib.get_close_matches(lost[0], reals, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    if not reals:
        hint = "; there is no folder real"
    return DataError(
        f"{folder}: {len(lost)} of {count} pictures have no real face of their name (first: "
        f"{lost[0]!r}{hint}): name them alike, give the folder of the real ones, or pairing='none'"
    )


def _source(stem: str, reals: Mapping[str, Path]) -> str | None:
    """The longest name of a real face that is the stem, or stands at one of its ends."""
    return next((name for name in _candidates(stem) if name in reals), None)


def _candidates(stem: str) -> Iterator[str]:
    yield stem
    places = [match.start() for match in _SEPARATOR.finditer(stem)]
    ends = [stem[:place] for place in places] + [stem[place + 1 :] for place in places]
    yield from sorted(ends, key=len, reverse=True)


CARD = DatasetCard(
    name="gan-faces",
    title="Faces edited or made by GANs",
    summary="faces of StarGAN, AttGAN, STGAN, IcGAN, PGGAN, StyleGAN or others, in plain folders",
    paper="those of the generators; paired as in Huang et al., FakeLocator, IEEE TIFS 2022",
    terms="those of the pictures",
    source="the outputs of the generators' own code",
    counts=(),
    polarity=None,
    layouts=(LAYOUT, "fake/GENERATOR/ and real/", "fake/ and real/, of one generator"),
    read=read_gan_faces,
    traps=(
        "real faces must have the crop and size that the generator was given",
        "strips of several pictures side by side, as some test scripts write, must be cut first",
        "JPEG on one side only is learned instead of the generator: bring both to one format",
    ),
    options=(
        ("generators", "folders to read, all by default"),
        ("real", "folder of the real faces, if not real/"),
        ("pairing", "auto, stem (every fake has its real face) or none"),
    ),
)
