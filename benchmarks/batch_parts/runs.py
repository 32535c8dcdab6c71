"""One timed run of `tamperscope batch`, in processes of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tamperscope.bench.speed import synthetic_jpeg
from tamperscope.image import SUFFIXES
from tamperscope.workers.child import THREAD_VARIABLES

BATCH = """
import json, sys, tempfile, time
from pathlib import Path
import pyarrow.parquet as pq
from tamperscope.batch import BatchConfig, run_batch
warm, settings = int(sys.argv[1]), json.loads(sys.argv[2])
times = []
with tempfile.TemporaryDirectory() as output:
    config = BatchConfig(output=Path(output), **settings)
    report = run_batch(config, tell=lambda p: times.append((time.perf_counter(), p.done)))
    rows = pq.read_table(Path(output, "rows"), columns=["id", "score"]).to_pylist()
assert not report["errors"], report["errors"]
first, done = next((t, n) for t, n in times if n >= warm)
rate = (report["inputs"] - done) / (times[-1][0] - first)
scores = {row["id"]: row["score"] for row in rows}
print(json.dumps({"rate": rate, "scores": scores, "describe": report["settings"]["method"]}))
"""
"""Pictures per second from the moment the first ones are done until the last one is."""


def batch_arguments(warm: int, **settings: Any) -> list[str]:
    """Words for `BATCH`: how many pictures come first, and fields of `BatchConfig`."""
    return [str(warm), json.dumps(settings)]


def run(code: str, arguments: Sequence[str], cores: int) -> dict[str, Any]:
    """What a candidate says, run once on so many cores."""
    allowed = sorted(os.sched_getaffinity(0))[:cores]
    if len(allowed) < cores:
        print(f"only {len(allowed)} core(s) for {cores} workers", file=sys.stderr)
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, **dict.fromkeys(THREAD_VARIABLES, "1")},
        preexec_fn=lambda: os.sched_setaffinity(0, allowed),
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def fill(folder: Path, *, count: int, megapixels: float, pictures: Path | None = None) -> str:
    """Put the pictures to examine into a folder, made ones or some of `pictures`; returns what
    they are."""
    if pictures is None:
        for i in range(count):
            (folder / f"{i:05}.jpg").write_bytes(synthetic_jpeg(megapixels, seed=i))
        return f"synthetic JPEG, 4:3, quality 92, {megapixels:g} Mpx"
    files = sorted(f for f in pictures.rglob("*") if f.suffix.lower() in SUFFIXES)
    # Evenly spaced, and copied: links would lead out of the folder.
    for i in np.unique(np.linspace(0, len(files) - 1, count).astype(int)):
        (folder / f"{i:05}{files[i].suffix}").write_bytes(files[i].read_bytes())
    return f"{pictures.name}, evenly spaced"
