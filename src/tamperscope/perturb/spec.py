"""Chains of perturbations, written as text: ``jpeg:70``, ``resize:0.5+jpeg:80``."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamperscope.errors import ConfigError, UnknownNameError, unknown
from tamperscope.perturb.kinds import PERTURBATIONS, Kind, Value

NONE = "none"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One perturbation with its values, in the order of its parameters."""

    kind: Kind
    values: tuple[Value, ...]

    @property
    def named(self) -> dict[str, Value]:
        """Values by parameter name."""
        return dict(zip((p.name for p in self.kind.parameters), self.values, strict=True))

    @property
    def spec(self) -> str:
        """As it is written, trailing defaults left out."""
        kept = list(zip(self.kind.parameters, self.values, strict=True))
        while kept and kept[-1][0].default == kept[-1][1]:
            kept.pop()
        values = ",".join(v if isinstance(v, str) else f"{v:g}" for _, v in kept)
        return f"{self.kind.name}:{values}" if values else self.kind.name


@dataclass(frozen=True, kw_only=True)
class Perturbation:
    """Steps done one after the other; without any, the picture as it is.

    Equal pixels, chain and seed give equal results on any machine with the same codecs.
    """

    steps: tuple[Step, ...]

    @property
    def name(self) -> str:
        """The canonical spec; `parse` reads it back."""
        return "+".join(step.spec for step in self.steps) or NONE

    @property
    def moves(self) -> bool:
        """Whether the truth mask has to be moved along."""
        return any(step.kind.move is not None for step in self.steps)

    @property
    def axis(self) -> tuple[str, str, float] | None:
        """(perturbation, parameter, value) of a single step that curves are drawn over."""
        if len(self.steps) != 1 or self.steps[0].kind.axis is None:
            return None
        (step,) = self.steps
        # Other parameters away from their defaults are another curve.
        others = [p for p in step.kind.parameters if p.name != step.kind.axis]
        if any(step.named[p.name] != p.default for p in others):
            return None
        assert step.kind.axis is not None
        return step.kind.name, step.kind.axis, float(step.named[step.kind.axis])

    def apply(self, pixels: NDArray[np.uint8], *, seed: int = 0) -> NDArray[np.uint8]:
        """RGB uint8 (h, w, 3) perturbed; ``seed`` (0 or more) decides what is drawn."""
        for number, step in enumerate(self.steps):
            pixels = step.kind.apply(pixels, step.named, _rng(seed, number))
        return pixels

    def move_mask(self, mask: NDArray[np.bool_], *, seed: int = 0) -> NDArray[np.bool_]:
        """The truth mask bool (h, w) of a picture of the same size, moved as `apply` moved it."""
        for number, step in enumerate(self.steps):
            if step.kind.move is not None:
                mask = step.kind.move(mask, step.named, _rng(seed, number))
        return mask

    def describe(self) -> dict[str, Any]:
        """Every step with its values, what it does and how the truth moves, for records."""
        return {
            "name": self.name,
            "steps": [
                {
                    "name": step.kind.name,
                    "values": step.named,
                    "does": step.kind.summary,
                    "mask": step.kind.mask,
                    "model": step.kind.model,
                    **dict(step.kind.constants),
                }
                for step in self.steps
            ],
        }


IDENTITY = Perturbation(steps=())


def parse(spec: str) -> Perturbation:
    """The perturbation a spec names: ``name:value,value`` steps joined by ``+``, or ``none``.

    Raises:
        UnknownNameError: no such perturbation. ConfigError: wrong, missing or surplus values.
    """
    text = spec.strip().lower()
    if text == NONE:
        return IDENTITY
    if not text:
        raise ConfigError("an empty perturbation: give one such as jpeg:70, or none")
    return Perturbation(steps=tuple(_step(part.strip(), spec) for part in text.split("+")))


def parse_all(specs: Iterable[str]) -> tuple[Perturbation, ...]:
    """Specs, or names of `GRIDS`, as perturbations, each once, in the order given.

    Raises:
        UnknownNameError, ConfigError: as `parse`.
    """
    found: dict[str, Perturbation] = {}
    for spec in specs:
        grid = GRIDS.get(spec.strip().lower())
        for one in [parse(spec)] if grid is None else map(parse, grid):
            found.setdefault(one.name, one)
    return tuple(found.values())


def _step(text: str, spec: str) -> Step:
    name, _, given = text.partition(":")
    if name not in PERTURBATIONS:
        raise _unknown(name)
    kind = PERTURBATIONS[name]
    words = [word.strip() for word in given.split(",")] if given else []
    if len(words) > len(kind.parameters):
        raise ConfigError(f"{spec!r}: {_usage(kind)} takes {len(kind.parameters)} values at most")
    values: list[Value] = []
    for number, parameter in enumerate(kind.parameters):
        if number < len(words):
            try:
                values.append(parameter.read(words[number]))
            except ConfigError as error:
                raise ConfigError(f"{spec!r}: {error}") from error
        elif parameter.default is not None:
            values.append(parameter.default)
        else:
            raise ConfigError(f"{spec!r}: {parameter.name} is missing: write {_usage(kind)}")
    return Step(kind=kind, values=tuple(values))


def _unknown(name: str) -> UnknownNameError:
    return unknown("perturbation", name, [NONE, *PERTURBATIONS, *GRIDS])


def _usage(kind: Kind) -> str:
    wanted = [p.name if p.default is None else f"[{p.name}]" for p in kind.parameters]
    return f"{kind.name}:{','.join(wanted)}" if wanted else kind.name


def _rng(seed: int, step: int) -> np.random.Generator:
    return np.random.default_rng([seed, step])


def _family(name: str, values: Sequence[Any]) -> tuple[str, ...]:
    return tuple(f"{name}:{value}" for value in values)


GRID: tuple[str, ...] = (
    NONE,
    *_family("jpeg", (100, 90, 80, 70, 60, 50)),
    "double-jpeg:90,70",
    "double-jpeg:70,90",
    "double-jpeg:70,90,4,4",
    *_family("webp", (90, 80, 60)),
    *_family("blur", (3, 5, 7)),
    *_family("noise", (3, 5, 7, 9)),
    *_family("resize", (0.25, 0.5, 0.78, 1.5)),
    *_family("lowres", (0.5, 0.25)),
    *_family("crop", (0.9, 0.7, 0.5)),
    "facebook",
    "weibo",
    "whatsapp",
    "wechat",
    "screenshot",
    "resize:0.5+jpeg:80",
)
"""The robustness grid: FOCAL's qualities, kernels and variances, and what its table leaves out."""

GRIDS: dict[str, tuple[str, ...]] = {
    "grid": GRID,
    "small-grid": (
        NONE,
        "jpeg:90",
        "jpeg:70",
        "jpeg:50",
        "webp:80",
        "blur:5",
        "noise:9",
        "resize:0.5",
        "crop:0.7",
        "whatsapp",
    ),
}
"""Named lists of specs, which `parse_all` accepts in place of one."""
