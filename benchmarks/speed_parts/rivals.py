"""The ways of `evaluation` against each other: processes of their own that take turns."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from clustering_parts.process import Outcome, Processes, enough

from speed_parts.evaluation import PARTS, PEERS, STRIDE, WAYS, prepare
from speed_parts.pictures import Picture

Row = dict[str, Any]


@dataclass
class Rivals:
    """rounds: of which the median counts; once: a run of more seconds is not repeated; limit:
    seconds after which a run is ended, and its way is not tried on anything larger."""

    processes: Processes
    folder: Path
    rounds: int
    once: float
    limit: float
    device: str
    threads: int
    _late: dict[str, str] = field(default_factory=dict)

    def measure(self, megapixels: float, pictures: Sequence[Picture]) -> list[Row]:
        """A row for each picture and way. Call it with small pictures before large ones."""
        rows = []
        for picture in pictures:
            runs = self._take_turns(picture)
            rows += [self._row(megapixels, picture, way, runs.get(way, [])) for way in WAYS]
            for way, outcomes in runs.items():
                if any(one.status == "timed out" for one in outcomes):
                    self._late[way] = f"over {self.limit:g} s at {megapixels:g} Mpx"
        return rows

    def _take_turns(self, picture: Picture) -> dict[str, list[Outcome]]:
        data, truth = self.folder / "picture.jpg", self.folder / "truth.npy"
        data.write_bytes(picture.data)
        np.save(truth, picture.truth)
        for way in WAYS:
            self._answer(way).unlink(missing_ok=True)
        runs: dict[str, list[Outcome]] = {way: [] for way in WAYS if way not in self._late}
        for turn in range(self.rounds):
            for way, outcomes in runs.items():
                if enough(outcomes, self.once):
                    continue
                answer = None if turn else self._answer(way)
                words = (way, data, truth, answer, self.device, self.threads)
                outcomes.append(self.processes.run(prepare, *words, limit=self.limit))
        return runs

    def _answer(self, way: str) -> Path:
        return self.folder / f"{way}.npz"

    def _row(self, megapixels: float, picture: Picture, way: str, runs: Sequence[Outcome]) -> Row:
        assert picture.truth is not None
        bad = next((one for one in runs if one.status != "done"), None)
        height, width = picture.truth.shape
        row: Row = {
            "megapixels": megapixels,
            "picture": f"{picture.name}, {width} x {height}",
            "points": (height // STRIDE) * (width // STRIDE),
            "way": way,
            "status": bad.status if bad else "done" if runs else "skipped",
            "why": bad.why if bad else self._late.get(way),
            "limit": self.limit,
        }
        if bad or not runs:
            return row
        return {**row, **_timed(runs), **self._agreement(way)}

    def _agreement(self, way: str) -> Row:
        """How far the answer is that of the peers' way."""
        theirs = self._answer(PEERS)
        if not WAYS[way].same or way == PEERS or not theirs.exists():
            return {}
        with np.load(self._answer(way)) as found, np.load(theirs) as expected:
            union = int((found["mask"] | expected["mask"]).sum())
            shared = int((found["mask"] & expected["mask"]).sum())
            largest = float(np.abs(found["scores"] - expected["scores"]).max())
        return {"mask_iou": shared / union if union else None, "map_difference": largest}


def _timed(runs: Sequence[Outcome]) -> Row:
    times = [one.seconds for one in runs if one.seconds is not None]
    parts = {part: statistics.median(one.extra["parts"][part] for one in runs) for part in PARTS}
    return {
        "seconds": statistics.median(times),
        "seconds_of_runs": times,
        "parts": parts,
        "numbers": runs[0].extra["numbers"],
        "peak_mib": max((one.peak_bytes or 0) for one in runs) / (1 << 20),
    }


def summary(rows: Sequence[Row]) -> list[Row]:
    """A row for each size and way: means over the pictures, and how far answers agree."""
    found = []
    for size in sorted({row["megapixels"] for row in rows}):
        chosen = [row for row in rows if row["megapixels"] == size]
        theirs = {row["picture"]: row for row in chosen if row["way"] == PEERS}
        found += [_summed([row for row in chosen if row["way"] == way], theirs) for way in WAYS]
    return found


def _summed(rows: Sequence[Row], theirs: dict[str, Row]) -> Row:
    first = rows[0]
    bad = next((row for row in rows if row["status"] != "done"), None)
    row: Row = {
        **{name: first[name] for name in ("megapixels", "way", "limit")},
        "title": WAYS[first["way"]].title,
        "points": round(statistics.fmean(one["points"] for one in rows)),
        "pictures": len(rows),
        "status": bad["status"] if bad else "done",
        "why": bad["why"] if bad else None,
    }
    if bad:
        return row
    row["seconds"] = statistics.fmean(one["seconds"] for one in rows)
    row["parts"] = {part: statistics.fmean(one["parts"][part] for one in rows) for part in PARTS}
    pairs = [(one, theirs[one["picture"]]) for one in rows]
    if all(other["status"] == "done" for _, other in pairs):
        row["times"] = sum(other["seconds"] for _, other in pairs) / sum(
            one["seconds"] for one in rows
        )
        if "mask_iou" in first:
            row["least_mask_iou"] = min(
                (one["mask_iou"] for one in rows if one["mask_iou"] is not None), default=None
            )
            row["largest_auc_difference"] = max(
                abs(one["numbers"]["auc"] - other["numbers"]["auc"]) for one, other in pairs
            )
    return row
