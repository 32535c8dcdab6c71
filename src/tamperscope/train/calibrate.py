"""The decision of a trained network, fitted on held-back synthetic forgeries and held-back
untouched photos.

Four small fits, in this order: cell probabilities (logistic regression on evidence and cluster
margin), the same at the frequency that forged cells have in forged pictures, the image score
(logistic regression on two statistics of the map), and the thresholds that give the best mean F1
while untouched pictures stay clean. Nothing here ever sees a test set.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from tamperscope.data.synthesis import SynthesisConfig, SynthesisDataset, Synthesizer, history
from tamperscope.data.synthesis.dataset import config_from_dict
from tamperscope.data.synthesis.sources import Photo, PhotoPool, group_of, read_photo
from tamperscope.errors import ImageError, TrainingError
from tamperscope.methods.focal.config import FocalConfig
from tamperscope.methods.focal.decision import (
    Calibration,
    cell_cues,
    cell_logits,
    image_score,
    image_statistics,
    own_threshold,
    surest_copy,
)
from tamperscope.methods.focal.features import FeatureMaps, extract
from tamperscope.methods.focal.network import FocalNetwork


@dataclass(frozen=True, kw_only=True)
class CalibrationReport:
    """A fitted calibration and how it does on the pictures it was fitted on.

    Attributes:
        calibration: for the weights card.
        numbers: mean F1 and IoU over forged pictures, share of pixels and of pictures flagged over
            untouched ones, pixel AUC, image AUC, and how many pictures of either sort.
    """

    calibration: Calibration
    numbers: dict[str, float]


_FIXED = np.arange(0.3, 0.99, 0.01)
_SMALL = 256
"""The least longer side, in pixels, that a photo is shrunk to."""


@dataclass(frozen=True, eq=False)
class _Picture:
    """What the fits need of a picture. Not its features: hundreds of photos from disk would fill
    the memory with them.
    """

    cues: Tensor
    """(rows, columns, 4), see `cell_cues`."""
    copy: float
    """The confidence in the surest copy."""
    mask: NDArray[np.bool_]
    """Forged cells on the feature grid; none for an untouched picture."""

    @classmethod
    def of(cls, maps: FeatureMaps, mask: NDArray[np.bool_]) -> "_Picture":
        return cls(cell_cues(maps), surest_copy(maps), mask)


def calibrate(
    networks: FocalNetwork | Sequence[FocalNetwork],
    *,
    data_root: str | Path,
    synthesis: dict[str, Any],
    forged: int = 480,
    authentic: int = 320,
    seed: int = 1,
    max_false_pixels: float = 0.03,
    max_false_pictures: float = 0.15,
    false_picture_price: float = 0.15,
    use_margin: bool = True,
    progress: Callable[[int], None] | None = None,
) -> CalibrationReport:
    """Fit the decision of a network, or of several fused ones.

    Args:
        networks: each with an evidence head, in eval mode.
        data_root, synthesis: photos and synthesis options of the training recipe; only held-back
            photos are used.
        forged: forged pictures to make.
        authentic: untouched pictures; half are held-back photos as they are on disk (some of them
            shrunk, where the recipe shrinks photos), half were made and saved like forgeries.
        seed: of the pictures; another one than validation's.
        max_false_pixels: the thresholds are the best ones that flag at most this mean share of an
            untouched picture,
        max_false_pictures: and anything in at most this share of them.
        false_picture_price: what a false alarm costs, in mean F1: the image threshold that keeps
            untouched pictures clean is worth so much of it per share of them it clears.
        use_margin: give the cluster margin a weight of its own.
        progress: called with the number of pictures done.

    Raises:
        TrainingError: the network has no evidence head, or there were no forged or no untouched
            pictures.
        ConfigError: an unknown synthesis option.
        DataError: no photos were held back.
    """
    several = [networks] if isinstance(networks, FocalNetwork) else list(networks)
    if any(network.evidence is None for network in several):
        raise TrainingError(
            "only a network with an evidence head can be calibrated: train one with evidence = true"
        )
    config = config_from_dict(synthesis)
    pictures = []
    made = _pictures(config, Path(data_root), forged, authentic, seed)
    for done, (image, mask) in enumerate(made, start=1):
        picture = _look(several, image, mask)
        # A forgery too thin to fill half of any cell would count as untouched.
        if picture.mask.any() or not mask.any():
            pictures.append(picture)
        if progress is not None:
            progress(done)
    return fit(
        pictures,
        max_false_pixels=max_false_pixels,
        max_false_pictures=max_false_pictures,
        false_picture_price=false_picture_price,
        use_margin=use_margin,
    )


def fit(
    pictures: list[_Picture],
    *,
    max_false_pixels: float = 0.03,
    max_false_pictures: float = 0.15,
    false_picture_price: float = 0.15,
    use_margin: bool = True,
) -> CalibrationReport:
    """The three fits, on pictures already seen by the network.

    Raises:
        TrainingError: no forged or no untouched picture.
    """
    if len({bool(p.mask.any()) for p in pictures}) < 2:
        raise TrainingError(
            "calibration needs forged and untouched pictures: ask for at least one of each"
        )
    calibration = _fit_cells(pictures, use_margin)
    logits = [cell_logits(p.cues, calibration) for p in pictures]
    forged = [i for i, p in enumerate(pictures) if p.mask.any()]
    clean = [i for i, p in enumerate(pictures) if not p.mask.any()]
    calibration = _fit_cut(calibration, [logits[i] for i in forged], [pictures[i] for i in forged])
    copies = [p.copy for p in pictures]
    calibration = _fit_image(calibration, logits, copies, forged, clean)
    scores = [torch.sigmoid(x).numpy() for x in logits]
    image_scores = _image_scores(logits, copies, calibration)
    masks = [p.mask for p in pictures]
    price = _Price(max_false_pixels, max_false_pictures, false_picture_price)
    fixed = {t: [s > t for s in scores] for t in (round(float(t), 4) for t in _FIXED)}
    threshold = max(fixed, key=lambda t: price.best_gate(fixed[t], masks, image_scores)[1])
    calibration = replace(calibration, threshold=threshold)
    found = [_found(s, x, calibration) for s, x in zip(scores, logits, strict=True)]
    gate, _ = price.best_gate(found, masks, image_scores)
    calibration = replace(calibration, image_threshold=gate)
    numbers = _numbers(pictures, scores, logits, image_scores, calibration, forged, clean)
    return CalibrationReport(calibration=calibration, numbers=numbers)


def _pictures(
    config: SynthesisConfig, root: Path, forged: int, authentic: int, seed: int
) -> Iterable[tuple[NDArray[np.uint8], NDArray[np.bool_]]]:
    mixture = {k: v for k, v in config.mixture.items() if k != "pristine"}
    alone = replace(config, mixture=mixture, twins=0.0)
    data = SynthesisDataset(alone, split="val", root=root, seed=seed, length=4 * forged + 4)
    made = (data.forgery(i) for i in range(len(data)))
    kept = (f for f in made if f.mask.mean() > 0.003)
    for f in islice(kept, forged):
        yield f.image, f.mask
    photos = data.photos
    rng = np.random.default_rng([seed, 2])
    order = (photos[i] for i in _shuffled(photos, dict(config.weights), rng))
    # Shrunk as often as training's hosts are.
    shrunk = config.shrunk * (1 - config.as_is)
    for pixels in islice(_readable(order), authentic // 2):
        photo = _shrink(rng, pixels) if shrunk and rng.random() < shrunk else pixels
        yield photo, np.zeros(photo.shape[:2], bool)
    clean = Synthesizer(config, PhotoPool(photos, weights=dict(config.weights)))
    for i in range(authentic - authentic // 2):
        # Saved like a forgery, whatever it was before: a last save must not speak for one.
        pair = np.random.SeedSequence([seed, 3, i])
        image = clean.make_twin(pair, forged=False, size=data.size_of(i)).image
        yield image, np.zeros(image.shape[:2], bool)


def _shrink(rng: np.random.Generator, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The photo with a longer side of `_SMALL` pixels or more, as the pictures of web pages are;
    itself where it is no larger.
    """
    side = max(pixels.shape[:2])
    if side <= _SMALL:
        return pixels
    factor = float(np.exp(rng.uniform(np.log(_SMALL / side), 0.0)))
    h, w = (max(1, round(s * factor)) for s in pixels.shape[:2])
    return history.shrink(rng, pixels, (h, w))


def _shuffled(
    photos: Sequence[Photo], weights: dict[str, float], rng: np.random.Generator
) -> list[int]:
    """An order of the photos in which folders come as often as their weights say, as in training:
    weighted sampling without replacement (Efraimidis and Spirakis 2006).
    """
    groups = [group_of(photo) for photo in photos]
    each = np.array([weights.get(g, groups.count(g)) / groups.count(g) for g in groups])
    keys = np.log(rng.random(len(photos))) / np.maximum(each, 1e-12)
    return [int(i) for i in np.argsort(-keys) if each[i] > 0]


def _readable(photos: Iterable[Photo]) -> Iterator[NDArray[np.uint8]]:
    """The pixels of those photos that can be decoded; training skips the others as well."""
    for photo in photos:
        with suppress(ImageError):
            yield read_photo(photo)[0]


def _look(
    networks: Sequence[FocalNetwork], image: NDArray[np.uint8], mask: NDArray[np.bool_]
) -> _Picture:
    maps: FeatureMaps = extract(
        networks, image, FocalConfig(), device=torch.device("cpu"), dtype=torch.float32
    )
    assert maps.evidence is not None
    grid = (maps.evidence.shape[0], maps.evidence.shape[1])
    small = F.adaptive_avg_pool2d(torch.from_numpy(mask.astype(np.float32))[None], grid)[0]
    return _Picture.of(maps, (small > 0.5).numpy())


def _fit_cells(pictures: list[_Picture], use_margin: bool) -> Calibration:
    """Logistic regression over cells; every picture weighs the same, so large ones do not outvote
    small ones.
    """
    rows, labels, weights = [], [], []
    rng = np.random.default_rng(0)
    for p in pictures:
        columns = p.cues.reshape(-1, p.cues.shape[-1]).numpy()
        take = rng.permutation(len(columns))[:1500]
        rows.append(columns[take] * [1.0, float(use_margin), 1.0, 1.0])
        labels.append(p.mask.reshape(-1)[take])
        weights.append(np.full(len(take), 1.0 / len(take)))
    # Balanced: a score says how well a cell fits a forgery when both are as likely; at the true
    # share of forged cells nearly every score would be small and every heat map dark.
    model = LogisticRegression(C=1e6, class_weight="balanced", max_iter=1000)
    total = np.concatenate(weights)
    model.fit(np.concatenate(rows), np.concatenate(labels), total * len(total) / total.sum())
    evidence, margin, copies, sides = (float(v) for v in model.coef_[0])
    return Calibration(
        evidence=evidence,
        margin=margin if use_margin else 0.0,
        copies=max(copies, 0.0),
        sides=max(sides, 0.0),
        bias=float(model.intercept_[0]),
    )


def _fit_cut(
    calibration: Calibration, logits: list[Tensor], pictures: list[_Picture]
) -> Calibration:
    """Logistic regression of the cells of forged pictures on their logit, at their true frequency;
    no cut of its own for a picture where that does not rise.
    """
    rng = np.random.default_rng(0)
    columns, labels, weights = [], [], []
    for x, picture in zip(logits, pictures, strict=True):
        take = rng.permutation(x.numel())[:1500]
        columns.append(x.flatten().numpy()[take])
        labels.append(picture.mask.reshape(-1)[take])
        weights.append(np.full(len(take), 1.0 / len(take)))
    model = LogisticRegression(C=1e6, max_iter=1000)
    total = np.concatenate(weights)
    model.fit(
        np.concatenate(columns)[:, None],
        np.concatenate(labels),
        total * len(total) / total.sum(),
    )
    scale = max(float(model.coef_[0, 0]), 0.0)
    return replace(calibration, cut_scale=scale, cut_bias=float(model.intercept_[0]))


def _image_scores(
    logits: list[Tensor], copies: list[float], calibration: Calibration
) -> NDArray[np.float64]:
    pairs = zip(logits, copies, strict=True)
    return np.array([image_score(x, calibration, copy=c) for x, c in pairs])


def _fit_image(
    calibration: Calibration,
    logits: list[Tensor],
    copies: list[float],
    forged: list[int],
    clean: list[int],
) -> Calibration:
    pairs = zip(logits, copies, strict=True)
    statistics = np.array([[*image_statistics(x), c] for x, c in pairs])
    order = [*forged, *clean]
    labels = np.array([True] * len(forged) + [False] * len(clean))
    model = LogisticRegression(C=1e6, class_weight="balanced", max_iter=1000)
    model.fit(statistics[order], labels)
    top, area, copy = (float(v) for v in model.coef_[0])
    return replace(
        calibration,
        image_top=top,
        image_area=area,
        image_copies=max(copy, 0.0),
        image_bias=float(model.intercept_[0]),
    )


def _f1(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    hit = float((mask & truth).sum())
    return 2 * hit / max(float(mask.sum() + truth.sum()), 1.0)


def _found(
    scores: NDArray[np.float32], logits: Tensor, calibration: Calibration
) -> NDArray[np.bool_]:
    """The mask before the image threshold, as `decide` makes it."""
    adaptive = calibration.cut_scale > 0
    return scores > (own_threshold(logits, calibration) if adaptive else calibration.threshold)


@dataclass(frozen=True)
class _Price:
    """What a decision earns: the mean F1 over forged pictures less ``alarm`` times the share of
    untouched pictures with anything flagged; nothing when the mean untouched picture has more than
    ``max_pixels`` flagged, or more than ``max_pictures`` of them have anything flagged.
    """

    max_pixels: float
    max_pictures: float
    alarm: float

    def best_gate(
        self,
        found: Sequence[NDArray[np.bool_]],
        masks: Sequence[NDArray[np.bool_]],
        image_scores: NDArray[np.float64],
    ) -> tuple[float, float]:
        """The image threshold that earns most with these masks, and what it earns."""
        forged = np.array([m.any() for m in masks])
        quality = np.array([_f1(f, m) for f, m in zip(found, masks, strict=True)])
        flagged = np.array([float(f.mean()) for f in found])
        gates = [0.0, *np.quantile(image_scores, np.linspace(0.02, 0.9, 45))]
        # Above every untouched picture: the limit can always be kept.
        gates.append(float(np.nextafter(image_scores[~forged].max(initial=0.0), 2.0)))
        earned = []
        for gate in gates:
            kept = image_scores >= gate
            false = np.where(kept, flagged, 0.0)[~forged]
            alarms = float((false > 0).mean()) if len(false) else 0.0
            clean = not len(false) or false.mean() <= self.max_pixels
            clean = clean and alarms <= self.max_pictures
            gained = float(np.where(kept, quality, 0.0)[forged].mean()) - self.alarm * alarms
            earned.append(gained if clean else -np.inf)
        best = int(np.argmax(earned))
        return float(gates[best]), float(earned[best])


def _numbers(
    pictures: list[_Picture],
    scores: list[NDArray[np.float32]],
    logits: list[Tensor],
    image: NDArray[np.float64],
    calibration: Calibration,
    forged: list[int],
    clean: list[int],
) -> dict[str, float]:
    from sklearn.metrics import roc_auc_score

    found = {
        i: _found(scores[i], logits[i], calibration) & (image[i] >= calibration.image_threshold)
        for i in range(len(pictures))
    }
    overlap = [
        (found[i] & pictures[i].mask).sum() / max((found[i] | pictures[i].mask).sum(), 1)
        for i in forged
    ]
    labels = [i in set(forged) for i in range(len(pictures))]
    numbers = {
        "f1": np.mean([_f1(found[i], pictures[i].mask) for i in forged]),
        "iou": np.mean(overlap),
        "pixel_auc": np.mean(
            [roc_auc_score(pictures[i].mask.ravel(), scores[i].ravel()) for i in forged]
        ),
        "image_auc": roc_auc_score(labels, image),
        "false_pixels": np.mean([found[i].mean() for i in clean]),
        "false_pictures": np.mean([found[i].any() for i in clean]),
        "forged_pictures": len(forged),
        "authentic_pictures": len(clean),
    }
    return {k: round(float(v), 4) for k, v in numbers.items()}
