"""FaceForensics++ (Rössler et al., ICCV 2019), its videos taken apart into frames.

::

    ROOT/original_sequences/{youtube,actors}/COMPRESSION/images/VIDEO/0000.png
    ROOT/manipulated_sequences/METHOD/COMPRESSION/images/TARGET_SOURCE/0000.png
    ROOT/manipulated_sequences/METHOD/masks/images/TARGET_SOURCE/0000.png
    ROOT/splits/{train,val,test}.json        the published lists of pairs of videos

``frames`` and ``faces`` are read in place of ``images``, and ``COMPRESSION/masks`` in place of
``masks/images``. A fake ``TARGET_SOURCE`` shows the face of SOURCE in the video TARGET, so its
frames go with those of TARGET of the same numbers.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from tamperscope.data.datasets._checking import folders
from tamperscope.data.datasets._faces import (
    Frame,
    as_dataset,
    by_frame,
    checked,
    frame_folder,
    frames_of,
    one_of,
    pair_frames,
    real_frames,
)
from tamperscope.data.datasets._files import Orphans, need_folder
from tamperscope.data.datasets.cards import Count, DatasetCard
from tamperscope.data.pair import FacePair
from tamperscope.data.sample import Dataset
from tamperscope.errors import DataError, unknown

LAYOUT = (
    "manipulated_sequences/METHOD/COMPRESSION/images/VIDEO/FRAME.png and original_sequences/, with "
    "optional METHOD/masks/images/"
)
COMPRESSIONS = ("raw", "c0", "c23", "c40")
SPLITS = ("train", "valid", "test")
_ACTORS = re.compile(r"(\d+)_\d+__(.+?)(?:__[A-Z0-9]+)?")


def load_faceforensics(
    root: str | Path,
    *,
    methods: str | Sequence[str] | None = None,
    compression: str | None = None,
    split: str | None = None,
    orphans: Orphans | None = None,
) -> list[FacePair]:
    """Frames of the original videos and of the fakes, these with the frames they were made from.

    Args:
        root: as above.
        methods: folders of ``manipulated_sequences``; by default all that have the compression.
        compression: raw, c0, c23 or c40; may be left out where there is only one.
        split: train, valid or test, by the published lists; all videos by default. The videos of
            actors (DeepFakeDetection) are in no list.
        orphans: filled with original videos that lack frames, whose fakes are then left out.

    Returns:
        Pairs with ids such as ``Deepfakes/000_003/0000``, originals first. The masks that there
        are come as ``mask_path``.

    Raises:
        UnknownNameError: no such method, compression or split.
        DataError: no set of this layout, videos without frames, or several compressions.
    """
    base = Path(root)
    need_folder(base / "manipulated_sequences", LAYOUT)
    there = folders(base / "manipulated_sequences")
    chosen = one_of("method of this set", methods, there)
    if not chosen:
        raise DataError(f"{base / 'manipulated_sequences'}: no method: expected {LAYOUT}")
    level = _compression(base, chosen, compression)
    if methods is None:
        chosen = [m for m in chosen if (base / "manipulated_sequences" / m / level).is_dir()]
    listed = None if split is None else _listed(base, split)
    kept = [f for f in _originals(base, level) if listed is None or f.video in listed]
    pairs = real_frames(kept, "original")
    for method in chosen:
        pairs += _fakes(base, method, level, listed, kept, orphans)
    return checked(base, pairs)


def read_faceforensics(
    root: Path,
    *,
    methods: str | Sequence[str] | None = None,
    compression: str | None = None,
    split: str | None = None,
    orphans: Orphans | None = None,
) -> Dataset:
    """The same as samples, with masks where there are any. Errors as for `load_faceforensics`."""
    pairs = load_faceforensics(
        root, methods=methods, compression=compression, split=split, orphans=orphans
    )
    return as_dataset("faceforensics", root, pairs)


def target_of(video: str) -> str:
    """The video that a fake one was made from.

    >>> target_of("000_003")
    '000'
    >>> target_of("01_02__walking_outside__YVGY8LOK")
    '01__walking_outside'
    """
    match = _ACTORS.fullmatch(video)
    return f"{match[1]}__{match[2]}" if match else video.partition("_")[0]


def _compression(base: Path, methods: Sequence[str], asked: str | None) -> str:
    there = sorted(
        {
            name
            for method in methods
            for name in folders(base / "manipulated_sequences" / method)
            if name in COMPRESSIONS
        }
    )
    if asked is not None and asked not in there:
        raise unknown("compression of this set", asked, there)
    if asked is None and len(there) != 1:
        have = ", ".join(there) if there else "none"
        raise DataError(
            f"{base}: compressions in it: {have}; give one of {', '.join(there or COMPRESSIONS)}"
        )
    return asked if asked is not None else there[0]


def _originals(base: Path, level: str) -> list[Frame]:
    folder = base / "original_sequences"
    places = [folder / name / level for name in folders(folder)]
    there = [place for place in places if place.is_dir()]
    if places and not there:
        raise DataError(
            f"{folder}: no originals of compression {level}: get them, or give another compression"
        )
    return [frame for place in there for frame in frames_of(frame_folder(place))]


def _fakes(
    base: Path,
    method: str,
    level: str,
    listed: set[str] | None,
    originals: list[Frame],
    orphans: Orphans | None,
) -> list[FacePair]:
    folder = base / "manipulated_sequences" / method
    frames = [
        frame
        for frame in frames_of(frame_folder(need_folder(folder / level, LAYOUT)))
        if listed is None or target_of(frame.video) in listed
    ]
    return pair_frames(
        frames,
        by_frame(originals),
        by_frame(_masks(folder, level)),
        target=target_of,
        generator=method,
        where=base / "original_sequences",
        orphans=orphans,
    )


def _masks(folder: Path, level: str) -> list[Frame]:
    places = (folder / "masks" / "images", folder / "masks" / "frames")
    for place in (*places, folder / level / "masks", folder / "masks"):
        if place.is_dir() and (frames := frames_of(place)):
            return frames
    return []


def _listed(base: Path, split: str) -> set[str]:
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    name = "val.json" if split == "valid" else f"{split}.json"
    path = next((p for p in (base / "splits" / name, base / name) if p.is_file()), None)
    if path is None:
        raise DataError(
            f"{base}: no splits/{name}: copy the published lists there, or leave the split out"
        )
    try:
        return {str(video) for pair in json.loads(path.read_bytes()) for video in pair}
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: no list of pairs of videos: get it again") from error


CARD = DatasetCard(
    name="faceforensics",
    title="FaceForensics++",
    summary="frames of videos with swapped or reenacted faces, with the originals and masks",
    paper="Rössler et al., FaceForensics++: Detecting Manipulated Facial Images, ICCV 2019",
    terms="non-commercial research, on application",
    source="https://github.com/ondyari/FaceForensics",
    counts=(
        Count(forged=4000, authentic=1000, who="the release, four methods of 1,000", unit="videos"),
    ),
    polarity="forged-white",
    layouts=(LAYOUT, "frames/ or faces/ in place of images/", "COMPRESSION/masks/VIDEO/"),
    read=read_faceforensics,
    traps=(
        "comes as videos: extract the frames of fakes, originals and masks with the same numbers",
        "a fake and its original may differ in length: frames after the shorter one are left out",
        "split by the published lists: the frames of a video are nearly the same picture",
    ),
    options=(
        ("methods", "folders of manipulated_sequences, all by default"),
        ("compression", "raw, c0, c23 or c40; needed where there are several"),
        ("split", "train, valid or test, by the published lists"),
    ),
)
