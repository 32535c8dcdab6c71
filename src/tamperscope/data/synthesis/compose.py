"""The forgeries: each function takes what it needs, returns pixels (h, w, 3) uint8 and the exact
mask (h, w) bool.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tamperscope import perturb
from tamperscope.data.generators.base import Generator
from tamperscope.data.synthesis import history, regions

Array = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Forgery:
    """A picture with its forged region; ``mask`` is empty for a pristine one."""

    image: Array
    mask: Mask
    kind: str


def splice(
    rng: np.random.Generator,
    host: Array,
    donor: Array,
    donor_mask: Mask | None,
    fraction: float,
    *,
    camera: float = 0.0,
    plain: float = 0.0,
    centred: float = regions.CENTRED,
) -> Forgery:
    """Paste an object of ``donor`` (or, without a mask, whatever a free shape cuts out of it) into
    ``host``; with the chance ``plain`` the donor is taken as it is.
    """
    h, w = host.shape[:2]
    if not plain or rng.random() >= plain:
        donor = history.piece_history(rng, donor, camera=camera)
    if donor_mask is None:
        mask = regions.free_shape(rng, (h, w), fraction, centred=centred)
        return _finish(rng, host, _fit(rng, donor, (h, w)), mask, "splice")
    piece, alpha = _cut_object(donor, donor_mask)
    piece, alpha = _transform(rng, piece, alpha, fraction, (h, w))
    layer, mask = _place(rng, host, piece, alpha, centred)
    return _finish(rng, host, layer, mask, "splice")


def copy_move(
    rng: np.random.Generator,
    host: Array,
    object_mask: Mask | None,
    fraction: float,
    *,
    centred: float = regions.CENTRED,
) -> Forgery:
    """Copy a region of ``host`` to another place in it, rotated and scaled at random; only the copy
    is marked.
    """
    h, w = host.shape[:2]
    if object_mask is not None and object_mask.sum() > 50 and rng.random() < 0.7:
        source = regions.largest_piece(object_mask)
    else:
        source = regions.free_shape(rng, (h, w), fraction, centred=centred)
    if source.sum() < 16:
        return Forgery(image=host, mask=np.zeros((h, w), bool), kind="pristine")
    piece, alpha = _cut_object(host, source)
    limit = float(source.mean())
    if rng.random() < 0.6:
        piece, alpha = _transform(rng, piece, alpha, limit * float(rng.uniform(0.6, 1.3)), (h, w))
    layer, mask = _place(rng, host, piece, alpha, centred)
    return _finish(rng, host, layer, mask, "copymove")


def reprocess(
    rng: np.random.Generator,
    host: Array,
    object_mask: Mask | None,
    fraction: float,
    *,
    centred: float = regions.CENTRED,
) -> Forgery:
    """Give a region another history and leave its content as it is: nothing but traces can tell it.

    The region is a free shape across objects, an object, or background beside an untouched object.
    """
    size = host.shape[:2]
    draw = rng.random()
    if object_mask is not None and draw < 0.25 and 0.005 < object_mask.mean() < 0.45:
        mask = object_mask
    elif draw < 0.6:
        shape = regions.free_shape(rng, size, fraction, centred=centred)
        mask = regions.avoid(shape, object_mask)
    else:
        mask = regions.free_shape(rng, size, fraction, centred=centred)
    other = history.degrade(rng, host)
    if rng.random() < 0.6:
        other = history.degrade(rng, other)
    if rng.random() < 0.4:
        other = history.tone(rng, other, 0.5)
    return _finish(rng, host, other, mask, "reprocess", blend=False)


def remove(
    rng: np.random.Generator,
    host: Array,
    object_mask: Mask | None,
    fraction: float,
    *,
    centred: float = regions.CENTRED,
) -> Forgery:
    """Fill a region from its surroundings: diffusion or fast-marching inpainting, or patches of the
    picture.
    """
    mask = _hole(rng, host, object_mask, min(fraction, 0.15), centred)
    filled = _inpaint(rng, host, mask) if rng.random() < 0.5 else _clone_fill(rng, host)
    if rng.random() < 0.3:
        filled = perturb.add_noise(filled, float(rng.uniform(1, 5)), rng)
    return _finish(rng, host, filled, mask, "removal")


def regenerate(
    rng: np.random.Generator,
    host: Array,
    object_mask: Mask | None,
    fraction: float,
    painter: Generator,
    *,
    centred: float = regions.CENTRED,
) -> Forgery:
    """Have a generator make the region anew: its pixels carry the traces of a decoder.

    Where the generator's decoder makes the whole picture, half of the time all of it is kept, and
    half of the time the region alone is put back, as editing programs do.
    """
    mask = _hole(rng, host, object_mask, fraction, centred)
    if mask.sum() < 16:
        return pristine(host)
    made = painter.inpaint(host[None], mask[None], seed=int(rng.integers(2**31)))[0]
    if painter.whole_image and rng.random() < 0.5:
        return Forgery(image=made, mask=mask, kind="regenerate")
    return _finish(rng, host, made, mask, "regenerate", blend=False)


def pristine(host: Array) -> Forgery:
    """Nothing forged: what the image score learns innocence from."""
    return Forgery(image=host, mask=np.zeros(host.shape[:2], bool), kind="pristine")


def _hole(
    rng: np.random.Generator,
    host: Array,
    object_mask: Mask | None,
    fraction: float,
    centred: float,
) -> Mask:
    """What is to be filled: the salient object, a little grown, or a free shape."""
    if object_mask is not None and 0.005 < object_mask.mean() < 0.25 and rng.random() < 0.5:
        grown = cv2.dilate(object_mask.astype(np.uint8), np.ones((5, 5), np.uint8))
        return grown.astype(bool)
    return regions.free_shape(rng, host.shape[:2], fraction, centred=centred)


def _inpaint(rng: np.random.Generator, host: Array, mask: Mask) -> Array:
    method = cv2.INPAINT_TELEA if rng.random() < 0.5 else cv2.INPAINT_NS
    # At half size it is four times faster, and smooth filling loses nothing by it.
    h, w = mask.shape
    small = cv2.resize(host, (w // 2, h // 2), interpolation=cv2.INTER_AREA)
    hole = cv2.resize(mask.astype(np.uint8), (w // 2, h // 2), interpolation=cv2.INTER_LINEAR)
    hole = cv2.dilate(hole, np.ones((3, 3), np.uint8))
    filled = cv2.inpaint(small, hole, 3, method)
    return np.asarray(cv2.resize(filled, (w, h), interpolation=cv2.INTER_CUBIC), np.uint8)


def _clone_fill(rng: np.random.Generator, host: Array) -> Array:
    """The whole picture shifted by a third or so: a clone stamp's source."""
    h, w = host.shape[:2]
    dy = int(rng.integers(h // 8, h // 2)) * int(rng.choice([-1, 1]))
    dx = int(rng.integers(w // 8, w // 2)) * int(rng.choice([-1, 1]))
    return np.roll(host, (dy, dx), (0, 1))


def _cut_object(image: Array, mask: Mask) -> tuple[Array, NDArray[np.float32]]:
    ys, xs = np.nonzero(mask)
    y0, y1, x0, x1 = ys.min(), ys.max() + 1, xs.min(), xs.max() + 1
    return image[y0:y1, x0:x1], mask[y0:y1, x0:x1].astype(np.float32)


def _transform(
    rng: np.random.Generator,
    piece: Array,
    alpha: NDArray[np.float32],
    fraction: float,
    size: tuple[int, int],
) -> tuple[Array, NDArray[np.float32]]:
    """Scale (towards ``fraction`` of the host), flip and rotate in one resampling, as an editor's
    free transform does.
    """
    h, w = piece.shape[:2]
    area = max(float(alpha.sum()), 1.0)
    wanted = np.sqrt(fraction * size[0] * size[1] / area)
    # Many pasted pieces keep their scale, and none is blown up without limit.
    factor = 1.0 if rng.random() < 0.25 else float(np.clip(wanted, 0.25, 1.6))
    factor = min(factor, 0.95 * size[0] / h, 0.95 * size[1] / w)
    angle = 0.0 if rng.random() < 0.55 else float(rng.normal(0, 20))
    if rng.random() < 0.3:
        piece, alpha = piece[:, ::-1], alpha[:, ::-1]
    if factor == 1.0 and angle == 0.0:
        return np.ascontiguousarray(piece), np.ascontiguousarray(alpha)
    if factor < 0.6:
        # Warping alone would alias; editors low-pass before they shrink.
        pre = perturb.resize(
            np.ascontiguousarray(piece), (round(h * factor), round(w * factor)), "area"
        )
        alpha = np.asarray(
            cv2.resize(np.ascontiguousarray(alpha), pre.shape[1::-1], interpolation=cv2.INTER_AREA),
            np.float32,
        )
        piece, factor = pre, 1.0
        h, w = piece.shape[:2]
    return _warp(rng, np.ascontiguousarray(piece), np.ascontiguousarray(alpha), factor, angle)


def _warp(
    rng: np.random.Generator,
    piece: Array,
    alpha: NDArray[np.float32],
    factor: float,
    angle: float,
) -> tuple[Array, NDArray[np.float32]]:
    h, w = piece.shape[:2]
    matrix = cv2.getRotationMatrix2D((w / 2, h / 2), angle, factor)
    cos, sin = abs(matrix[0, 0]), abs(matrix[0, 1])
    nw, nh = max(2, int(h * sin + w * cos)), max(2, int(h * cos + w * sin))
    matrix[0, 2] += nw / 2 - w / 2
    matrix[1, 2] += nh / 2 - h / 2
    flag = cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_CUBIC
    warped = cv2.warpAffine(piece, matrix, (nw, nh), flags=flag, borderMode=cv2.BORDER_REPLICATE)
    weight = cv2.warpAffine(alpha, matrix, (nw, nh), flags=cv2.INTER_LINEAR)
    return np.asarray(warped, np.uint8), np.asarray(weight, np.float32)


def _place(
    rng: np.random.Generator,
    host: Array,
    piece: Array,
    alpha: NDArray[np.float32],
    centred: float,
) -> tuple[Array, Mask]:
    """Put the piece on a copy of ``host``; returns the layer and its bool mask."""
    h, w = host.shape[:2]
    ph, pw = min(piece.shape[0], h), min(piece.shape[1], w)
    piece, alpha = piece[:ph, :pw], alpha[:ph, :pw]
    cy, cx = regions.placement(rng, (h, w), centred=centred)
    # Mostly inside the frame, sometimes cut by its border.
    slack = 0.0 if rng.random() < 0.75 else 0.4
    y = int(np.clip(cy - ph / 2, -slack * ph, h - ph * (1 - slack)))
    x = int(np.clip(cx - pw / 2, -slack * pw, w - pw * (1 - slack)))
    y0, x0, y1, x1 = max(y, 0), max(x, 0), min(y + ph, h), min(x + pw, w)
    layer, mask = host.copy(), np.zeros((h, w), bool)
    layer[y0:y1, x0:x1] = piece[y0 - y : y1 - y, x0 - x : x1 - x]
    mask[y0:y1, x0:x1] = alpha[y0 - y : y1 - y, x0 - x : x1 - x] > 0.5
    return layer, mask


def _fit(rng: np.random.Generator, donor: Array, size: tuple[int, int]) -> Array:
    """A window of ``size`` out of ``donor``, resampled in most cases: pieces seldom come at the
    right scale.
    """
    h, w = size
    low = max(h / donor.shape[0], w / donor.shape[1])
    if rng.random() < 0.35 and low <= 1.0:
        scaled = donor
    else:
        factor = low * float(np.exp(rng.uniform(0.0, 0.5)))
        new = (max(h, round(donor.shape[0] * factor)), max(w, round(donor.shape[1] * factor)))
        scaled = perturb.resize(donor, new, history.interpolation(rng))
    y = int(rng.integers(scaled.shape[0] - h + 1))
    x = int(rng.integers(scaled.shape[1] - w + 1))
    window = scaled[y : y + h, x : x + w]
    return np.ascontiguousarray(window[:, ::-1] if rng.random() < 0.5 else window)


def _harmonise(rng: np.random.Generator, host: Array, layer: Array, mask: Mask) -> Array:
    """Move the layer's mean and spread of colour part of the way to those of the host around the
    mask.
    """
    ring = cv2.dilate(mask.astype(np.uint8), np.ones((15, 15), np.uint8)).astype(bool) & ~mask
    if ring.sum() < 32 or mask.sum() < 32:
        return layer
    inside, around = layer[mask].astype(np.float32), host[ring].astype(np.float32)
    strength = float(rng.uniform(0.3, 0.9))
    ratio = np.clip((around.std(0) + 1) / (inside.std(0) + 1), 0.7, 1.4) ** strength
    shift = strength * (around.mean(0) - inside.mean(0))
    moved = (layer.astype(np.float32) - inside.mean(0)) * ratio + inside.mean(0) + shift
    return np.asarray(np.clip(np.rint(moved), 0, 255), np.uint8)


def _finish(
    rng: np.random.Generator,
    host: Array,
    layer: Array,
    mask: Mask,
    kind: str,
    *,
    blend: bool = True,
) -> Forgery:
    """Blend the layer over the host through a hard or feathered edge."""
    if mask.sum() < 16:
        return Forgery(image=host, mask=np.zeros_like(mask), kind="pristine")
    if blend and rng.random() < 0.3:
        layer = _harmonise(rng, host, layer, mask)
    if rng.random() < 0.45:
        image = np.where(mask[..., None], layer, host)
    else:
        alpha = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), float(rng.uniform(0.5, 2.2)))
        mixed = host + alpha[..., None] * (layer.astype(np.float32) - host)
        image = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    if blend and rng.random() < 0.12:
        image = _soften_edge(rng, image, mask)
    return Forgery(image=np.ascontiguousarray(image), mask=mask, kind=kind)


def _soften_edge(rng: np.random.Generator, image: Array, mask: Mask) -> Array:
    """Blur a band along the edge of the forgery, as with a smear tool."""
    m = mask.astype(np.uint8)
    kernel = np.ones((5, 5), np.uint8)
    band = (cv2.dilate(m, kernel) - cv2.erode(m, kernel)).astype(bool)
    soft = perturb.blur(image, float(rng.uniform(0.8, 2.0)))
    return np.where(band[..., None], soft, image).astype(np.uint8)
