"""Forgeries made on the fly: sample ``i`` of a seed is the same picture on every machine and in
every worker.
"""

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamperscope import perturb
from tamperscope.data.generators.base import Generator
from tamperscope.data.synthesis import compose, history, regions
from tamperscope.data.synthesis.sources import PhotoPool, Split, find_photos
from tamperscope.errors import ConfigError

KINDS = (
    "splice-object",
    "splice-shape",
    "copymove",
    "reprocess",
    "removal",
    "regenerate",
    "pristine",
)
_SHARES = (
    "several",
    "centred",
    "twins",
    "as_is",
    "shrunk",
    "resaved",
    "plain_donors",
    "small",
)
_TRIES = 20
"""How often a twin is forged until something is."""
_SHRUNK = 0.9
"""Photos are shrunk at least so far: less hardly rids them of their traces."""
_AGAIN = 3
"""Most forgeries that a picture gets beyond the first."""


@dataclass(frozen=True, kw_only=True)
class SynthesisConfig:
    """What to make.

    Attributes:
        size: (h, w) in pixels of every sample, or of all but those of ``small_size``.
        mixture: share of each kind of forgery (`KINDS`); need not sum to 1.
        min_fraction, max_fraction: share of the picture that is forged, log-uniform between them.
        val_share: share of the photos held back for validation.
        distinct: leave photos out of validation that are nearly the same as one to train on.
        folders: folders below the photo root to use; empty = all.
        object_sets: sets whose ``masks`` are salient-object masks; None = all.
        weights: how often a photo of each set (by folder name) is drawn; sets not named count their
            photos.
        strong_saves: share of the last saves that are JPEG of quality ``lowest_quality`` to 89, in
            [0, 0.86]; the others are mostly of 86-100.
        lowest_quality: see ``strong_saves``.
        camera: chance that a photo, host or donor, gets the traces of a sensor (mosaic, noise,
            demosaicing) before the rest of its past, in [0, 1].
        several: chance that a forged picture gets one more forgery of any kind, and after that as
            many again up to four in all, in [0, 1]; the mask is the union of their regions.
        centred: share of the forgeries placed around the middle and not anywhere, in [0, 1].
        twins: chance that samples 2 i and 2 i + 1 are a forgery and the same picture without it,
            of one host, one past and one last save, in [0, 1]. The forgery alone tells them apart.
        as_is: chance that a photo large enough is a host as it lies on disk: its own scale and
            block grid, nothing done to it before the forgery. Untouched it gets no last save
            either, unless it is a twin. In [0, 1].
        shrunk: chance that a photo larger than the sample is a host that was shrunk and nothing
            else, as the pictures of web pages are; untouched like ``as_is``. In [0, 1].
        resaved: share of those untouched photos (``as_is``, ``shrunk``) that get the last save all
            the same, in [0, 1].
        plain_donors: share of the pasted donors that are as they lie on disk but for what fits
            them in: no degradation, save or tone of their own. In [0, 1].
        small: share of the samples that have ``small_size`` instead of ``size``, in [0, 1].
        small_size: (h, w) in pixels; the smaller it is, the more photos are shrunk for it.
        same_size: so many samples in a row have the same size, an even number; a batch of as many
            can be stacked.
        generators: names of what fills the regions of the kind ``regenerate`` (see
            `tamperscope.data.generators.registry`); networks run on the CPU.
        flip: mirror half of the samples; a mirrored JPEG keeps its block grid because the sizes are
            multiples of 8.
    """

    size: tuple[int, int] = (256, 384)
    mixture: dict[str, float] = field(
        default_factory=lambda: {
            "splice-object": 0.3,
            "splice-shape": 0.12,
            "copymove": 0.15,
            "reprocess": 0.2,
            "removal": 0.08,
            "pristine": 0.15,
        }
    )
    min_fraction: float = 0.01
    max_fraction: float = 0.35
    val_share: float = 0.1
    distinct: bool = True
    folders: tuple[str, ...] = ()
    object_sets: tuple[str, ...] | None = None
    weights: dict[str, float] = field(default_factory=dict)
    strong_saves: float = 0.18
    lowest_quality: int = 60
    camera: float = 0.0
    several: float = 0.0
    centred: float = regions.CENTRED
    twins: float = 0.0
    as_is: float = 0.0
    shrunk: float = 0.0
    resaved: float = 0.0
    plain_donors: float = 0.0
    small: float = 0.0
    small_size: tuple[int, int] = (192, 256)
    same_size: int = 12
    generators: tuple[str, ...] = ("transposed", "nearest", "shuffle", "latent")
    flip: bool = True

    def __post_init__(self) -> None:
        self._check_mixture()
        if not 0 < self.min_fraction <= self.max_fraction < 0.5:
            raise ConfigError("forged fractions need 0 < min_fraction <= max_fraction < 0.5")
        if not 0 <= self.strong_saves <= 0.86 or not 0 <= self.camera <= 1:
            raise ConfigError("strong_saves must be in [0, 0.86] and camera in [0, 1]")
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} {getattr(self, name)}: a share in [0, 1]")
        if self.same_size < 2 or self.same_size % 2:
            raise ConfigError(f"same_size {self.same_size}: an even number, at least 2")
        if not 1 <= self.lowest_quality < 90:
            raise ConfigError(f"lowest_quality {self.lowest_quality}: JPEG qualities of 1 to 89")
        for size in (self.size, self.small_size):
            if min(size) < 32 or any(s % 8 for s in size):
                raise ConfigError(f"size {size}: both sides must be multiples of 8 and at least 32")

    def _check_mixture(self) -> None:
        unknown = set(self.mixture) - set(KINDS)
        if unknown:
            raise ConfigError(
                f"unknown kind of forgery {sorted(unknown)}; known: {', '.join(KINDS)}"
            )
        shares = list(self.mixture.values())
        if not all(0 <= v < math.inf for v in shares) or sum(shares) <= 0:
            raise ConfigError("the mixture needs non-negative shares that are not all zero")
        if self.twins and not any(v for k, v in self.mixture.items() if k != "pristine"):
            raise ConfigError("twins need a kind of forgery: add one to the mixture")
        if self.mixture.get("regenerate") and not self.generators:
            raise ConfigError("the kind 'regenerate' needs generators: name at least one")


@dataclass(frozen=True, kw_only=True, eq=False)
class _Host:
    """What is forged, or left alone."""

    pixels: NDArray[np.uint8]
    objects: NDArray[np.bool_] | None
    plain: bool
    """Whether nothing was done to the photo, or it was shrunk alone."""


class Synthesizer:
    """Makes one forgery from a generator and a pool of photos."""

    def __init__(self, config: SynthesisConfig, pool: PhotoPool) -> None:
        self.config = config
        self.pool = pool
        total = sum(config.mixture.values())
        self._kinds = list(config.mixture)
        self._shares = [config.mixture[k] / total for k in self._kinds]
        self._painters: dict[str, Generator] = {}

    def make(
        self, rng: np.random.Generator, *, size: tuple[int, int] | None = None
    ) -> compose.Forgery:
        """A finished picture of ``size`` (``config.size``) with its mask."""
        kind = self._draw_kind(rng)
        host = self._frame(rng, size or self.config.size)
        forged = self._alter(rng, kind, host)
        last = not host.plain or bool(forged.mask.any())
        if not last and self.config.resaved:
            last = rng.random() < self.config.resaved
        return self._save(rng, forged, last=last)

    def make_twin(
        self, seed: np.random.SeedSequence, *, forged: bool, size: tuple[int, int] | None = None
    ) -> compose.Forgery:
        """A forgery, or the picture that it was before it was forged, saved in the same way."""
        frame, forge, save = (np.random.default_rng(s) for s in seed.spawn(3))
        host = self._frame(frame, size or self.config.size)
        altered = compose.pristine(host.pixels)
        if not forged:
            return self._save(save, altered)
        for _ in range(_TRIES):
            kind = self._draw_kind(forge)
            if kind != "pristine":
                altered = self._alter(forge, kind, host)
            if altered.mask.any():
                break
        return self._save(save, altered)

    def _alter(self, rng: np.random.Generator, kind: str, host: _Host) -> compose.Forgery:
        forged = self._forge(rng, kind, host.pixels, host.objects)
        if self.config.several and forged.mask.any():
            forged = self._forge_again(rng, forged)
        if forged.mask.mean() > 0.5:
            # "Forged" means the minority here; a mask over half of the picture would turn the
            # labels round.
            forged = compose.pristine(host.pixels)
        return forged

    def _save(
        self, rng: np.random.Generator, forged: compose.Forgery, *, last: bool = True
    ) -> compose.Forgery:
        image, mask = forged.image, forged.mask
        if last:
            strong, lowest = self.config.strong_saves, self.config.lowest_quality
            image = history.last_save(rng, image, strong=strong, lowest=lowest)
        if self.config.flip and rng.random() < 0.5:
            image, mask = image[:, ::-1], mask[:, ::-1]
        return compose.Forgery(
            image=np.ascontiguousarray(image), mask=np.ascontiguousarray(mask), kind=forged.kind
        )

    def _draw_kind(self, rng: np.random.Generator) -> str:
        return str(rng.choice(self._kinds, p=self._shares))

    def _forge_again(self, rng: np.random.Generator, forged: compose.Forgery) -> compose.Forgery:
        """More forgeries in the same picture, of other donors and other pasts."""
        image, mask = forged.image, forged.mask
        for _ in range(_AGAIN):
            if rng.random() >= self.config.several:
                break
            more = self._forge(rng, self._draw_kind(rng), image, None)
            if (mask | more.mask).mean() > 0.5:
                break
            image, mask = more.image, mask | more.mask
        return compose.Forgery(image=image, mask=mask, kind=forged.kind)

    def _generator(self, rng: np.random.Generator) -> Generator:
        """One of the generators, loaded when it is first drawn."""
        name = str(rng.choice(list(self.config.generators)))
        if name not in self._painters:
            # Loaded here: a mixture without this kind must not wait for the networks.
            from tamperscope.data.generators.registry import load_generator

            self._painters[name] = load_generator(name)
        return self._painters[name]

    def _forge(
        self,
        rng: np.random.Generator,
        kind: str,
        host: NDArray[np.uint8],
        objects: NDArray[np.bool_] | None,
    ) -> compose.Forgery:
        camera, centred = self.config.camera, self.config.centred
        plain = self.config.plain_donors
        fraction = regions.area_fraction(rng, self.config.min_fraction, self.config.max_fraction)
        if kind == "splice-object":
            donor, donor_mask = self.pool.draw(rng, with_object=True)
            if donor_mask is not None and donor_mask.sum() > 64:
                return compose.splice(
                    rng,
                    host,
                    donor,
                    donor_mask,
                    fraction,
                    camera=camera,
                    plain=plain,
                    centred=centred,
                )
            kind = "splice-shape"
        if kind == "splice-shape":
            donor = self.pool.draw(rng)[0]
            return compose.splice(
                rng, host, donor, None, fraction, camera=camera, plain=plain, centred=centred
            )
        if kind == "regenerate":
            painter = self._generator(rng)
            return compose.regenerate(rng, host, objects, fraction, painter, centred=centred)
        own = {
            "copymove": compose.copy_move,
            "reprocess": compose.reprocess,
            "removal": compose.remove,
        }
        if kind in own:
            return own[kind](rng, host, objects, fraction, centred=centred)
        return compose.pristine(host)

    def _frame(self, rng: np.random.Generator, size: tuple[int, int]) -> _Host:
        """A photo brought to ``size``, with a past unless it is plain; half of those with a past
        keep their own block grid.
        """
        photo, objects = self.pool.draw(rng)
        h, w = size
        low = max(h / photo.shape[0], w / photo.shape[1])
        turn = (photo.shape[0] > photo.shape[1]) != (h > w) and photo.shape[0] != photo.shape[1]
        # Turned, a photo has its quantization tables on their side: no longer as it was on disk.
        as_is = bool(self.config.as_is) and rng.random() < self.config.as_is and low <= 1.0
        if turn and not as_is:
            photo = np.ascontiguousarray(np.rot90(photo))
            objects = None if objects is None else np.ascontiguousarray(np.rot90(objects))
            low = max(h / photo.shape[0], w / photo.shape[1])
        shrunk = bool(self.config.shrunk) and not as_is and low < _SHRUNK
        shrunk = shrunk and rng.random() < self.config.shrunk
        keep = as_is or (not shrunk and low <= 1.0 and rng.random() < 0.5)
        factor = 1.0 if keep else low * float(np.exp(rng.uniform(0.0, 0.45)))
        if shrunk:
            factor = min(factor, _SHRUNK)
        if factor != 1.0:
            scaled = (
                max(h, round(photo.shape[0] * factor)),
                max(w, round(photo.shape[1] * factor)),
            )
            if shrunk:
                photo = history.shrink(rng, photo, scaled)
            else:
                photo = perturb.resize(photo, scaled, history.interpolation(rng))
            if objects is not None:
                objects = perturb.resize(objects.astype(np.uint8), scaled, "nearest").astype(bool)
        y = int(rng.integers(photo.shape[0] - h + 1))
        x = int(rng.integers(photo.shape[1] - w + 1))
        if as_is or (keep and rng.random() < 0.6):
            y, x = y - y % 8, x - x % 8
        window = np.ascontiguousarray(photo[y : y + h, x : x + w])
        if objects is not None:
            objects = np.ascontiguousarray(objects[y : y + h, x : x + w])
        plain = as_is or shrunk
        if not plain:
            window = history.camera_history(rng, window, camera=self.config.camera)
        return _Host(pixels=window, objects=objects, plain=plain)


class SynthesisDataset:
    """Map-style data set of ``length`` samples: ``{"image": uint8 (3, h, w), "mask": uint8 (h, w),
    "kind": str}``.

    Args:
        config: a `SynthesisConfig` or its fields as a dict.
        split: ``train`` or ``val``; the photos of the two never overlap.
        root: folder of photos.
        seed: sample ``i`` depends on (seed, split, i) alone, a twin on those of its pair.
        length: how many samples ``len`` reports.

    Raises:
        ConfigError: an unknown field.
        DataError: no photos.
    """

    def __init__(
        self,
        config: SynthesisConfig | dict[str, Any],
        *,
        split: Split = "train",
        root: str | Path,
        seed: int = 0,
        length: int = 1_000_000,
    ) -> None:
        self.config = config if isinstance(config, SynthesisConfig) else config_from_dict(config)
        self.split, self.seed, self.length = split, seed, length
        self._stream = 0 if split == "train" else 1
        photos = find_photos(
            Path(root),
            split=split,
            val_share=self.config.val_share,
            folders=self.config.folders,
            object_sets=self.config.object_sets,
            distinct=self.config.distinct,
        )
        self.photos = photos
        self.synthesizer = Synthesizer(
            self.config, PhotoPool(photos, weights=dict(self.config.weights))
        )

    def __len__(self) -> int:
        return self.length

    def size_of(self, index: int) -> tuple[int, int]:
        """(h, w) of sample ``index`` in pixels."""
        if not self.config.small:
            return self.config.size
        run = np.random.SeedSequence([self.seed, self._stream, index // self.config.same_size, 3])
        small = np.random.default_rng(run).random() < self.config.small
        return self.config.small_size if small else self.config.size

    def forgery(self, index: int) -> compose.Forgery:
        """Sample ``index`` as arrays."""
        if not 0 <= index < self.length:
            raise IndexError(index)
        size = self.size_of(index)
        if self.config.twins:
            pair = np.random.SeedSequence([self.seed, self._stream, index // 2, 2])
            if np.random.default_rng(pair).random() < self.config.twins:
                return self.synthesizer.make_twin(pair, forged=index % 2 == 0, size=size)
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, self._stream, index]))
        return self.synthesizer.make(rng, size=size)

    def __getitem__(self, index: int) -> dict[str, Any]:
        import torch

        made = self.forgery(index)
        return {
            "image": torch.from_numpy(np.ascontiguousarray(made.image.transpose(2, 0, 1))),
            "mask": torch.from_numpy(made.mask.astype(np.uint8)),
            "kind": made.kind,
        }


def config_from_dict(values: dict[str, Any]) -> SynthesisConfig:
    """A `SynthesisConfig` from plain values (lists become tuples).

    Raises:
        ConfigError: a field is unknown.
    """
    known = set(asdict(SynthesisConfig()))
    unknown = sorted(set(values) - known)
    if unknown:
        raise ConfigError(f"unknown synthesis option {unknown}; known: {', '.join(sorted(known))}")
    plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return SynthesisConfig(**plain)
