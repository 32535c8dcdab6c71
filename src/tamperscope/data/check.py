"""Is a set what it is said to be? Counts, pairs, masks, duplicates: the check before measuring."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Literal

from tamperscope.data.datasets import DatasetCard, dataset_card, read_with_orphans
from tamperscope.data.datasets._files import Orphans
from tamperscope.data.duplicates import near_pairs
from tamperscope.data.inspection import PictureFacts, inspect_all
from tamperscope.data.sample import Dataset

Level = Literal["error", "warning", "note"]
Progress = Callable[[str, int, int], None]
"""Called with (what is read, number done, number of pictures)."""

INVERTED = 0.5
"""A median share of forged pixels above it says that the masks are upside down."""
DOUBTFUL = 0.005
"""A mask with a larger share of pixels between its colours is pointed out."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing about a set.

    kind: stable name, such as ``size-mismatch``.
    level: "error": numbers on this set would be wrong; "warning": they need a remark; "note".
    text: for people. items: everything concerned, such as ids or pairs of ids.
    """

    kind: str
    level: Level
    text: str
    items: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SetReport:
    """What was found in a set.

    counts: forged, authentic, and each kind of forgery. forged_share: median share of a forged
    picture that is marked; None without masks. compared: the other sets that were read.
    """

    name: str
    title: str
    root: str
    counts: dict[str, int]
    polarity: str
    forged_share: float | None
    compared: tuple[str, ...] = ()
    notes: dict[str, str | int] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    @property
    def verdict(self) -> Literal["broken", "usable with care", "sound"]:
        """By the gravest finding."""
        levels = {finding.level for finding in self.findings}
        if "error" in levels:
            return "broken"
        return "usable with care" if "warning" in levels else "sound"

    @property
    def advice(self) -> str:
        """What follows from the verdict."""
        levels = Counter(finding.level for finding in self.findings)
        if levels["error"]:
            return f"numbers on it would be wrong: mend the errors ({levels['error']}) first"
        if levels["warning"]:
            return f"say beside a number what the warnings ({levels['warning']}) say"
        return "nothing speaks against measuring on it"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "verdict": self.verdict, "advice": self.advice}


def check_set(
    name: str,
    root: str | Path,
    *,
    against: Sequence[tuple[str, str | Path]] = (),
    options: Mapping[str, Any] | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> SetReport:
    """Read every file of the set `name` at `root` and report what is wrong with it.

    Files that cannot be read, orphans and the like are findings, not errors raised.

    Args:
        name: a key of `DATASETS`.
        root: its folder, or its list file.
        against: other sets (name, root) to look for the same pictures in.
        options: of the set's reader.
        workers: threads.
        progress: called as pictures are read.

    Raises:
        UnknownNameError: no such set or option.
        DataError: nothing of the set's layout there.
    """
    card = dataset_card(name)
    dataset, orphans = read_with_orphans(name, root, **(options or {}))
    others = [(other, read_with_orphans(other, place)[0]) for other, place in against]
    facts = _inspect(dataset, name, workers, progress)
    findings = [
        *_orphan_findings(orphans),
        *_count_findings(card, dataset),
        *_fault_findings(facts),
        *_mask_findings(facts),
        *_duplicate_findings(facts),
    ]
    compared = []
    for other, theirs in others:
        compared.append(f"{other} {theirs.root}: {len(theirs.samples):,} pictures")
        read = _inspect(theirs, other, workers, progress, masks=False)
        findings += _shared_findings(facts, other, read)
    order = ("error", "warning", "note")
    shares = [f.mask.forged for f in facts if f.mask is not None]
    return SetReport(
        name=name,
        title=card.title,
        root=str(root),
        counts=_counts(dataset),
        polarity=dataset.polarity,
        forged_share=median(shares) if shares else None,
        compared=tuple(compared),
        notes=dict(dataset.notes),
        findings=tuple(sorted(findings, key=lambda f: order.index(f.level))),
    )


def _inspect(
    dataset: Dataset,
    name: str,
    workers: int | None,
    progress: Progress | None,
    masks: bool = True,
) -> list[PictureFacts]:
    def tell(done: int, total: int) -> None:
        if progress is not None:
            progress(name, done, total)

    return inspect_all(dataset.samples, masks=masks, workers=workers, progress=tell)


def _counts(dataset: Dataset) -> dict[str, int]:
    kinds = Counter(s.kind for s in dataset.forged if s.kind is not None)
    return {
        "forged": len(dataset.forged),
        "authentic": len(dataset.authentic),
        **dict(sorted(kinds.items())),
    }


# --- pairs and counts ------------------------------------------------------------------------


def _orphan_findings(orphans: Orphans) -> list[Finding]:
    groups: dict[tuple[str, str], list[str]] = {}
    for orphan in orphans:
        groups.setdefault((orphan.lacks, orphan.where), []).append(orphan.name)
    return [
        _finding("orphans", "error", f"{len(names)} without partner: no {lacks} in {where}", names)
        for (lacks, where), names in groups.items()
    ]


def _count_findings(card: DatasetCard, dataset: Dataset) -> list[Finding]:
    counts = [count for count in card.counts if count.unit == "pictures"]
    if not counts:
        return []
    forged, clean = len(dataset.forged), len(dataset.authentic)
    known = "; ".join(count.line() for count in counts)
    whole = [c for c in counts if c.forged == forged and c.authentic in (None, clean)]
    if whole:
        agree = "; ".join(count.line() for count in whole)
        return [_finding("counts", "note", f"counts agree with: {agree}")]
    if any(c.forged == forged for c in counts):
        text = (
            f"{forged} forged pictures as known, but {clean} authentic ones: image-level numbers "
            f"do not compare with published ones; known: {known}"
        )
        return [_finding("counts", "note" if clean == 0 else "warning", text)]
    text = (
        f"{forged} forged and {clean} authentic pictures agree with no known count: a number on "
        f"them is not one on the set as others have it; known: {known}"
    )
    return [_finding("counts", "warning", text)]


# --- files and masks -------------------------------------------------------------------------


def _fault_findings(facts: Sequence[PictureFacts]) -> list[Finding]:
    found = []
    for what, reasons in (
        ("pictures", {f.sample.id: f.picture_fault for f in facts if f.picture_fault}),
        ("masks", {f.sample.id: f.mask_fault for f in facts if f.mask_fault}),
    ):
        if reasons:
            text = f"{len(reasons)} {what} cannot be read"
            items = [f"{name}: {_short(reason)}" for name, reason in reasons.items()]
            found.append(_finding(f"unreadable-{what}", "error", text, items))
    return found


def _short(reason: str) -> str:
    """A reader's message without the path in front: the id says which file it is."""
    path, colon, rest = reason.partition(": ")
    return rest if colon and len(Path(path).parts) > 1 else reason


def _mask_findings(facts: Sequence[PictureFacts]) -> list[Finding]:
    masks = {f.sample.id: f.mask for f in facts if f.mask is not None}
    if not masks:
        return []
    found = _region_findings(masks.items())
    sizes = [
        f"{f.sample.id}: picture {_size(f.size)}, mask {_size(f.mask.size)}"
        for f in facts
        if f.size is not None and f.mask is not None and f.size != f.mask.size
    ]
    if sizes:
        text = f"{len(sizes)} masks differ in size from their pictures (height x width)"
        found.append(_finding("size-mismatch", "warning", text, sizes))
    unclear = _shares((i, m.unclear) for i, m in masks.items() if m.unclear > DOUBTFUL)
    if unclear:
        text = f"{len(unclear)} masks have pixels halfway between their two colours"
        found.append(_finding("unclear-masks", "warning", text, unclear))
    soft = _shares((i, m.off_levels) for i, m in masks.items() if m.off_levels > 0)
    if soft:
        text = f"{len(soft)} masks are not of two colours only; the threshold decides"
        found.append(_finding("non-binary-masks", "note", text, soft))
    return found


def _region_findings(masks: Iterable[tuple[str, Any]]) -> list[Finding]:
    shares = {name: mask.forged for name, mask in masks}
    found = []
    middle = median(shares.values())
    if middle > INVERTED:
        text = (
            f"masks look inverted: half of them mark more than {middle:.0%} of the picture; "
            "give the other polarity"
        )
        found.append(_finding("inverted-masks", "error", text))
    empty = [name for name, share in shares.items() if share == 0]
    if empty:
        text = f"{len(empty)} masks of forged pictures mark nothing"
        found.append(_finding("empty-masks", "error", text, empty))
    full = [name for name, share in shares.items() if share == 1]
    if full:
        text = f"{len(full)} masks mark the whole picture"
        found.append(_finding("full-masks", "warning", text, full))
    return found


def _shares(pairs: Iterable[tuple[str, float]]) -> list[str]:
    worst = sorted(pairs, key=lambda pair: (-pair[1], pair[0]))
    return [f"{name}: {share:.2%} of its pixels" for name, share in worst]


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


# --- duplicates ------------------------------------------------------------------------------


def _duplicate_findings(facts: Sequence[PictureFacts]) -> list[Finding]:
    groups: dict[bytes, list[PictureFacts]] = {}
    for fact in facts:
        if fact.digest is not None:
            groups.setdefault(fact.digest, []).append(fact)
    same = [group for group in groups.values() if len(group) > 1]
    both = [g for g in same if len({f.sample.label for f in g}) > 1]
    plain = [g for g in same if g not in both]
    found = []
    if both:
        text = f"{len(both)} pictures are in the set as forged and as authentic"
        found.append(_finding("contradicting-labels", "error", text, map(_together, both)))
    if plain:
        text = f"{sum(map(len, plain)) - len(plain)} pictures repeat another, pixel by pixel"
        found.append(_finding("duplicates", "warning", text, map(_together, plain)))
    return found + _near_findings(facts)


def _near_findings(facts: Sequence[PictureFacts]) -> list[Finding]:
    pairs = [
        (facts[i], facts[j])
        for i, j in near_pairs([fact.fingerprint for fact in facts])
        if facts[i].digest != facts[j].digest
    ]
    across = [pair for pair in pairs if len({f.sample.label for f in pair}) > 1]
    alike = [pair for pair in pairs if pair not in across]
    found = []
    if alike:
        text = (
            f"{len(alike)} pairs of the same label are nearly the same picture: fewer independent "
            "pictures than files"
        )
        found.append(_finding("near-duplicates", "note", text, map(_together, alike)))
    if across:
        text = (
            f"{len(across)} pairs of a forged and an authentic picture are nearly the same: "
            "forgeries beside their originals"
        )
        found.append(_finding("originals", "note", text, map(_together, across)))
    return found


def _shared_findings(
    ours: Sequence[PictureFacts], name: str, theirs: Sequence[PictureFacts]
) -> list[Finding]:
    places = {f.digest: f for f in theirs if f.digest is not None}
    same = [(f, places[f.digest]) for f in ours if f.digest in places]
    known = {(id(a), id(b)) for a, b in same}
    near = [
        (ours[i], theirs[j])
        for i, j in near_pairs([f.fingerprint for f in ours], [f.fingerprint for f in theirs])
        if (id(ours[i]), id(theirs[j])) not in known
    ]
    found = []
    if same:
        text = f"{len(same)} pictures are in {name} too, pixel by pixel"
        found.append(_finding("shared", "warning", text, map(_together, same)))
    if near:
        text = f"{len(near)} pairs with a picture of {name} are nearly the same"
        found.append(_finding("nearly-shared", "warning", text, map(_together, near)))
    return found


def _together(group: Iterable[PictureFacts]) -> str:
    return " = ".join(fact.sample.id for fact in group)


def _finding(kind: str, level: Level, text: str, items: Iterable[str] = ()) -> Finding:
    return Finding(kind=kind, level=level, text=text, items=tuple(items))
