import json
import os
import stat
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image as PILImage

from tamperscope import result as module
from tamperscope.errors import ResultError
from tamperscope.provenance import Provenance
from tamperscope.result import Localization, MapKind, write_atomic


def make(score_map: Any = None, mask: Any = None, **changes: Any) -> Localization:
    if score_map is None:
        score_map = np.linspace(0, 1, 20, dtype=np.float32).reshape(4, 5)
    if mask is None:
        mask = score_map > 0.6
    size = np.shape(score_map)
    provenance = Provenance(
        version="0.1.0",
        commit="a" * 40,
        method="focal",
        config={"é": [1, None]},
        weights={},
        device="cpu",
        precision="fp32",
        seed=3,
        seconds={"cluster": 0.1},
        input_id="Фото.jpg",
        input_sha256="0" * 64,
        input_size=size if len(size) == 2 and min(size) > 0 else (4, 5),
    )
    values: dict[str, Any] = {
        "score_map": score_map,
        "map_kind": MapKind.CLUSTER_SIMILARITY,
        "mask": mask,
        "threshold": 0.6,
        "image_score": 0.75,
        "provenance": provenance,
    }
    return Localization(**(values | changes))


def test_properties() -> None:
    found = make()
    assert found.size == (4, 5)
    assert found.forged_fraction == pytest.approx(8 / 20)
    assert found.flagged
    clean = make(mask=np.zeros((4, 5), dtype=bool))
    assert not clean.flagged
    assert clean.forged_fraction == 0.0


def test_arrays_are_read_only_and_the_callers_stay_writable() -> None:
    score_map = np.zeros((4, 5), dtype=np.float32)
    found = make(score_map)
    with pytest.raises(ValueError, match="read-only"):
        found.score_map[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        found.mask[0, 0] = True
    assert score_map.flags.writeable


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score_map": np.zeros((4, 5))}, "score_map must be a float32 array, got float64"),
        ({"score_map": [[0.0]]}, "score_map must be a float32 array, got list"),
        ({"mask": np.zeros((4, 5), np.uint8)}, "mask must be a bool array, got uint8"),
        ({"score_map": np.zeros((4, 5, 1), np.float32)}, r"must have shape \(h, w\)"),
        ({"score_map": np.zeros((0, 5), np.float32)}, "neither zero"),
        ({"mask": np.zeros((5, 4), bool)}, "sizes differ: .*size of the input"),
        ({"score_map": np.full((4, 5), np.nan, np.float32)}, r"finite and in \[0, 1\]"),
        ({"score_map": np.full((4, 5), np.inf, np.float32)}, r"finite and in \[0, 1\]"),
        ({"score_map": np.full((4, 5), 1.01, np.float32)}, "it spans 1.01"),
        ({"score_map": np.full((4, 5), -0.01, np.float32)}, "it spans -0.01"),
        ({"threshold": 1.5}, r"threshold must be in \[0, 1\], got 1.5"),
        ({"threshold": None}, r"threshold must be a number in \[0, 1\], got None"),
        ({"image_score": float("nan")}, r"image_score must be in \[0, 1\], got nan"),
        ({"map_kind": "heat"}, "map_kind 'heat' is none of 'probability', 'saliency', 'cluster"),
    ],
)
def test_refuses_contradictions(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ResultError, match=message):
        make(**({"mask": np.zeros((4, 5), bool)} | changes))


def test_refuses_another_size_than_the_inputs() -> None:
    other = make(np.zeros((2, 2), np.float32)).provenance
    with pytest.raises(ResultError, match=r"sizes differ: .*input \(2, 2\)"):
        make(provenance=other)


unit_maps = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=19),
    elements=st.floats(0, 1, width=32),
)


@given(unit_maps, st.floats(0, 1), st.floats(0, 1), st.sampled_from(MapKind), st.data())
def test_save_and_load_lose_nothing(
    tmp_path_factory: pytest.TempPathFactory,
    score_map: Any,
    threshold: float,
    image_score: float,
    kind: MapKind,
    data: st.DataObject,
) -> None:
    mask = data.draw(hnp.arrays(np.bool_, score_map.shape))
    before = make(score_map, mask, threshold=threshold, image_score=image_score, map_kind=kind)
    npz, _ = before.save(tmp_path_factory.mktemp("r"), "photo")
    after = Localization.load(npz)
    assert after.score_map.tobytes() == before.score_map.tobytes()
    assert after.score_map.dtype == np.float32
    np.testing.assert_array_equal(after.mask, before.mask)
    assert (after.threshold, after.image_score) == (threshold, image_score)
    assert after.map_kind is kind
    assert after.provenance == before.provenance


def test_record_is_readable_json_beside_the_npz(tmp_path: Path) -> None:
    found = make()
    npz, record = found.save(tmp_path / "new" / "folder", "photo")
    assert (npz.name, record.name) == ("photo.npz", "photo.json")
    text = record.read_text(encoding="utf-8")
    assert "Фото.jpg" in text
    assert text.count("\n") > 10
    assert json.loads(text) == found.to_record()
    assert found.to_record()["map_kind"] == "cluster similarity"
    assert found.to_record()["size"] == [4, 5]
    assert sorted(p.name for p in npz.parent.iterdir()) == ["photo.json", "photo.npz"]


def test_an_id_that_is_not_utf8_survives(tmp_path: Path) -> None:
    found = make(provenance=replace(make().provenance, input_id="bad\udcff.jpg"))
    npz, record = found.save(tmp_path, "photo")
    assert json.loads(record.read_text(encoding="utf-8")) == found.to_record()
    assert Localization.load(npz).provenance.input_id == "bad\udcff.jpg"


def test_saving_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    first = make().save(tmp_path, "a")
    second = make().save(tmp_path, "b")
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


@pytest.mark.parametrize("stem", ["", "a/b", "../a", "/a", ".", "..", "a\0b"])
def test_stem_is_a_name_not_a_path(tmp_path: Path, stem: str) -> None:
    with pytest.raises(ResultError, match="is not a file name: leave folders to `directory`"):
        make().save(tmp_path, stem)


def test_stem_may_hold_dots(tmp_path: Path) -> None:
    assert make().save(tmp_path, "a.b.tar")[0].name == "a.b.tar.npz"


def test_load_missing(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="no result at .*x.npz: check the path"):
        Localization.load(tmp_path / "x.npz")


def test_load_damaged_at_every_length(tmp_path: Path) -> None:
    npz, _ = make().save(tmp_path, "photo")
    data = npz.read_bytes()
    for length in range(0, len(data), 23):
        npz.write_bytes(data[:length])
        with pytest.raises(ResultError, match="not a readable tamperscope result"):
            Localization.load(npz)


def test_load_never_unpickles(tmp_path: Path) -> None:
    path = tmp_path / "evil.npz"
    np.savez(path, score_map=np.array([print], dtype=object), mask=np.zeros(1), record="{}")
    with pytest.raises(ResultError, match="allow_pickle=False"):
        Localization.load(path)


def rewrite(path: Path, **changes: Any) -> None:
    with np.load(path) as arrays:
        parts = {name: arrays[name] for name in arrays.files}
    np.savez(path, **(parts | changes))


def test_load_refuses_another_version(tmp_path: Path) -> None:
    npz, _ = make().save(tmp_path, "photo")
    record = make().to_record() | {"format_version": 99}
    rewrite(npz, record=np.array(json.dumps(record)))
    with pytest.raises(ResultError, match="format 99, this tamperscope reads 1: run the picture"):
        Localization.load(npz)


@pytest.mark.parametrize(
    "changes",
    [
        {"mask": np.zeros((4, 5), np.float32)},
        {"mask": np.zeros((1, 1), np.uint8)},
        {"score_map": np.zeros(3, np.float32)},
        {"record": np.array("[]")},
        {"record": np.array("{")},
        {"record": np.array('{"format_version": 1}')},
        {"record": np.array('{"format_version": 1, "provenance": 3}')},
    ],
)
def test_load_refuses_parts_that_do_not_fit(tmp_path: Path, changes: dict[str, Any]) -> None:
    npz, _ = make().save(tmp_path, "photo")
    rewrite(npz, **changes)
    with pytest.raises(ResultError):
        Localization.load(npz)


def test_load_other_files(tmp_path: Path) -> None:
    picture = tmp_path / "a.npz"
    for data in (b"", b"\x89PNG\r\n\x1a\n", b"\x93NUMPY"):
        picture.write_bytes(data)
        with pytest.raises(ResultError, match="not a readable tamperscope result"):
            Localization.load(picture)
    np.save(tmp_path / "b.npy", np.zeros(3))
    with pytest.raises(ResultError, match="not a readable tamperscope result"):
        Localization.load(tmp_path / "b.npy")
    with zipfile.ZipFile(picture, "w") as archive:
        archive.writestr("score_map.npy", b"no array")
    with pytest.raises(ResultError, match="not a readable tamperscope result"):
        Localization.load(picture)
    with pytest.raises(ResultError, match="not a readable tamperscope result"):
        Localization.load(tmp_path)


def test_mask_png(tmp_path: Path) -> None:
    found = make()
    path = found.save_mask(tmp_path / "sub" / "mask.png")
    with PILImage.open(path) as picture:
        assert (picture.format, picture.mode, picture.size) == ("PNG", "L", (5, 4))
        np.testing.assert_array_equal(np.asarray(picture), found.mask * np.uint8(255))


def test_write_atomic_keeps_the_old_file_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = write_atomic(tmp_path / "a.txt", b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(ResultError, match="cannot write .*a.txt: No space left on device; choose"):
        write_atomic(target, b"new and longer")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_write_atomic_into_a_file_as_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ResultError, match="cannot write"):
        write_atomic(tmp_path / "file" / "a.txt", b"")


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_written_files_have_ordinary_permissions(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("x")
    written = write_atomic(tmp_path / "written", b"x")
    assert stat.S_IMODE(written.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
