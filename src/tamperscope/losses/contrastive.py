"""Contrastive losses that separate forged from pristine features, one image at a time.

What "forged" looks like is only defined relative to the rest of the same picture, so no function
here ever compares features of two pictures: every picture gives its own loss and the batch is their
mean.

Mask values are 1 = forged and 0 = pristine; a feature with any other value (255, say) takes no
part. Features need not be normalised: only their direction is used. All sums run in float32
(float64 for float64 features) even under autocast, because exp(similarity / 0.1) is out of reach
for half precision.
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from tamperscope.errors import ConfigError

Metric = Literal["cosine", "euclidean"]
Variant = Literal["released", "paper"]
Reduction = Literal["mean", "sum", "none"]
NegativeMode = Literal["unpaired", "paired"]
MembershipForm = Literal["paper", "fcm"]

_NO_DIRECTION = 1e-8


def info_nce_pp(
    features: Tensor,
    masks: Tensor,
    *,
    temperature: float = 0.1,
    variant: Variant = "released",
    metric: Metric = "cosine",
    max_samples: int = 1000,
    symmetric: bool = False,
    reduction: Reduction = "mean",
    generator: torch.Generator | None = None,
) -> Tensor:
    """InfoNCE++ of FOCAL (Wu et al., arXiv 2308.09307), image by image.

    Pristine features are the queries and each other's positives, forged features are the negatives.
    With q_i the pristine and n_m the forged rows of one image, t the temperature and s(.,.) the
    similarity, the loss of a query is

    - ``released`` (as the authors' code computes it)
      ``-log(exp(p_i/t) / (exp(p_i/t) + sum_m exp(s(q_i,n_m)/t)))``, p_i = mean over j != i of
      s(q_i,q_j);
    - ``paper`` ``-log(mean over j != i of exp(s(q_i,q_j)/t) / sum_m exp(s(q_i,n_m)/t))``.

    Args:
        features: (B, C, h, w) float, any scale.
        masks: (B, h, w) integer, bool or float; 1 = forged, 0 = pristine, anything else is ignored.
        temperature: t > 0.
        variant: see above.
        metric: ``cosine``, or ``euclidean``: the released code's other branch, which uses the
            distance of unit vectors *as if it were a similarity* (far counts as alike). Kept for
            comparison.
        max_samples: at most this many rows of each class are drawn, without replacement, so that
            memory is O(max_samples^2) whatever the picture size.
        symmetric: also use the forged rows as queries against pristine negatives and average both
            directions. Ours, not in the paper: the original never pulls forged features together.
        reduction: ``mean`` or ``sum`` over the images used, or ``none``: (B,) with 0 for those
            skipped.
        generator: for the draws; a CPU generator gives the same rows on every device.

    Returns:
        A scalar, or (B,) for ``none``. An image is skipped when a class is empty or when no query
        class has two rows. All skipped: 0, still attached to the graph (its gradients are zeros).

    Raises:
        ConfigError: shapes that do not fit, or an option out of range.
    """
    _check_temperature(temperature)
    if max_samples < 2:
        raise ConfigError(
            f"max_samples must be at least 2 to form a positive pair, got {max_samples}"
        )

    def one_image(pixels: Tensor, pristine_at: Tensor, forged_at: Tensor) -> Tensor | None:
        pristine = _unit(pixels[:, _draw(pristine_at, max_samples, generator)].T)
        forged = _unit(pixels[:, _draw(forged_at, max_samples, generator)].T)
        cross = _similarity(pristine, forged, metric) / temperature
        terms = []
        if len(pristine) > 1:
            terms.append(_query_loss(pristine, cross, temperature, variant, metric).mean())
        if symmetric and len(forged) > 1:
            terms.append(_query_loss(forged, cross.T, temperature, variant, metric).mean())
        return torch.stack(terms).mean() if terms else None

    return _image_by_image(features, masks, one_image, reduction)


def info_nce(
    query: Tensor,
    negatives: Tensor | None = None,
    *,
    positive: Tensor | None = None,
    temperature: float = 0.1,
    variant: Variant = "released",
    metric: Metric = "cosine",
    negative_mode: NegativeMode = "unpaired",
    reduction: Reduction = "mean",
) -> Tensor:
    """Loss of explicit query rows: the low-level form of :func:`info_nce_pp`, without sampling.

    Args:
        query: (n, C). Without ``positive`` the queries are each other's positives (n >= 2).
        negatives: (m, C) shared by all queries (``unpaired``), (n, m, C) one set per query
            (``paired``), or None: then ``positive`` is required and the other rows of ``positive``
            serve as negatives (plain InfoNCE, cross-entropy over ``query @ positive.T``; cosine
            only).
        positive: (n, C) partner of each query; only with ``negatives=None``.
        reduction: over the n queries; ``none`` gives (n,).

    Raises:
        ConfigError: shapes that do not fit, or an option out of range.
    """
    _check_temperature(temperature)
    _check_rows(query, negatives, positive, negative_mode)
    with torch.autocast(device_type=query.device.type, enabled=False):
        rows = _unit(_full(query))
        if negatives is None:
            losses = _implicit(rows, positive, temperature, metric)
        else:
            others = _unit(_full(negatives))
            if negative_mode == "paired":
                cross = _similarity(rows[:, None], others, metric)[:, 0]
            else:
                cross = _similarity(rows, others, metric)
            losses = _query_loss(rows, cross / temperature, temperature, variant, metric)
        return _reduce(losses, reduction)


def soft_contrastive(
    features: Tensor,
    masks: Tensor,
    *,
    temperature: float = 0.1,
    rho: float = 2.0,
    iters: int = 1,
    detach_weights: bool = True,
    membership: MembershipForm = "paper",
    reduction: Reduction = "mean",
) -> Tensor:
    """Soft-contrastive loss of the journal version of FOCAL, image by image; O(pixels) memory.

    Memberships w (n, 2) start hard from the mask; one alternation computes the two centres
    M_j = sum_i w_ij^rho F_i / sum_i w_ij^rho and then w from the squared distances d_ij to them:
    ``paper`` w_ij = (d_ij/d_i0 + d_ij/d_i1)^(-1/(rho-1)); ``fcm`` puts the exponent on each ratio
    (fuzzy c-means; the two agree at rho = 2). With the last w and M,
    ``L_0 = -log(mean_i exp(w_i0 M_0.F_i/t) / exp(M_0.M_1/t))``, L_1 the same with the classes
    exchanged, and the loss of the image is L_0 + L_1 (it may be negative).

    The paper leaves t, the number of alternations and the gradient of w open. Keep ``iters`` small:
    run to convergence, the alternation forgets the mask and both centres meet.

    Args:
        features: (B, C, h, w) float, any scale (unit length is imposed, the centres are left as
            means).
        masks: (B, h, w); 1 = forged, 0 = pristine, anything else is ignored.
        rho: fuzziness > 1.
        iters: alternations, at least 1.
        detach_weights: no gradient flows through w (it does through the centres).
        reduction: as in :func:`info_nce_pp`; images with an empty class are skipped.

    Raises:
        ConfigError: shapes that do not fit, or an option out of range.
    """
    _check_temperature(temperature)
    if not rho > 1:
        raise ConfigError(f"rho must be greater than 1, got {rho}")
    if iters < 1:
        raise ConfigError(f"iters must be at least 1, got {iters}")

    def one_image(pixels: Tensor, pristine_at: Tensor, forged_at: Tensor) -> Tensor:
        rows = _unit(pixels[:, torch.cat([pristine_at, forged_at])].T)
        labels = torch.zeros(len(rows), dtype=torch.long, device=rows.device)
        labels[len(pristine_at) :] = 1
        weights = F.one_hot(labels, 2).to(rows.dtype)
        for _ in range(iters):
            centres = _centres(rows, weights, rho)
            weights = _memberships(rows, centres, rho, membership)
            if detach_weights:
                weights = weights.detach()
        logits = weights * (rows @ centres.T) / temperature
        closeness = torch.logsumexp(logits, dim=0) - math.log(len(rows))
        return 2 * (centres[0] @ centres[1]) / temperature - closeness.sum()

    return _image_by_image(features, masks, one_image, reduction)


# ------------------------------------------------------------------------------ image by image


def _image_by_image(
    features: Tensor,
    masks: Tensor,
    one_image: Callable[[Tensor, Tensor, Tensor], Tensor | None],
    reduction: Reduction,
) -> Tensor:
    _check_maps(features, masks)
    with torch.autocast(device_type=features.device.type, enabled=False):
        losses: list[Tensor | None] = []
        for pixels, labels in zip(features.flatten(2), masks.flatten(1), strict=True):
            pristine_at, forged_at = (torch.nonzero(labels == value)[:, 0] for value in (0, 1))
            empty = len(pristine_at) == 0 or len(forged_at) == 0
            losses.append(None if empty else one_image(pixels, pristine_at, forged_at))
        # Summing an empty slice keeps the graph, so that every parameter still gets a (zero)
        # gradient.
        nothing = _full(features.flatten()[:0]).sum()
        if reduction == "none":
            return torch.stack([nothing if loss is None else loss for loss in losses])
        used = [loss for loss in losses if loss is not None]
        return _reduce(torch.stack(used or [nothing]), reduction)


def _draw(places: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
    if len(places) <= count:
        return places
    device = generator.device if generator is not None else "cpu"
    order = torch.randperm(len(places), generator=generator, device=device)
    return places[order[:count].to(places.device)]


def _query_loss(
    query: Tensor, cross: Tensor, temperature: float, variant: Variant, metric: Metric
) -> Tensor:
    """Loss (n,) of unit rows (n, C) that are each other's positives, given their scaled logits
    against the negatives (n, m)."""
    if variant == "paper":
        own = _similarity(query, query, metric) / temperature
        own = own.masked_fill(
            torch.eye(len(query), dtype=torch.bool, device=own.device), -torch.inf
        )
        return torch.logsumexp(cross, 1) - torch.logsumexp(own, 1) + math.log(len(query) - 1)
    if variant != "released":
        raise ConfigError(f"unknown variant {variant!r}; use 'released' or 'paper'")
    positive = _mean_similarity_to_others(query, metric) / temperature
    return F.softplus(torch.logsumexp(cross, 1) - positive)


def _mean_similarity_to_others(rows: Tensor, metric: Metric) -> Tensor:
    if metric == "cosine":
        # sum over j != i of x_i.x_j = x_i.(S - x_i): linear in the rows, no square matrix.
        return (rows * (rows.sum(0) - rows)).sum(1) / (len(rows) - 1)
    return _similarity(rows, rows, metric).sum(1) / (len(rows) - 1)


def _implicit(rows: Tensor, positive: Tensor | None, temperature: float, metric: Metric) -> Tensor:
    if positive is None:
        raise ConfigError("info_nce needs negatives or positive partners; got neither")
    if metric != "cosine":
        raise ConfigError("implicit negatives are only defined for metric='cosine'")
    logits = rows @ _unit(_full(positive)).T / temperature
    target = torch.arange(len(rows), device=rows.device)
    return F.cross_entropy(logits, target, reduction="none")


def _similarity(a: Tensor, b: Tensor, metric: Metric) -> Tensor:
    if metric == "cosine":
        return a @ b.transpose(-1, -2)
    if metric == "euclidean":
        return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
    raise ConfigError(f"unknown metric {metric!r}; use 'cosine' or 'euclidean'")


def _full(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _unit(rows: Tensor) -> Tensor:
    """Unit rows in full precision. A zero row (a dead ReLU pixel) has no direction: it stays zero
    and gets no gradient, where dividing by a tiny norm would send back an enormous one."""
    rows = _full(rows)
    norm = rows.square().sum(-1, keepdim=True)
    alive = norm > _NO_DIRECTION**2
    return rows * torch.where(alive, norm, torch.ones_like(norm)).rsqrt() * alive


def _reduce(losses: Tensor, reduction: Reduction) -> Tensor:
    if reduction == "mean":
        return losses.mean()
    if reduction == "sum":
        return losses.sum()
    if reduction == "none":
        return losses
    raise ConfigError(f"unknown reduction {reduction!r}; use 'mean', 'sum' or 'none'")


# -------------------------------------------------------------------------------- soft weights


def _centres(rows: Tensor, weights: Tensor, rho: float) -> Tensor:
    powered = weights**rho
    return (powered.T @ rows) / powered.sum(0)[:, None]


def _memberships(rows: Tensor, centres: Tensor, rho: float, form: MembershipForm) -> Tensor:
    distances = (rows[:, None] - centres).square().sum(-1)
    # A row lying on a centre would divide 0 by 0.
    distances = distances.clamp_min(torch.finfo(rows.dtype).eps ** 2)
    ratios = distances[:, :, None] / distances[:, None, :]
    power = 1 / (rho - 1)
    if form == "paper":
        return ratios.sum(-1) ** -power
    if form == "fcm":
        return 1 / (ratios**power).sum(-1)
    raise ConfigError(f"unknown membership {form!r}; use 'paper' or 'fcm'")


# -------------------------------------------------------------------------------------- checks


def _check_temperature(temperature: float) -> None:
    if not temperature > 0:
        raise ConfigError(f"temperature must be greater than 0, got {temperature}")


def _check_maps(features: Tensor, masks: Tensor) -> None:
    if features.ndim != 4 or not features.is_floating_point():
        raise ConfigError(
            f"features must be a float tensor (B, C, h, w), got {features.dtype} "
            f"{tuple(features.shape)}"
        )
    expected = (features.shape[0], *features.shape[2:])
    if tuple(masks.shape) != expected:
        raise ConfigError(
            f"masks must be {expected} to fit features {tuple(features.shape)}, got "
            f"{tuple(masks.shape)}; resize the masks to the feature grid first"
        )


def _check_rows(
    query: Tensor, negatives: Tensor | None, positive: Tensor | None, mode: NegativeMode
) -> None:
    if query.ndim != 2:
        raise ConfigError(f"query must be (n, C), got {tuple(query.shape)}")
    if positive is not None and negatives is not None:
        raise ConfigError(
            "pass either positive partners or negatives: with negatives, the queries are "
            "each other's positives"
        )
    if positive is not None and positive.shape != query.shape:
        raise ConfigError(
            f"positive must have the shape of query {tuple(query.shape)}, "
            f"got {tuple(positive.shape)}"
        )
    if negatives is None:
        return
    if len(query) < 2:
        raise ConfigError("info_nce needs at least 2 queries: they are each other's positives")
    n, channels = query.shape
    shape = tuple(negatives.shape)
    if mode == "unpaired":
        fits, wanted = len(shape) == 2 and shape[1] == channels, f"(m, {channels})"
    elif mode == "paired":
        fits = len(shape) == 3 and (shape[0], shape[2]) == (n, channels)
        wanted = f"({n}, m, {channels})"
    else:
        raise ConfigError(f"unknown negative_mode {mode!r}; use 'unpaired' or 'paired'")
    if not fits:
        raise ConfigError(f"{mode} negatives must be {wanted}, got {shape}")
