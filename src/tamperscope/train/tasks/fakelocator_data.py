"""Faces for FakeLocator: which pictures an index stands for, their fakeness and attention maps.

Sample ``i`` of a seed is the same picture on every machine and in every worker, and every picture
of a kind comes up once before any comes up twice.
"""

from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PILImage

from tamperscope import perturb
from tamperscope.data.fakeness import fakeness_map
from tamperscope.data.pair import FacePair
from tamperscope.errors import DataError, ImageValueError, unknown
from tamperscope.image import read_image
from tamperscope.train.task_config import FakeLocatorConfig
from tamperscope.train.tasks import draws
from tamperscope.train.tasks.attention import FaceLabels
from tamperscope.train.tasks.draws import REAL, Pixels

_SUFFIXES = (".png", ".jpg", ".jpeg")

Groups = dict[str, list[FacePair]]
"""Pictures by kind: ``real``, ``GENERATOR/whole``, ``GENERATOR/region`` or ``synthetic/FOLDER``."""


# --------------------------------------------------------------------------- finding


def find_groups(root: Path, config: FakeLocatorConfig, split: str) -> Groups:
    """The pictures of a split (train, valid or test) by kind, ordered by name.

    Raises:
        UnknownNameError: a generator that the set does not have.
        DataError: no set, or nothing left of it.
    """
    from tamperscope.data.faces.pairs import load_pairs, load_reals

    groups: Groups = defaultdict(list)
    for pair in load_pairs(root, faces=config.faces, split=split, variant=config.variant):
        groups[f"{pair.generator}/{pair.variant}"].append(pair)
    groups = _chosen(dict(groups), config)
    if config.regions:
        groups = {name: _within(name, pairs, config) for name, pairs in groups.items()}
    for folder in config.synthetic:
        name = f"synthetic/{Path(folder).parent.name or folder}"
        groups[name] = _folder(root / folder, split, fake=True)
    groups[REAL] = load_reals(root, faces=config.faces, split=split)
    for folder in config.extra_real:
        groups[REAL] += _folder(root / folder, split, fake=False)
    if empty := [name for name, pairs in groups.items() if not pairs]:
        raise DataError(
            f"{root} has no {split} pictures of {', '.join(empty)}: give more pictures, or leave"
            " that folder out"
        )
    return {name: pairs[: config.limit or None] for name, pairs in groups.items()}


def _chosen(groups: Groups, config: FakeLocatorConfig) -> Groups:
    known = sorted({name.partition("/")[0] for name in groups})
    wanted = set(known if "all" in config.generators else config.generators)
    for name in (*wanted, *config.leave_out):
        if name not in known:
            raise unknown("generator of this face set", name, known)
    left = wanted - set(config.leave_out)
    if not left:
        raise DataError("fakelocator.leave_out leaves no generator: name fewer there")
    return {name: pairs for name, pairs in groups.items() if name.partition("/")[0] in left}


def _within(name: str, pairs: list[FacePair], config: FakeLocatorConfig) -> list[FacePair]:
    from tamperscope.data.faces.pairs import split_by_regions

    if not name.endswith("/region"):
        return pairs
    inside, _ = split_by_regions(pairs, config.regions)
    return inside


def _folder(folder: Path, split: str, *, fake: bool) -> list[FacePair]:
    from tamperscope.data.faces.splits import split_of

    files = sorted(f for f in folder.glob("*") if f.suffix.lower() in _SUFFIXES)
    if not files:
        raise DataError(f"{folder} holds no pictures ({', '.join(_SUFFIXES)}): check the path")
    name = folder.parent.name or folder.name
    chosen = [f for f in files if split_of(f.stem) == split]
    if not fake:
        return [FacePair(id=f"{name}/{f.stem}", face=f.stem, real=f) for f in chosen]
    return [
        FacePair(
            id=f"{name}/{f.stem}", face=f.stem, real=None, fake=f, generator=name, variant="whole"
        )
        for f in chosen
    ]


# --------------------------------------------------------------------------- drawing


class FakenessSource(draws.Turns[FacePair]):
    """Training pictures, without end.

    A sample is ``{"image": uint8 (3, s, s), "mask": float32 (s, s) fakeness in [0, 1], "attention":
    float32 (1, s, s) in [0, 1], "kind": str}``; without labels the attention is absent.

    Args:
        groups: of `find_groups`.
        config: which kinds come how often, and how pictures are changed.
        size: side in pixels of the whole picture.
        labels: the parts of faces, or None where the network looks at no attention map.
        seed: of the order and of every change.
    """

    def __init__(
        self,
        groups: Groups,
        config: FakeLocatorConfig,
        *,
        size: int,
        labels: FaceLabels | None,
        seed: int,
    ) -> None:
        super().__init__(groups, seed=seed)
        self.config, self.size, self.labels = config, size, labels
        self._read = draws.Remembered(partial(_read, size=size), most=None if config.cache else 1)

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        kind, pair = self.draw(index)
        return self._sample(pair, kind, draws.sample_rng(self.seed, index))

    def _shares(self) -> tuple[int, int]:
        return 1000, round(1000 * self.config.reals)

    def _sample(self, pair: FacePair, kind: str, rng: np.random.Generator) -> Mapping[str, Any]:
        config = self.config
        pixels, fakeness = self._pixels(pair)
        attention = self._attention(pair)
        window = _window(fakeness, config.crop, rng)
        pixels, fakeness, attention = pixels[window], fakeness[window], attention[window]
        if config.flip and rng.random() < 0.5:
            pixels, fakeness, attention = pixels[:, ::-1], fakeness[:, ::-1], attention[:, ::-1]
        if config.augment == "both" or (config.augment == "real" and kind == REAL):
            pixels = degrade(np.ascontiguousarray(pixels), config, rng)
        if rng.random() < config.attention_dropout:
            attention = np.ones_like(attention)
        return self._tensors(pixels, fakeness, attention, kind)

    def _pixels(self, pair: FacePair) -> tuple[Pixels, NDArray[np.float32]]:
        real = None if pair.real is None else self._read(pair.real)
        fake = None if pair.fake is None else self._read(pair.fake)
        try:
            fakeness = fakeness_map(real, fake, kind=self.config.fakeness)
        except ImageValueError as error:
            raise DataError(f"{pair.fake}: {error}") from error
        pixels = real if fake is None else fake
        assert pixels is not None
        return pixels, fakeness

    def _attention(self, pair: FacePair) -> NDArray[np.float32]:
        if self.labels is None:
            return np.ones((self.size, self.size), np.float32)
        return self.labels.attention(pair, self.size)

    def _tensors(
        self, pixels: Pixels, fakeness: NDArray[Any], attention: NDArray[Any], kind: str
    ) -> Mapping[str, Any]:
        # Copies: decoded pictures can be read-only and mirrored ones run backwards.
        sample = {
            "image": torch.from_numpy(np.array(pixels, order="C")).movedim(-1, 0),
            "mask": torch.from_numpy(np.array(fakeness, order="C")),
            "kind": kind,
        }
        if self.labels is not None:
            sample["attention"] = torch.from_numpy(np.array(attention, order="C"))[None]
        return sample


class HeldBackFakeness(draws.HeldBack[FacePair], FakenessSource):
    """Validation pictures: fake and real ones in turn, each at most once, as they are."""

    def _sample(self, pair: FacePair, kind: str, rng: np.random.Generator) -> Mapping[str, Any]:
        pixels, fakeness = self._pixels(pair)
        return self._tensors(pixels, fakeness, self._attention(pair), kind)


def degrade(pixels: Pixels, config: FakeLocatorConfig, rng: np.random.Generator) -> Pixels:
    """A share of pictures compressed, blurred, noisy, or shrunk and enlarged again."""
    if rng.random() >= config.augment_share:
        return pixels
    way = ("jpeg", "blur", "noise", "rescale")[int(rng.integers(4))]
    if way == "jpeg":
        return draws.recompress(pixels, 1.0, config.jpeg_quality, rng)
    if way == "blur":
        return perturb.blur(pixels, rng.uniform(*config.blur_sigma))
    if way == "noise":
        return perturb.add_noise(pixels, rng.uniform(*config.noise_sigma), rng)
    h, w = pixels.shape[:2]
    share = rng.uniform(*config.rescale_range)
    small = perturb.resize(pixels, (max(8, round(h * share)), max(8, round(w * share))), "area")
    return perturb.resize(small, (h, w), "bicubic")


def _window(
    fakeness: NDArray[np.float32], share: float, rng: np.random.Generator
) -> tuple[slice, slice]:
    """A square with a changed pixel in it, where there is one: its label is the picture's."""
    sides = [max(1, round(side * share)) for side in fakeness.shape]
    rows, columns = np.nonzero(fakeness)
    slices = []
    chosen = int(rng.integers(len(rows))) if len(rows) else -1
    for side, whole, places in zip(sides, fakeness.shape, (rows, columns), strict=True):
        least, most = 0, whole - side
        if chosen >= 0:
            place = int(places[chosen])
            least, most = max(least, place - side + 1), min(most, place)
        first = int(rng.integers(least, most + 1))
        slices.append(slice(first, first + side))
    return slices[0], slices[1]


def _read(path: Path, *, size: int) -> Pixels:
    pixels = read_image(path).pixels
    if pixels.shape[:2] == (size, size):
        return pixels
    picture = PILImage.fromarray(pixels).resize((size, size), PILImage.Resampling.BILINEAR)
    return np.asarray(picture)
