"""The plan of a FakeLocator study: which trained localizers are measured on which faces.

A study is a TOML file:

    title = "..."
    generators = ["nearest", "transposed"]   # tested on, each whole and in a region
    home = "nearest"                         # the generator of the attributes and the robustness

    [[localizer]]                            # one for each trained checkpoint
    name = "nearest-partial"
    generators = ["nearest"]                 # trained on these
    augment = "real"                         # trained with these pictures degraded

Optional: ``faces`` ("celebahq"), ``split`` ("test"), ``limit`` (pictures of each set), ``variant``
("whole": the fakes of the table across generators; the other kind where a generator has none),
``jpeg_quality`` (90: at which the faces of an unseen generator are recompressed, real and fake ones
alike), ``draws`` (10), ``robust`` (names of the localizers whose robustness is measured; the
first), ``robust_limit`` (50 pictures of each set) and ``perturbations`` (see `ROBUSTNESS`); and for
each localizer ``method`` ("fakelocator"), ``preset``, ``options`` ("key=value" settings of the
method), ``attention`` ("none" or "parts"), ``regions`` (trained on these regions of faces only; its
rows are those across attributes), ``weights`` (a file in the folder of runs;
``NAME.safetensors``), ``recipe`` and ``settings`` (how it is trained; not read when measuring).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tamperscope.bench.evaluation import Evaluation
from tamperscope.bench.plan import (
    check_choice,
    check_measures,
    check_names,
    checked,
    in_words,
    read_plan,
)
from tamperscope.errors import ConfigError, unknown
from tamperscope.face_parsing.parts import parse_region
from tamperscope.perturb import parse_all

METHOD = "fakelocator"
AUGMENTS = ("none", "real", "both")
ATTENTIONS = ("none", "parts")
VARIANTS = ("whole", "region")

ROBUSTNESS = (
    "none",
    *(f"jpeg:{quality}" for quality in (100, 90, 80, 70, 60, 50, 40, 30, 20)),
    *(f"blur:{size}" for size in (3, 5, 7, 9)),
    *(f"lowres:{factor}" for factor in (0.75, 0.5, 0.35, 0.25)),
    *(f"noise:{variance}" for variance in (4, 16, 64, 144)),
)
"""JPEG qualities, blur kernels in pixels, shares of the side, variances in squared grey levels."""


@dataclass(frozen=True, kw_only=True)
class Rules(Evaluation):
    """How fakeness maps, which no threshold turns into masks, are scored: in words."""

    resolution: str
    decision: str
    averaging: str
    empty_rule: str
    auc_rule: str
    size_rule: str
    failure_rule: str
    image_level: str


PROTOCOL = Rules(
    name="fakelocator",
    resolution=(
        "the map at the ground truth's size (bilinear where it differs); the ground truth is the "
        "grey difference of a fake and its real picture, not thresholded, also where the fake was "
        "degraded afterwards"
    ),
    decision="fake or real as the method decides, at the threshold its weights ship",
    averaging=(
        "COSS, PSNR (range 1, at most 100 dB), SSIM (Gaussian, 11 pixels) and mean absolute error "
        "of each fake, averaged over fakes"
    ),
    empty_rule="real pictures, whose ground truth is zero, enter no localization number",
    auc_rule="no pixel AUC",
    size_rule="a real picture of another size than its fake is an error",
    failure_rule="a picture the method refuses counts as real with an all-zero map, and is listed",
    image_level=(
        "accuracy: share of real and fake pictures together that are told right; faces of an "
        "unseen generator are recompressed alike before anything is asked"
    ),
)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One trained localizer.

    Attributes:
        name: unique in the study; also the file name of its weights.
        method, preset, options: of the catalogue; options are ``"key=value"`` settings.
        generators: what it was trained on; none where it is not known.
        trained_on: the generators in words.
        augment: which training pictures were degraded, one of `AUGMENTS`; empty where not known.
        attention: one of `ATTENTIONS`, or empty where not known.
        regions: the face regions it was trained on; empty for all.
        weights: a file below the folder of runs; empty for the weights the method ships.
        recipe, settings: the training recipe and its overrides, ``"table.key=value"``.

    Raises UnknownNameError for another augmentation, attention or region.
    """

    name: str
    method: str = METHOD
    preset: str = ""
    options: tuple[str, ...] = ()
    generators: tuple[str, ...] = ()
    trained_on: str = ""
    augment: str = ""
    attention: str = ""
    regions: tuple[str, ...] = ()
    weights: str = ""
    recipe: str = ""
    settings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for what, value, known in (
            ("augment", self.augment, AUGMENTS),
            ("attention", self.attention, ATTENTIONS),
        ):
            if value and value not in known:
                raise unknown(f"{what} of {self.name}", value, known)
        for region in self.regions:
            parse_region(region)
        for option in self.options:
            if not option.partition("=")[1]:
                raise ConfigError(f"option {option!r} of {self.name}: write key=value")


@dataclass(frozen=True, kw_only=True)
class Study:
    """What to measure; the fields are those of the study file, `entries` its localizers.

    Raises ConfigError for a plan that cannot be carried out, UnknownNameError for an unknown
    generator, variant, localizer or perturbation.
    """

    title: str
    generators: tuple[str, ...]
    home: str
    entries: tuple[Entry, ...]
    faces: str = "celebahq"
    split: str = "test"
    variant: str = "whole"
    jpeg_quality: int = 90
    limit: int | None = None
    draws: int = 10
    robust: tuple[str, ...] = ()
    robust_limit: int = 50
    perturbations: tuple[str, ...] = ROBUSTNESS

    def __post_init__(self) -> None:
        check_choice("generators", self.generators)
        if self.home not in self.generators:
            raise unknown("home generator", self.home, self.generators)
        if self.variant not in VARIANTS:
            raise unknown("variant", self.variant, VARIANTS)
        check_measures(jpeg_quality=self.jpeg_quality, limit=self.limit)
        for what in ("draws", "robust_limit"):
            if getattr(self, what) < 1:
                raise ConfigError(f"{what} is {getattr(self, what)}: give at least 1")
        check_names(self.entries)
        for name in self.robust:
            if name not in [entry.name for entry in self.entries]:
                raise unknown("localizer of the study", name, [e.name for e in self.entries])
        for perturbation in parse_all(self.perturbations):
            if perturbation.moves:
                raise ConfigError(
                    f"{perturbation.name} changes the size of pictures, which fakeness maps cannot "
                    "follow: choose others, such as lowres:0.5"
                )

    def robust_entries(self) -> tuple[Entry, ...]:
        """The localizers whose robustness is measured."""
        named = tuple(entry for entry in self.entries if entry.name in self.robust)
        return named if self.robust else self.entries[:1]


def read_study(path: Path) -> Study:
    """The study in a TOML file.

    Raises:
        ConfigError: unreadable, a missing or mistyped value. UnknownNameError: an unknown key,
        generator, augmentation, attention, region or perturbation.
    """
    table, rows = read_plan(path)
    values = checked(Study, table, "study", made=("entries",))
    entries = [_entry(row) for row in rows]
    universe = {name for entry in entries for name in entry.generators}
    named = (replace(entry, trained_on=in_words(entry.generators, universe)) for entry in entries)
    return Study(**values, entries=tuple(named))


def plain_study(generators: tuple[str, ...], weights: Mapping[str, Path]) -> Study:
    """A study without a file: the shipped weights, or each of the given ones, on every generator.

    Args:
        generators: to test on; the first is home.
        weights: name -> file.
    """
    chosen = tuple(Entry(name=name, weights=str(file)) for name, file in weights.items())
    return Study(
        title="FakeLocator",
        generators=generators,
        home=generators[0] if generators else "",
        entries=chosen or (Entry(name=METHOD),),
    )


def _entry(row: Mapping[str, Any]) -> Entry:
    name = row.get("name", "?")
    values = checked(Entry, row, f"localizer {name!r}", made=("trained_on",))
    values.setdefault("weights", f"{name}.safetensors")
    return Entry(**values)
