"""A small set on disk, a method with settings, and plans over both."""

import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PILImage

from tamperscope.bench import Prediction
from tamperscope.bench.benchmark import Plan
from tamperscope.bench.entrants import Entrant
from tamperscope.bench.protocols import PROTOCOLS
from tamperscope.bench.references import REFERENCES
from tamperscope.data import Dataset, Sample
from tamperscope.errors import ImageValueError
from tamperscope.image import Image
from tamperscope.perturb import parse_all

H, W = 48, 64


class Red:
    """Red is forged; counts its answers, may be slow, and refuses pictures by name."""

    name = "red"
    title = "Red is forged"

    def __init__(self, *, level: int = 60, pause: float = 0.0, refuse: str = "-") -> None:
        self.level, self.pause, self.refuse = level, pause, refuse
        self.asked: list[str] = []

    def __call__(self, image: Image) -> Prediction:
        name = Path(image.id).stem
        self.asked.append(name)
        time.sleep(self.pause)
        if name.startswith(self.refuse):
            raise ImageValueError("too dull: brighten it")
        lead = image.pixels[..., 0].astype(np.float32) - image.pixels[..., 1]
        score = np.clip(lead / 255, 0, 1)
        mask = lead > self.level
        return Prediction(score, mask, float(score.mean()))

    def describe(self) -> dict[str, Any]:
        return {"config": {"level": self.level}, "weights": {"paint": "ab" * 32}}


def make_set(root: Path, forged: int = 4, authentic: int = 3) -> Dataset:
    """Noisy grey pictures; forged ones have a reddish box, of which a part is marked as forged."""
    rng = np.random.default_rng(1)
    samples = []
    for number in range(forged + authentic):
        pixels = rng.integers(100, 140, (H, W, 3), dtype=np.uint8)
        name = f"f{number}" if number < forged else f"a{number}"
        mask_path = None
        if number < forged:
            pixels[8:30, 10 : 30 + 3 * number, 0] += 100
            truth = np.zeros((H, W), np.uint8)
            truth[8:36, 10:30] = 255
            mask_path = root / "masks" / f"{name}.png"
            mask_path.parent.mkdir(parents=True, exist_ok=True)
            PILImage.fromarray(truth).save(mask_path)
        else:
            pixels[:4, : 2 * (number - forged), 0] += 100
        path = root / "images" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PILImage.fromarray(pixels).save(path)
        samples.append(
            Sample(
                id=name,
                image_path=path,
                mask_path=mask_path,
                label="forged" if mask_path else "authentic",
                kind=("splice" if number % 2 else "copymove") if mask_path else None,
            )
        )
    return Dataset(name="tiny", root=root, samples=tuple(samples))


def make_plan(
    method: Red,
    *datasets: Dataset,
    protocols: tuple[str, ...] = ("ours",),
    perturb: tuple[str, ...] = ("none",),
    references: tuple[str, ...] = ("empty", "centre-box"),
    **options: Any,
) -> Plan:
    """Red and some references on the sets."""
    known = [
        Entrant(name=name, load=lambda name=name: REFERENCES[name], reference=True)
        for name in references
    ]
    return Plan(
        entrants=(Entrant(name="red", load=lambda: method), *known),
        datasets={data.name: data for data in datasets},
        protocols=tuple(PROTOCOLS[name] for name in protocols),
        conditions=parse_all(perturb),
        workers=2,
        **options,
    )


def swap(one: Path, other: Path) -> None:
    """Give each of two files the bytes of the other."""
    first, second = one.read_bytes(), other.read_bytes()
    assert first != second
    one.write_bytes(second)
    other.write_bytes(first)


def without_times(value: Any) -> Any:
    """A record's part without what differs between two runs of the same: clock times."""
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if k not in ("seconds", "date")}
    return [without_times(v) for v in value] if isinstance(value, list) else value
