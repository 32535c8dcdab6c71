"""Every hostile file, read under limits of time and memory in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import hostile
import hostile_data
import tamperscope
from fuzz import limits
from tamperscope.data.datasets.lists import read_list
from tamperscope.data.manifest import read_manifest
from tamperscope.errors import DataError
from tamperscope.image import read_image
from tamperscope.weights import load_state

SCRIPT = Path(__file__).with_name("limits.py")


def _run(*names: str | Path) -> subprocess.CompletedProcess[str]:
    source = str(Path(tamperscope.__file__).parent.parent)
    paths = {"PYTHONPATH": source, "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, SCRIPT, *names],
        capture_output=True,
        text=True,
        env=os.environ | paths,
        check=False,
    )


@pytest.mark.parametrize(
    ("names", "least"), [(("image", "mask"), 400), (("weights", "manifest"), 50)]
)
def test_no_file_takes_ten_seconds_or_two_gigabytes(names: tuple[str, ...], least: int) -> None:
    done = _run(*names)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr[-2000:]
    assert int(done.stdout.splitlines()[-1].split()[0]) >= least


@pytest.mark.slow
def test_the_dearest_pictures_within_the_limits_stay_within_time_and_memory(
    tmp_path: Path,
) -> None:
    # Written here, because making them takes memory as well.
    for name, data in hostile.heavy():
        assert len(data) <= 20_000_000
        (tmp_path / name).write_bytes(data)
    done = _run(tmp_path)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "7 files"


def test_the_limits_are_noticed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(limits, "MEGABYTES", 1)
    monkeypatch.setattr(limits.resource, "setrlimit", lambda *_: None)
    monkeypatch.setattr(limits, "files", lambda _: iter([("empty", b"")]))
    assert limits.main(["image"]) == 1
    assert "needed" in capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(hostile.ODD))
def test_odd_pictures_are_read(name: str) -> None:
    assert read_image(hostile.ODD[name]).pixels.size


@pytest.mark.parametrize("refused", list(hostile_data.refused_weights()), ids=lambda r: r.name)
def test_bad_weights_are_refused(refused: hostile_data.Refused, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(refused.data)
    with pytest.raises(refused.error, match="weights.pth"):
        load_state(path)
    assert not os.path.exists(hostile_data.MARK)


@pytest.mark.parametrize(
    ("name", "data"),
    list(hostile_data.refused_lists()),
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_bad_lists_are_refused(name: str, data: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    read = read_manifest if name.endswith(".manifest.json") else read_list
    with pytest.raises(DataError, match=path.stem[:8]):
        read(path)
    assert not os.path.exists(hostile_data.MARK)


def test_names_must_stay_below_the_folder_unless_another_one_is_given(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(b"")
    listed = tmp_path / "lists" / "all.csv"
    listed.parent.mkdir()
    listed.write_text(f"image\n{picture}\n")
    with pytest.raises(DataError, match=r"is no file below .*lists: name files inside that folder"):
        read_list(listed)
    assert read_list(listed, base=tmp_path).samples[0].image_path == picture
    assert read_list(listed, base="/").samples[0].image_path == picture
