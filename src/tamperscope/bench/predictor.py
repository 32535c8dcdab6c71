"""One way to ask anything for a localization: a Localizer, or a plain function of a picture."""

import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from tamperscope.errors import ClusteringError, ImageError, ResultError
from tamperscope.image import Image, read_image
from tamperscope.localizer import Localizer
from tamperscope.provenance import JSON
from tamperscope.result import Localization


class PredictionLike(Protocol):
    """What a benchmark needs: a map (h, w) rising with suspicion, a mask bool (h, w), a score."""

    @property
    def score_map(self) -> NDArray[np.float32]: ...
    @property
    def mask(self) -> NDArray[np.bool_]: ...
    @property
    def image_score(self) -> float: ...


Predictor = Callable[[Image], PredictionLike]
Method = Localizer | Predictor


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One answer: the prediction, or why there is none (`failure`), and the wall time in s."""

    prediction: PredictionLike | None
    seconds: float
    failure: str | None = None


def predict(method: Method, source: Path | bytes | Image) -> Outcome:
    """Ask `method` for one picture; decoding is part of the time, except of an `Image`.

    A picture that is refused (ImageError, ClusteringError) is an outcome, not an exception. Raises
    ResultError when the answer is not a finite map and a bool mask of one size.
    """
    start = time.perf_counter()
    try:
        answer = _ask(method, source)
    except (ImageError, ClusteringError) as error:
        return Outcome(prediction=None, seconds=time.perf_counter() - start, failure=str(error))
    seconds = time.perf_counter() - start
    if not isinstance(answer, Localization):
        _check(answer, method)
    return Outcome(prediction=answer, seconds=seconds)


def recompressed(path: Path, quality: int) -> bytes:
    """The displayed picture at `path` saved again as JPEG (4:2:0) of `quality`, in memory."""
    buffer = io.BytesIO()
    pixels = PILImage.fromarray(read_image(path).pixels)
    pixels.save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    return buffer.getvalue()


def name_of(method: Method) -> str:
    """The name of a method for tables and file names."""
    card = getattr(method, "card", None)
    name = card.name if card is not None else getattr(method, "name", None)
    return str(name or getattr(method, "__name__", type(method).__name__))


def settings_of(method: Method) -> dict[str, Any]:
    """What the method says of itself (`describe()`), empty for a plain function."""
    describe = getattr(method, "describe", None)
    return dict(describe()) if callable(describe) else {}


def describe_method(method: Method) -> dict[str, JSON]:
    """Name, title, preset, kind of map and settings of a method."""
    card = method.card if isinstance(method, Localizer) else None
    title = card.title if card else getattr(method, "title", name_of(method))
    settings = settings_of(method)
    config = settings.get("config")
    return {
        "name": name_of(method),
        "title": str(title),
        "preset": config.get("preset") if isinstance(config, dict) else None,
        "map_kind": card.map_kind.value if card else None,
        "settings": settings,
    }


def weights_of(method: Method) -> dict[str, str]:
    """Checkpoint -> sha256 as the method describes itself; empty for one without weights."""
    weights = settings_of(method).get("weights")
    return {str(k): str(v) for k, v in weights.items()} if isinstance(weights, dict) else {}


def _ask(method: Method, source: Path | bytes | Image) -> PredictionLike:
    if isinstance(method, Localizer):
        return method.localize(source)
    return method(read_image(source))


def _check(answer: PredictionLike, method: Method) -> None:
    name = name_of(method)
    score, mask = np.asarray(answer.score_map), np.asarray(answer.mask)
    if mask.dtype != np.bool_ or mask.ndim != 2 or score.shape != mask.shape:
        raise ResultError(
            f"{name} returned a map {score.shape} and a mask {mask.shape} of {mask.dtype}: "
            "return two (h, w) arrays, the mask bool"
        )
    if not np.isfinite(score).all() or not np.isfinite(answer.image_score):
        raise ResultError(f"{name} returned values that are not finite: return real numbers")
