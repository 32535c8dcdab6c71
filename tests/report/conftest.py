from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from tamperscope.localizer import MethodCard
from tamperscope.provenance import Provenance
from tamperscope.result import Localization, MapKind


@pytest.fixture
def make_result() -> Callable[..., Localization]:
    """A result of a given mask; scores are 0.9 inside and 0.1 outside."""

    def make(
        mask: NDArray[np.bool_],
        *,
        id: str = "photo.jpg",
        image_score: float = 0.87,
        kind: MapKind = MapKind.PROBABILITY,
    ) -> Localization:
        h, w = mask.shape
        return Localization(
            score_map=np.where(mask, np.float32(0.9), np.float32(0.1)),
            map_kind=kind,
            mask=mask,
            threshold=0.5,
            image_score=image_score,
            provenance=Provenance(
                version="1.2.3",
                commit="c" * 40,
                method="demo",
                config={"stride": 4, "nested": {"key": "<value>"}},
                weights={"net": "f" * 64},
                device="cpu",
                precision="fp32",
                seed=7,
                seconds={"decode": 0.25, "network": 1.5},
                input_id=id,
                input_sha256="e" * 64,
                input_size=(h, w),
                notes={"clusters": 2},
            ),
        )

    return make


@pytest.fixture
def method_card() -> MethodCard:
    return MethodCard(
        name="demo",
        title="Demo <method>",
        paper="A & B, 2026",
        map_kind=MapKind.PROBABILITY,
        summary="It compares parts of one picture.",
        limits="It says nothing about pictures made as a whole.",
        weights=(),
        presets=("default",),
    )
