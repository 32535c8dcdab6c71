"""One result across protocols."""

import json

import numpy as np
import pytest

from tamperscope.bench.explain import explain, explain_summaries
from tamperscope.bench.protocols import CATNET, OURS, PROTOCOLS, TRUFOR, Prediction
from tamperscope.errors import DataError

TRUTH = np.zeros((128, 128), bool)
TRUTH[32:96, 16:80] = True
INVERTED = Prediction(np.asarray(~TRUTH, np.float32), ~TRUTH, 0.7)
CLEAN = Prediction(np.zeros(TRUTH.shape, np.float32), np.zeros_like(TRUTH), 0.1)


def test_the_same_prediction_is_worthless_and_perfect() -> None:
    found = explain([INVERTED, CLEAN], [TRUTH, None])
    values = {(line.protocol, line.number): line for line in found.lines}
    assert values["ours", "f1"].value == 0
    line = values["trufor", "f1_fixed"]
    assert (line.value, line.difference, line.against, line.count) == (1, 1, "f1", 1)
    assert "turned round" in line.why
    assert values["trufor", "f1_best"].oracle
    assert values["dolos", "iou_sm"].value is None
    assert values["dolos", "iou_sm"].difference is None
    assert found.lines[0].protocol == "ours"
    assert len(found.lines) == sum(len(p.numbers) for p in PROTOCOLS.values())


def test_as_a_table_and_as_json() -> None:
    found = explain([INVERTED], [TRUTH], protocols=(CATNET,))
    table = found.to_markdown()
    assert table.startswith("| Protocol | Number | Value | From ours | Why |\n|---")
    assert "| catnet | p-mIoU | 1.000 | +1.000 (IoU) | as miou, and each picture may be" in table
    assert "| ours |" not in table
    assert len(table.splitlines()) == 2 + 3
    assert json.loads(json.dumps(found.to_dict()))["lines"][0]["number"] == "miou"
    assert "| catnet |" not in explain([CLEAN], [None], protocols=(CATNET,)).to_markdown()


def test_pictures_may_come_one_by_one_and_summaries_at_last() -> None:
    chosen = (TRUFOR, OURS)
    streamed = explain(iter([INVERTED, CLEAN]), iter([TRUTH, None]), protocols=chosen)
    summaries = {
        p.name: p.summarize([p.score(INVERTED, TRUTH), p.score(CLEAN, None)]) for p in chosen
    }
    assert explain_summaries(summaries, protocols=chosen) == streamed
    assert streamed.lines[0].protocol == "ours"
    with pytest.raises(DataError, match="no summary of protocol ours: score the pictures by it"):
        explain_summaries({"trufor": summaries["trufor"]}, protocols=(TRUFOR,))


def test_errors() -> None:
    with pytest.raises(DataError, match="no picture to explain"):
        explain([], [])
    with pytest.raises(DataError, match="picture 2 has no ground truth: give as many"):
        explain([INVERTED, CLEAN], [TRUTH])
    with pytest.raises(DataError, match="picture 1 has no prediction"):
        explain([], [TRUTH])
