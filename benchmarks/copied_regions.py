"""How well copied regions are found, and the weights of the confidence in them.

    python benchmarks/copied_regions.py PHOTOS

Copy-moves (turned, scaled and mirrored at random, saved as by `tamperscope data synthesize`) and
untouched pictures with the same histories are made from PHOTOS as for training (see
docs/training.md). The weights are fitted on what is made from the photos to train on; everything
else is measured on those held back. Nothing but numbers is kept: the record is written to
results/copied-regions.json, and its `fitted` weights belong into
src/tamperscope/methods/focal/copies.py.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from tamperscope import catalog
from tamperscope.bench import Record
from tamperscope.data.synthesis import SynthesisConfig, SynthesisDataset
from tamperscope.data.synthesis.compose import Forgery
from tamperscope.data.synthesis.sources import Split
from tamperscope.methods.focal.copies import (
    CUES,
    WEIGHTS,
    confidence,
    cues,
    examined,
    weighed,
)
from tamperscope.methods.focal.copy_candidates import offset_candidates
from tamperscope.methods.focal.copy_proof import Evidence, Picture, examine, without_patterns
from tamperscope.methods.focal.localizer import FocalLocalizer

FOUND, BESIDE = 0.5, 0.1
SIDES = 0.3
RULE = (
    f"a copy-move is found when more than {FOUND} of one of the two places is forged; the share of "
    "them found is given at the confidence that so many untouched pictures reach"
)
FALSE_ALARMS = (0.005, 0.01, 0.02, 0.05)
SIZE = (256, 384)


@dataclass(frozen=True)
class Looked:
    """What was found in one picture."""

    forgery: Forgery
    found: list[Evidence]
    moved: list[Evidence]
    """By the cepstrum's offsets alone."""
    seconds: float


def made(kind: str, split: Split, root: Path, count: int, seed: int) -> Iterator[Forgery]:
    """Pictures of one kind; copy-moves that came out empty are left out."""
    config = SynthesisConfig(mixture={kind: 1.0}, size=SIZE, strong_saves=0.25)
    data = SynthesisDataset(config, split=split, root=root, seed=seed, length=2 * count + 10)
    done = 0
    for forgery in (data.forgery(i) for i in range(len(data))):
        if forgery.mask.any() == (kind == "copymove"):
            yield forgery
            done += 1
        if done == count:
            return


def look(forgery: Forgery) -> Looked:
    """Search one picture, both ways."""
    grey = np.asarray(cv2.cvtColor(forgery.image, cv2.COLOR_RGB2GRAY), np.uint8)
    began = time.perf_counter()
    found = examined(grey)
    seconds = time.perf_counter() - began
    picture = Picture.of(grey.astype(np.float32))
    moved = without_patterns(examine(picture, c) for c in offset_candidates(picture.grey))
    return Looked(forgery, found, moved, seconds)


def purity(evidence: Evidence, forgery: Forgery) -> tuple[float, float]:
    """The share of either place that is forged."""
    places = (evidence.first, evidence.second)
    first, second = (float(forgery.mask[p].mean()) if p.any() else 0.0 for p in places)
    return first, second


def is_true(evidence: Evidence, forgery: Forgery) -> bool:
    return max(purity(evidence, forgery)) > FOUND


def fit(copied: Sequence[Looked], clean: Sequence[Looked]) -> list[float]:
    """Bias and weights of the cues; what only touches a forgery is left out.

    Raises:
        SystemExit: there are no true or no false copies.
    """
    rows, labels = [], []
    for one in [*copied, *clean]:
        for evidence in one.found:
            share = max(purity(evidence, one.forgery))
            if share > FOUND or share < BESIDE:
                rows.append(cues(evidence))
                labels.append(share > FOUND)
    if len(set(labels)) < 2:
        raise SystemExit("no false copies were found to tell true ones from: add photos")
    table = np.array(rows)
    # A cue that is the same everywhere tells nothing.
    spread = np.where(table.std(0) > 1e-9, table.std(0), np.inf)
    model = LogisticRegression(C=10, max_iter=5000).fit(table / spread, labels)
    return [round(float(v), 3) for v in (model.intercept_[0], *(model.coef_[0] / spread))]


def surest(found: Sequence[Evidence], forgery: Forgery | None = None) -> float:
    """The highest confidence, in true ones alone where there is a forgery; 0 without any."""
    wanted = [e for e in found if forgery is None or is_true(e, forgery)]
    return max((confidence(e) for e in wanted), default=0.0)


def curve(copied: NDArray[np.float64], clean: NDArray[np.float64]) -> list[dict[str, float]]:
    """Share of the copy-moves found at each share of untouched pictures flagged."""
    rows = []
    for allowed in FALSE_ALARMS:
        cut = max(float(np.quantile(clean, 1 - allowed)), 1e-9)
        rows.append(
            {
                "false_alarms": allowed,
                "confidence": cut,
                "flagged": float((clean > cut).mean()),
                "found": float((copied > cut).mean()),
            }
        )
    return rows


def sides(copied: Sequence[Looked], localizer: FocalLocalizer) -> dict[str, float]:
    """How often the place with more evidence is the copy."""
    right = []
    for one in copied:
        for evidence, _ in weighed(one.found):
            shares = purity(evidence, one.forgery)
            if max(shares) <= FOUND or min(shares) >= SIDES:
                continue
            maps = localizer.feature_maps(one.forgery.image)
            if maps.evidence is None:
                continue
            full = cv2.resize(maps.evidence.numpy(), one.forgery.mask.shape[::-1])
            only = evidence.first & ~evidence.second, evidence.second & ~evidence.first
            more = full[only[0]].mean() - full[only[1]].mean()
            right.append((more > 0) == (shares[0] > shares[1]))
            break
    return {"pictures": len(right), "right": float(np.mean(right)) if right else 0.0}


def main() -> None:
    """Fit, measure, write the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path, help="as for training")
    parser.add_argument("--copied", type=int, default=300, help="copy-moves of either split")
    parser.add_argument("--untouched", type=int, default=900, help="untouched pictures of either")
    parser.add_argument("--output", type=Path, default=Path("results/copied-regions.json"))
    options = parser.parse_args()
    cv2.setNumThreads(1)
    kinds = {"copymove": options.copied, "pristine": options.untouched}
    splits: tuple[Split, ...] = ("train", "val")
    looked = {
        (split, kind): [look(f) for f in made(kind, split, options.photos, count, 11)]
        for split in splits
        for kind, count in kinds.items()
    }
    fitted = fit(looked["train", "copymove"], looked["train", "pristine"])
    copied, clean = looked["val", "copymove"], looked["val", "pristine"]
    localizer = catalog.load("focal", device="cpu", copies=False)
    assert isinstance(localizer, FocalLocalizer)
    numbers: dict[str, Any] = {
        "cues": list(CUES),
        "fitted": fitted,
        "used": list(WEIGHTS),
        "copy_moves": len(copied),
        "untouched": len(clean),
        "by_keypoints_and_offsets": curve(
            np.array([surest(o.found, o.forgery) for o in copied]),
            np.array([surest(o.found) for o in clean]),
        ),
        "by_offsets_alone": curve(
            np.array([surest(o.moved, o.forgery) for o in copied]),
            np.array([surest(o.moved) for o in clean]),
        ),
        "which_is_the_copy": sides(copied, localizer),
        "seconds": float(np.median([o.seconds for o in [*copied, *clean]])),
    }
    record = Record(
        kind="copied-regions",
        method={"name": "copied-regions", "title": "Copied regions", "rule": RULE},
        weights={},
        protocol={"name": "copied-regions"},
        dataset={"size": list(SIZE), **{f"{s} {k}": len(v) for (s, k), v in looked.items()}},
        numbers=numbers,
    )
    print(record.save(options.output))


if __name__ == "__main__":
    main()
