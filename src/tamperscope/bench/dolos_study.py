"""The plan of a DOLOS study: which trained localizers are measured on which generators and faces.

A study is a TOML file:

    title = "..."
    faces = ["celebahq"]                 # test face sets; the first is the home set
    generators = ["nearest", "telea"]    # test generators, the columns of the matrix
    home = "nearest"                     # the generator of the first two tables

    [[localizer]]                        # one for each trained checkpoint
    name = "patches-full-c"
    method = "dolos-patches"
    setup = "full-c"
    generators = ["nearest"]             # trained on these

Optional: ``split`` ("test"), ``jpeg_quality`` (90), ``limit`` (pictures of each set); and for each
localizer ``preset`` (of the method; its first), ``faces`` (trained on; the home set), ``weights``
(a file in the folder of runs; ``NAME.safetensors``), ``recipe`` and ``settings`` (how it is
trained; not read when measuring).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tamperscope.bench.plan import (
    check_choice,
    check_measures,
    check_names,
    checked,
    in_words,
    read_plan,
)
from tamperscope.errors import ConfigError, unknown

SETUPS = ("weak-a", "weak-b", "full-c")
"""Real against wholly generated pictures, labels only; real against partly regenerated pictures,
labels only; partly regenerated pictures with their masks."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One trained localizer.

    Attributes:
        name: unique in the study; also the file name of its weights.
        method: a method of the catalogue.
        setup: one of `SETUPS`, or empty where it is not known.
        faces, generators: what it was trained on; no generator where it is not known.
        trained_on: the generators in words, such as ``all but telea``.
        weights: a file below the folder of runs; empty for the weights the method ships.
        preset: of the method, empty for its first; says by which image score pictures are ranked.
        recipe, settings: the training recipe and its overrides, ``"table.key=value"``.
    """

    name: str
    method: str
    setup: str = ""
    faces: str = ""
    generators: tuple[str, ...] = ()
    trained_on: str = ""
    weights: str = ""
    preset: str = ""
    recipe: str = ""
    settings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.setup and self.setup not in SETUPS:
            raise unknown(f"setup of {self.name}", self.setup, SETUPS)


@dataclass(frozen=True, kw_only=True)
class Study:
    """What to measure.

    Attributes:
        title: for the head of the tables.
        faces: test face sets, the home set first.
        generators: test generators, the columns of the matrix.
        home: the generator of the tables that have only one.
        entries: the trained localizers.
        split: of the test pictures.
        jpeg_quality: at which real and fake pictures are recompressed alike for detection.
        limit: at most so many pictures of each set, evenly spaced; None for all.

    Raises ConfigError for a plan that cannot be carried out.
    """

    title: str
    faces: tuple[str, ...]
    generators: tuple[str, ...]
    home: str
    entries: tuple[Entry, ...]
    split: str = "test"
    jpeg_quality: int = 90
    limit: int | None = None

    def __post_init__(self) -> None:
        for what, chosen in (("faces", self.faces), ("generators", self.generators)):
            check_choice(what, chosen)
        if self.home not in self.generators:
            raise unknown("home generator", self.home, self.generators)
        check_measures(jpeg_quality=self.jpeg_quality, limit=self.limit)
        check_names(self.entries)


def read_study(path: Path) -> Study:
    """The study in a TOML file.

    Raises:
        ConfigError: unreadable, a missing or mistyped value. UnknownNameError: an unknown key,
        set-up or generator.
    """
    table, rows = read_plan(path)
    values = checked(Study, table, "study", made=("entries",))
    home_faces = values["faces"][0] if values["faces"] else ""
    entries = [_entry(row, home_faces) for row in rows]
    universe = {name for entry in entries for name in entry.generators}
    named = (replace(entry, trained_on=in_words(entry.generators, universe)) for entry in entries)
    return Study(**values, entries=tuple(named))


def plain_study(
    methods: Sequence[str],
    *,
    faces: Sequence[str],
    generators: Sequence[str],
    weights: Iterable[tuple[str, str]] = (),
) -> Study:
    """A study without a file: methods with the weights they ship, or with the given ones.

    Args:
        methods: of the catalogue.
        faces, generators: to test on; the first of each is home.
        weights: (method, file) pairs; several for one method are as many rows.

    Raises:
        ConfigError: weights of a method that is not among ``methods``.
    """
    files: dict[str, list[str]] = {method: [] for method in methods}
    for method, file in weights:
        if method not in files:
            raise ConfigError(
                f"weights are given for {method!r}, which is not measured: name it in --methods, "
                "or give a --study that has it"
            )
        files[method].append(file)
    entries: list[Entry] = []
    for method, chosen in files.items():
        entries += [
            Entry(
                name=f"{method} {Path(file).stem}" if len(chosen) > 1 else method,
                method=method,
                weights=file,
            )
            for file in chosen or [""]
        ]
    return Study(
        title="DOLOS",
        faces=tuple(faces),
        generators=tuple(generators),
        home=generators[0] if generators else "",
        entries=tuple(entries),
    )


def _entry(row: Mapping[str, Any], home_faces: str) -> Entry:
    name = row.get("name", "?")
    values = checked(Entry, row, f"localizer {name!r}", made=("trained_on",))
    values.setdefault("faces", home_faces)
    values.setdefault("weights", f"{name}.safetensors")
    return Entry(**values)
