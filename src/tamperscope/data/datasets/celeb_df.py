"""Celeb-DF, first and second version (Li et al., CVPR 2020), its videos taken apart into frames.

::

    ROOT/Celeb-real/images/id0_0000/0000.png
    ROOT/Celeb-synthesis/images/id0_id1_0000/0000.png     the face of id1 in the video id0_0000
    ROOT/YouTube-real/images/00000/0000.png
    ROOT/List_of_testing_videos.txt

``frames``, ``faces`` or nothing at all may stand in place of ``images``. There are no masks.
"""

import re
from pathlib import Path

from tamperscope.data.datasets._checking import folders
from tamperscope.data.datasets._faces import (
    Frame,
    as_dataset,
    by_frame,
    checked,
    frame_folder,
    frames_of,
    pair_frames,
    real_frames,
)
from tamperscope.data.datasets._files import Orphans
from tamperscope.data.datasets.cards import Count, DatasetCard
from tamperscope.data.pair import FacePair
from tamperscope.data.sample import Dataset
from tamperscope.errors import DataError, unknown

LAYOUT = "Celeb-real/, Celeb-synthesis/ and YouTube-real/ with images/VIDEO/FRAME.png in each"
LIST = "List_of_testing_videos.txt"
SPLITS = ("train", "test")
_FAKE = "Celeb-synthesis"
_REAL = ("Celeb-real", "YouTube-real")
_NAME = re.compile(r"(id\d+)_id\d+_(\d+)")


def load_celeb_df(
    root: str | Path, *, split: str | None = None, orphans: Orphans | None = None
) -> list[FacePair]:
    """Real frames, and fake ones with the frames they were made from.

    Args:
        root: as above; each folder may be missing.
        split: "test": the videos of the published list; "train": all others; default: both.
        orphans: filled with real videos that lack frames, whose fakes are then left out.

    Returns:
        Pairs with ids such as ``Celeb-synthesis/id0_id1_0000/0000``, real ones first.

    Raises:
        UnknownNameError: no such split.
        DataError: no set of this layout, or videos without frames.
    """
    base = Path(root)
    if split is not None and split not in SPLITS:
        raise unknown("split", split, SPLITS)
    if not base.is_dir():
        raise DataError(f"no such folder: {base}: give the folder that holds {LAYOUT}")
    tested = set[str]() if split is None else _tested(base)
    places = {name: place for name in (*_REAL, _FAKE) if (place := _place(base, name)) is not None}
    if not places:
        raise DataError(f"{base}: expected {LAYOUT}")
    frames = {name: frames_of(frame_folder(place)) for name, place in places.items()}

    def kept(name: str) -> list[Frame]:
        inside = split == "test"
        everything = frames.get(name, [])
        if split is None:
            return everything
        return [f for f in everything if (f"{name}/{f.video}".lower() in tested) == inside]

    pairs = [pair for name in _REAL for pair in real_frames(kept(name), name)]
    pairs += pair_frames(
        kept(_FAKE),
        by_frame(frames.get(_REAL[0], [])),
        {},
        target=target_of,
        generator=_FAKE,
        where=places.get(_REAL[0], base),
        orphans=orphans,
    )
    return checked(base, pairs)


def read_celeb_df(
    root: Path, *, split: str | None = None, orphans: Orphans | None = None
) -> Dataset:
    """The same as samples, without masks. Errors as for `load_celeb_df`."""
    return as_dataset("celeb-df", root, load_celeb_df(root, split=split, orphans=orphans))


def target_of(video: str) -> str:
    """The real video that a fake one was made from.

    >>> target_of("id0_id1_0000")
    'id0_0000'
    """
    match = _NAME.fullmatch(video)
    return f"{match[1]}_{match[2]}" if match else video


def _place(base: Path, name: str) -> Path | None:
    # Copies of the set also spell it Youtube-real.
    return next((base / n for n in folders(base) if n.lower() == name.lower()), None)


def _tested(base: Path) -> set[str]:
    path = base / LIST
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}): copy the published list there, or leave "
            "the split out"
        ) from error
    files = [line.split(maxsplit=1)[-1].strip() for line in lines if line.strip()]
    return {file.rpartition(".")[0].lower() for file in files}


CARD = DatasetCard(
    name="celeb-df",
    title="Celeb-DF",
    summary="frames of videos with swapped faces, with the videos they were made from",
    paper="Li et al., Celeb-DF: a Challenging Dataset for DeepFake Forensics, CVPR 2020",
    terms="research only, on application",
    source="https://github.com/yuezunli/celeb-deepfakeforensics",
    counts=(
        Count(forged=5639, authentic=890, who="the second version", unit="videos"),
        Count(forged=795, authentic=408, who="the first version", unit="videos"),
    ),
    polarity=None,
    layouts=(LAYOUT, "frames/, faces/ or no folder in place of images/"),
    read=read_celeb_df,
    traps=(
        "comes as videos: extract the frames of fakes and real videos with the same numbers",
        "no masks: where a frame is fake only its difference from the real one tells",
        "the test list marks real videos with 1 and fake ones with 0",
    ),
    options=(("split", "test (the published list) or train (the other videos)"),),
)
