"""Where a copy might lie: affine maps from a place in a picture to a place that looks like it.

Two textbook sources. Keypoints (SIFT, Lowe 2004) that match other keypoints of the same picture,
grouped by the similarity transform they agree on, as in Amerini et al., "A SIFT-based forensic
method for copy-move attack detection and transformation recovery" (2011): they find copies that
were moved, turned, scaled or mirrored. And the power cepstrum (Bogert, Healy, Tukey 1963), in which
a copy is an echo and has a peak at its offset: it finds copies too smooth for keypoints, if they
were only moved. A candidate is no more than a guess; `copy_proof` says what it is worth.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft

Plane = NDArray[np.float32]
Points = NDArray[np.complex128]

NEAREST = 20.0
"""The least distance between a place and its copy, in pixels."""

TOLERANCE = 3.0
"""How far a match may be from where a transform takes it, in pixels."""

# A match is taken where the nearest descriptor is this much nearer than the second (Lowe's ratio).
_RATIO = 0.8
_ALIKE = 0.5
_CONTRAST = 0.01
_EDGE = 20.0
# How many matches have to agree on a transform.
_AGREE = 4
_TRANSFORMS = 6
_HYPOTHESES = 400
# A single keypoint's scale and angle are rough, so its transform holds only near to it: the
# tolerance grows by this much of the distance, up to this distance.
_ROUGH, _REACH = 0.12, 150.0
_LEAST_SCALE = 0.3
# Leaves, bricks and fences repeat themselves too, but mostly at short distances: there a cepstral
# peak has to stand out further. In deviations and pixels; set on held-back photos.
_PEAK, _PEAK_NEAR, _NEAR = 7.0, 16.0, 64
_OFFSETS = 8


@dataclass(frozen=True, eq=False)
class Matches:
    """Pairs of keypoints that look alike, as points x + iy of the picture.

    Attributes:
        here, there: complex (n,), the two places.
        transform: complex (n,), scale and rotation from the one to the other, by the keypoints'
            own sizes and angles.
        keypoints: complex (k,), all that were found, matched or not.
        mirrored: the one place looks like the other's reflection; ``transform`` is then that of
            conjugates, as in `Candidate`.
    """

    here: Points
    there: Points
    transform: Points
    keypoints: Points
    mirrored: bool = False

    def scaled(self, down: float, across: float) -> "Matches":
        """The same in a picture so many times as high and as wide; nearly as many."""
        if down == across == 1.0:
            return self
        # The middle of a pixel has whole coordinates, so its corner is what stays in place.
        off = 0.5 * (across - 1) + 0.5j * (down - 1)
        here, there, points = (
            z.real * across + 1j * z.imag * down + off
            for z in (self.here, self.there, self.keypoints)
        )
        return replace(self, here=here, there=there, keypoints=points)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A map z -> a z + b of points x + iy (of their conjugates where ``mirrored``)."""

    a: complex
    b: complex
    mirrored: bool = False

    @property
    def matrix(self) -> NDArray[np.float64]:
        """The same as an affine matrix (2, 3) of (x, y, 1)."""
        a, b, sign = self.a, self.b, -1.0 if self.mirrored else 1.0
        return np.array(
            [[a.real, -a.imag * sign, b.real], [a.imag, a.real * sign, b.imag]], np.float64
        )

    def apply(self, points: Points) -> Points:
        """Where ``points`` go."""
        moved = np.conj(points) if self.mirrored else points
        return np.asarray(self.a * moved + self.b)


def find_matches(grey: NDArray[np.uint8], *, limit: int = 3000) -> tuple[Matches, Matches]:
    """Keypoints of a picture that look like another one of it, as they are and mirrored.

    Args:
        grey: uint8 (h, w).
        limit: at most so many keypoints, the strongest.
    """
    nothing = np.zeros(0, np.complex128)
    empty = Matches(nothing, nothing, nothing, nothing)
    sift = cv2.SIFT.create(nfeatures=limit, contrastThreshold=_CONTRAST, edgeThreshold=_EDGE)
    found, raw = sift.detectAndCompute(grey, None)
    if raw is None or len(found) < _AGREE:
        return empty, replace(empty, mirrored=True)
    points = np.array([complex(*k.pt) for k in found])
    # Size and direction in one number, so that the quotient of two is scale and rotation.
    arms = np.array([k.size * np.exp(1j * np.deg2rad(k.angle)) for k in found])
    # Square roots of the shares: Arandjelovic and Zisserman, "Three things everyone should know to
    # improve object retrieval" (2012).
    rows = np.sqrt(raw / np.maximum(raw.sum(1, keepdims=True), 1e-6)).astype(np.float32)
    return (
        _matched(points, arms, rows, rows),
        _matched(points, arms, rows, rows[:, _mirror_order()], mirrored=True),
    )


def _mirror_order() -> NDArray[np.intp]:
    """Where the numbers of a mirrored patch's descriptor stand: its 4x4 cells in reversed rows, its
    8 directions turned round.
    """
    places = np.arange(128).reshape(4, 4, 8)[::-1]
    return np.asarray(places[:, :, (-np.arange(8)) % 8].reshape(-1), np.intp)


def _matched(
    points: Points, arms: Points, rows: Plane, others: Plane, *, mirrored: bool = False
) -> Matches:
    count = min(10, len(rows))
    all_rows = torch.from_numpy(np.ascontiguousarray(rows))
    columns = torch.from_numpy(np.ascontiguousarray(others)).T
    # A thousand rows at a time: all at once would take a hundred megabytes.
    best = [(chunk @ columns).topk(count, 1) for chunk in torch.split(all_rows, 1000)]
    likeness = torch.cat([b.values for b in best]).numpy()
    index = torch.cat([b.indices for b in best]).numpy()
    far = np.abs(points[:, None] - points[index]) >= NEAREST
    line = np.arange(len(points))
    first = far.argmax(1)
    partner = index[line, first]
    rival = far & (np.abs(points[index] - points[partner][:, None]) >= 4)
    second = np.where(rival.any(1), likeness[line, rival.argmax(1)], likeness[:, -1])
    distance = np.sqrt(np.maximum(2 - 2 * likeness[line, first], 0))
    distance_second = np.sqrt(np.maximum(2 - 2 * second, 0))
    sure = far.any(1) & (likeness[line, first] > _ALIKE) & (distance < _RATIO * distance_second)
    here, there = line[sure], partner[sure]
    from_arm = np.conj(arms[here]) if mirrored else arms[here]
    return Matches(points[here], points[there], arms[there] / from_arm, points, mirrored)


def keypoint_candidates(matches: Matches) -> list[Candidate]:
    """The similarity transforms that at least four matches agree on, most agreed first.

    Every match proposes its own transform; the best one is fitted to those that agree, its matches
    are taken out, and so on.
    """
    here = np.conj(matches.here) if matches.mirrored else matches.here
    there, free = matches.there, np.ones(len(matches.here), bool)
    shift = there - matches.transform * here
    found: list[Candidate] = []
    while len(found) < _TRANSFORMS and free.sum() >= _AGREE:
        tried = np.nonzero(free)[0]
        tried = tried[:: -(-len(tried) // _HYPOTHESES)]
        reach = np.abs(here[tried][:, None] - here)
        error = np.abs(matches.transform[tried][:, None] * here + shift[tried][:, None] - there)
        agree = (error < TOLERANCE + _ROUGH * reach) & (reach < _REACH) & free
        fit = _best_fit(here, there, free, agree)
        if fit is None:
            break
        a, b = fit
        candidate = Candidate(a, b, matches.mirrored)
        # Matches mostly come both ways: the way back is the same copy.
        free &= np.abs(candidate.apply(matches.here) - there) >= 2 * TOLERANCE
        free &= np.abs(candidate.apply(there) - matches.here) >= 2 * TOLERANCE
        found.append(candidate)
    return found


def _best_fit(
    here: Points, there: Points, free: NDArray[np.bool_], agree: NDArray[np.bool_]
) -> tuple[complex, complex] | None:
    """The first of the most agreed proposals (rows of ``agree``) that stands when it is fitted."""
    counts = agree.sum(1)
    for proposal in np.argsort(-counts, kind="stable")[:5]:
        chosen = np.nonzero(agree[proposal])[0]
        a = b = 0j
        for _ in range(4):
            if len(chosen) < _AGREE:
                break
            a, b = _least_squares(here[chosen], there[chosen])
            again = np.nonzero((np.abs(a * here + b - there) < TOLERANCE) & free)[0]
            if np.array_equal(again, chosen):
                break
            chosen = again
        # Keypoints come in heaps at one spot; four at one spot prove no transform.
        spots = len(np.unique(np.round(here[chosen] / 3)))
        if spots >= _AGREE and _LEAST_SCALE < abs(a) < 1 / _LEAST_SCALE:
            return a, b
    return None


def _least_squares(here: Points, there: Points) -> tuple[complex, complex]:
    middle, target = here.mean(), there.mean()
    spread = float((np.abs(here - middle) ** 2).sum())
    if spread <= 0:
        return 0j, complex(target)
    a = complex((np.conj(here - middle) * (there - target)).sum() / spread)
    return a, complex(target - a * middle)


def offset_candidates(grey: Plane, *, count: int = _OFFSETS) -> list[Candidate]:
    """Up to ``count`` moves at which the cepstrum of ``grey``, float32 (h, w), stands out."""
    return [Candidate(1 + 0j, complex(dx, dy)) for dy, dx in _offsets(_even(grey), count)]


def _even(grey: Plane) -> Plane:
    """Fine detail at even strength."""
    detail = grey - cv2.GaussianBlur(grey, (0, 0), 1.5)
    strength = np.sqrt(cv2.boxFilter(detail * detail, -1, (15, 15)) + 6.0)
    return np.asarray(detail / strength, np.float32)


def _offsets(even: Plane, count: int) -> list[tuple[int, int]]:
    """Up to ``count`` offsets (dy, dx) at which the cepstrum stands out."""
    h, w = even.shape
    shape = (fft.next_fast_len(2 * h, real=True), fft.next_fast_len(2 * w, real=True))
    threads = torch.get_num_threads()
    power = np.abs(fft.rfft2(even, shape, workers=threads)) ** 2
    floor = 0.05 * float(np.median(power)) + 1e-12
    cepstrum = fft.fftshift(fft.irfft2(np.log(power + floor), shape, workers=threads))
    cy, cx = shape[0] // 2, shape[1] // 2
    yy, xx = np.ogrid[-cy : shape[0] - cy, -cx : shape[1] - cx]
    inside = (np.abs(yy) < h - 16) & (np.abs(xx) < w - 16) & (yy * yy + xx * xx >= NEAREST**2)
    # A cepstrum is symmetric: one half says it all.
    inside[:cy] = False
    values = np.where(inside, cepstrum, 0.0)
    spread = float(np.median(np.abs(values[inside]))) / 0.6745 if inside.any() else 0.0
    found: list[tuple[int, int]] = []
    while spread > 0 and len(found) < count:
        y, x = (int(i) for i in np.unravel_index(int(np.argmax(values)), values.shape))
        if values[y, x] < _PEAK * spread:
            break
        near = (y - cy) ** 2 + (x - cx) ** 2 < _NEAR**2
        if not near or values[y, x] >= _PEAK_NEAR * spread:
            found.append((y - cy, x - cx))
        values[max(0, y - 3) : y + 4, max(0, x - 3) : x + 4] = 0.0
    return found
