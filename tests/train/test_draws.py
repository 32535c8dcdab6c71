"""What the sources of all tasks share."""

import pickle
from pathlib import Path

import pytest

from tamperscope.train.tasks.draws import Remembered


def test_the_last_answers_are_remembered() -> None:
    asked: list[int] = []

    def doubled(key: int) -> int:
        asked.append(key)
        return 2 * key

    one, every = Remembered(doubled, most=1), Remembered(doubled, most=None)
    assert [one(key) for key in (1, 1, 2, 2, 1)] == [2, 2, 4, 4, 2]
    assert asked == [1, 2, 1]
    asked.clear()
    assert [every(key) for key in (*range(300), *range(300))] == [*range(0, 600, 2)] * 2
    assert asked == [*range(300)]


@pytest.mark.parametrize("most", [1, None])
def test_in_another_process_nothing_is_remembered_yet(tmp_path: Path, most: int | None) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for path in (one, other):
        path.write_text("old")
    read: Remembered[Path, str] = Remembered(Path.read_text, most=most)
    assert read(one) == "old"
    one.write_text("new")
    assert read(one) == "old"
    sent = pickle.loads(pickle.dumps(read))
    assert sent(one) == "new"
    one.write_text("newer")
    assert sent(other) == "old"
    assert sent(one) == ("new" if most is None else "newer")
