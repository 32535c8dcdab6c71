"""What the readers of fake faces share: files below a folder, frames of videos, samples."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tamperscope.data.datasets._checking import folders
from tamperscope.data.datasets._files import IMAGE_SUFFIXES, Orphan, Orphans, by_stem
from tamperscope.data.pair import FacePair
from tamperscope.data.sample import Dataset, Sample, Unmasked
from tamperscope.errors import DataError, unknown

FRAMES = ("images", "frames", "faces")
"""Folders that people extract the frames of videos to, one folder a video in each."""


_NOT_FRAMES = {"videos", "masks", "landmarks", "models"}


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A frame of a video: the video's name, the frame's number (or stem) and file."""

    video: str
    number: str
    path: Path


def pictures_below(folder: Path) -> Iterator[Path]:
    """Every picture file in `folder` and its folders, sorted; hidden ones are left out."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
            yield path


def has_pictures(folder: Path) -> bool:
    """Whether pictures lie directly in `folder`."""
    return any(path.suffix.lower() in IMAGE_SUFFIXES for path in folder.iterdir())


def one_of(what: str, asked: str | Sequence[str] | None, there: Sequence[str]) -> list[str]:
    """The names asked for, or all of `there`. Raises UnknownNameError for one not there."""
    if asked is None:
        return list(there)
    names = [asked] if isinstance(asked, str) else list(dict.fromkeys(asked))
    for name in names:
        if name not in there:
            raise unknown(what, name, there)
    return names


def frame_folder(base: Path) -> Path:
    """The folder below `base` that holds a folder of frames for each video.

    Raises DataError when the videos were not taken apart.
    """
    for name in FRAMES:
        if (base / name).is_dir():
            return base / name
    if set(folders(base)) - _NOT_FRAMES:
        return base
    raise DataError(
        f"{base}: no frames: extract every video to a folder of its own, such as "
        f"{base / FRAMES[0] / 'VIDEO' / '0000.png'}"
    )


def frames_of(folder: Path) -> list[Frame]:
    """The frames in the folders of `folder`, each folder a video, in order of their names."""
    return [
        Frame(video=video, number=_number(stem), path=path)
        for video in folders(folder)
        for stem, path in sorted(by_stem(folder / video).items())
    ]


def _number(stem: str) -> str:
    return str(int(stem)) if stem.isdecimal() else stem


def by_frame(frames: Iterable[Frame]) -> dict[tuple[str, str], Path]:
    """(video, number) -> file."""
    return {(frame.video, frame.number): frame.path for frame in frames}


def pair_frames(
    fakes: Iterable[Frame],
    reals: Mapping[tuple[str, str], Path],
    masks: Mapping[tuple[str, str], Path],
    *,
    target: Callable[[str], str],
    generator: str,
    where: Path,
    orphans: Orphans | None,
) -> list[FacePair]:
    """Fake frames with the frames of the same number of the video they were made from.

    Frames after the end of that video are left out. Without any real frame, none is paired.

    target: name of a fake video -> name of the video it was made from.
    where: the folder of the real videos, for messages.

    Raises DataError naming the videos that are missing, unless `orphans` takes them.
    """
    videos = {video for video, _ in reals}
    pairs, lost = [], set[str]()
    for frame in fakes:
        source = target(frame.video)
        real = reals.get((source, frame.number))
        if videos and source not in videos:
            lost.add(source)
        if videos and real is None:
            continue
        pairs.append(
            FacePair(
                id=f"{generator}/{frame.video}/{frame.path.stem}",
                face=source,
                real=real,
                fake=frame.path,
                generator=generator,
                variant="region",
                mask_path=masks.get((frame.video, frame.number)),
            )
        )
    _report_lost(sorted(lost), where, orphans)
    return pairs


def _report_lost(lost: list[str], where: Path, orphans: Orphans | None) -> None:
    if orphans is not None:
        orphans += [Orphan(name=video, lacks="real frames", where=str(where)) for video in lost]
    elif lost:
        shown = ", ".join(lost[:3]) + (", ..." if len(lost) > 3 else "")
        raise DataError(
            f"{where}: the frames of {len(lost)} real videos are missing ({shown}): extract them, "
            "or remove the fakes made from them"
        )


def checked(root: Path, pairs: list[FacePair]) -> list[FacePair]:
    """`pairs`, if there are any and their ids are unique; else DataError."""
    if not pairs:
        raise DataError(f"{root}: no pictures of what was asked for: ask for other parts")
    twice = [name for name, count in Counter(pair.id for pair in pairs).items() if count > 1]
    if twice:
        raise DataError(
            f"{root}: two pictures are called {twice[0]!r} (of {len(twice)} such names): rename one"
        )
    return pairs


def real_frames(frames: Iterable[Frame], name: str) -> list[FacePair]:
    """Frames of untouched videos."""
    return [
        FacePair(id=f"{name}/{frame.video}/{frame.path.stem}", face=frame.video, real=frame.path)
        for frame in frames
    ]


def as_dataset(name: str, root: Path, pairs: Sequence[FacePair]) -> Dataset:
    """The pictures of pairs as samples; a region without binary mask is `unmasked="unknown"`."""
    return Dataset(
        name=name,
        root=root,
        samples=tuple(_sample(pair) for pair in pairs),
        notes={"paired": sum(pair.is_fake and pair.real is not None for pair in pairs)},
    )


def _sample(pair: FacePair) -> Sample:
    if not pair.is_fake:
        return Sample(
            id=pair.id,
            image_path=pair.image,
            mask_path=None,
            label="authentic",
            source=pair.face,
        )
    unmasked: Unmasked | None = None
    if pair.mask_path is None:
        unmasked = "whole" if pair.variant == "whole" else "unknown"
    return Sample(
        id=pair.id,
        image_path=pair.image,
        mask_path=pair.mask_path,
        label="forged",
        kind=pair.generator,
        unmasked=unmasked,
        source=pair.face,
    )
