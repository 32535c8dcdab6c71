import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PILImage

from data.faces.toys import SIDE, label_map, pixels, write_faces
from tamperscope.data.datasets import dolos
from tamperscope.data.faces import BuildConfig, build_dolos, make
from tamperscope.data.faces.config import config_from_dict
from tamperscope.data.generators import registry
from tamperscope.errors import ConfigError, DataError, UnknownNameError
from tamperscope.image import read_image, read_mask

SMALL = BuildConfig(size=48, dilation=(1, 3), least=4)


class Painter:
    """A generator that fills with one colour; the whole picture too, if asked."""

    family = "external"

    def __init__(self, colour: int = 9, *, whole_image: bool = False) -> None:
        self.name = "painter"
        self.whole_image = whole_image
        self._colour = colour

    def inpaint(
        self, images: NDArray[np.uint8], masks: NDArray[np.bool_], *, seed: int
    ) -> NDArray[np.uint8]:
        return np.full_like(images, self._colour + seed)

    def regenerate(self, images: NDArray[np.uint8], *, seed: int) -> NDArray[np.uint8]:
        return np.full_like(images, self._colour)


@pytest.fixture
def painter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets `transposed` and `latent` be painters, without weights."""

    def build(name: str) -> Any:
        def load(*, weights: str | None, device: str, colour: int = 9) -> Painter:
            return Painter(colour, whole_image=name == "latent")

        return load

    known = dict(registry._FAMILIES) | {"transposed": build, "latent": build}
    monkeypatch.setattr(registry, "_FAMILIES", known)


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    return write_faces(tmp_path / "faces", 8)


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def test_a_set_of_two_generators(faces: Path, tmp_path: Path) -> None:
    out, seen = tmp_path / "set", list[tuple[int, int]]()
    report = build_dolos(
        faces,
        out,
        generators=["telea", "ns"],
        config=SMALL,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert report["pictures"] == {"ns": 8, "real": 8, "telea": 8}
    assert (report["made"], report["faces"], report["failed"]) == (24, 8, [])
    assert seen == [(4, 8), (8, 8)]
    for row in rows(out):
        data = (out / row["image"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == row["sha256"]
        assert read_image(data).size == (48, 48)
    for fake in (row for row in rows(out) if row["kind"] == "fake"):
        real = read_image(out / f"celebahq/real/{fake['split']}/{fake['face']}.png").pixels
        made = read_image(out / fake["image"]).pixels
        mask = read_mask(out / fake["mask"], polarity=dolos.POLARITY)
        assert mask.mean() == pytest.approx(fake["fake_fraction"], abs=1e-6)
        assert 0 < mask.mean() < 1
        assert np.array_equal(made[~mask], real[~mask])
        assert (made != real)[mask].any()
    assert dolos.check(out, hashes=True).complete


def test_masks_are_the_same_for_all_generators_unless_asked(faces: Path, tmp_path: Path) -> None:
    def masks(out: Path, generator: str) -> dict[str, tuple[str, int, bytes]]:
        return {
            row["id"]: (row["region"], row["dilation"], (out / row["mask"]).read_bytes())
            for row in rows(out)
            if row.get("generator") == generator
        }

    same, varied = tmp_path / "same", tmp_path / "varied"
    build_dolos(faces, same, generators=["telea", "ns"], config=SMALL)
    assert masks(same, "telea") == masks(same, "ns")
    config = BuildConfig(size=48, dilation=(1, 3), least=4, vary_masks=True)
    build_dolos(faces, varied, generators=["telea", "ns"], config=config)
    assert masks(varied, "telea") != masks(varied, "ns")


def test_workers_make_the_same_set(faces: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    build_dolos(faces, one, generators=["telea"], config=SMALL, variants=2)
    build_dolos(faces, two, generators=["telea"], config=SMALL, variants=2, workers=2)
    assert files(one) == files(two)


def test_a_set_is_gone_on_with(faces: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    build_dolos(faces, whole, generators=["telea", "ns"], config=SMALL, variants=2)
    first = build_dolos(faces, parts, generators=["telea"], config=SMALL, limit=3)
    assert first["made"] == 6
    # What a kill leaves: a line cut off, a picture without its line, half a file.
    manifest = parts / "manifest.jsonl"
    lines = manifest.read_text().splitlines(keepends=True)
    lost = json.loads(lines[-1])["image"]
    manifest.write_text("".join(lines[:-1]) + lines[-1][:40])
    (parts / lost).with_name("f1.png.123.part").write_bytes(b"half")
    gone = parts / json.loads(lines[0])["mask"]
    gone.unlink()
    again = build_dolos(faces, parts, generators=["telea"], config=SMALL, limit=3)
    assert (again["made"], again["pictures"]) == (2, first["pictures"])
    build_dolos(faces, parts, generators=["ns"], config=SMALL, variants=2)
    last = build_dolos(faces, parts, generators=["telea", "ns"], config=SMALL, variants=2)
    assert last["pictures"] == {"ns": 16, "real": 8, "telea": 16}
    done, wanted = files(parts), files(whole)
    assert json.loads(done.pop("build.json")) == json.loads(wanted.pop("build.json"))
    assert done == wanted
    assert build_dolos(faces, parts, generators=["ns"], config=SMALL)["made"] == 0


def test_a_face_that_changed_since_is_left_as_it_was(faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    build_dolos(faces, out, generators=["telea"], config=SMALL)
    before = files(out)
    PILImage.fromarray(pixels(99)).save(faces / "images" / "f1.png")
    report = build_dolos(faces, out, generators=["telea", "ns"], config=SMALL, variants=2)
    why = "another picture than the set was begun with: build the set in another folder"
    assert report["failed"] == [{"face": "f1", "reason": why}]
    assert report["pictures"] == {"ns": 14, "real": 8, "telea": 15}
    after = files(out)
    kept = before.keys() - {"manifest.jsonl", "build.json"}
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    new = {Path(name).stem.split("-")[0] for name in after.keys() - before.keys()}
    assert new == {f"f{i}" for i in range(8)} - {"f1"}
    shown = {(row["id"], row.get("generator")) for row in rows(out) if row["face"] == "f1"}
    assert shown == {("f1", None), ("f1", "telea")}


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_build_that_is_killed_leaves_whole_files(tmp_path: Path) -> None:
    faces, out = write_faces(tmp_path / "faces", 40, 128), tmp_path / "set"
    command = [sys.executable, "-m", "tamperscope", "data", "build", "dolos", str(out)]
    command += ["--faces", str(faces), "-g", "telea"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (out / "manifest.jsonl").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    for path in out.rglob("*.png"):
        read_image(path)
    config = BuildConfig()
    report = build_dolos(faces, out, generators=["telea"], config=config)
    assert report["pictures"] == {"real": 40, "telea": 40}
    assert not list(out.rglob("*.part"))
    assert dolos.check(out, hashes=True).complete


def test_hostile_faces_are_reported_and_the_rest_goes_on(faces: Path, tmp_path: Path) -> None:
    (faces / "images" / "f1.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    (faces / "masks" / "f2.png").write_bytes(b"")
    PILImage.fromarray(label_map()[:20]).save(faces / "masks" / "f3.png")
    (faces / "masks" / "f4.png").unlink()
    PILImage.fromarray(np.zeros((SIDE, SIDE), np.uint8)).save(faces / "masks" / "f5.png")
    report = build_dolos(faces, tmp_path / "set", generators=["telea"], config=SMALL)
    reasons = {entry["face"]: entry["reason"] for entry in report["failed"]}
    assert sorted(reasons) == ["f1", "f2", "f3", "f4"]
    assert "truncated or damaged PNG" in reasons["f1"]
    assert "is empty (0 bytes)" in reasons["f2"]
    assert "does not fit a picture of 64 x 64" in reasons["f3"]
    assert reasons["f4"] == "no label map of this name"
    assert report["without_region"] == ["f5"]
    assert report["pictures"] == {"real": 4, "telea": 3}


def test_nothing_made_is_an_error(faces: Path, tmp_path: Path) -> None:
    hats = BuildConfig(size=48, regions=("hat",))
    with pytest.raises(DataError, match="none of the 8 faces has one of the regions: choose oth"):
        build_dolos(faces, tmp_path / "a", generators=["telea"], config=hats)
    for path in (faces / "masks").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"none of the 8 faces could be used \(first: 'f0': "):
        build_dolos(faces, tmp_path / "b", generators=["telea"], config=SMALL)


def test_a_region_that_only_some_faces_have(faces: Path, tmp_path: Path) -> None:
    config = BuildConfig(size=48, regions=("nose", "eyes"), dilation=(1, 3), least=4)
    report = build_dolos(faces, tmp_path / "set", generators=["telea"], config=config)
    assert report["without_region"] == ["f0"]
    assert report["pictures"] == {"real": 8, "telea": 7}
    assert set(report["regions"]) <= {"nose", "eyes"}


def test_other_settings_need_another_folder(faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    build_dolos(faces, out, generators=["telea"], config=SMALL, limit=1)
    other = BuildConfig(size=48, dilation=(1, 3), least=4, seed=1)
    with pytest.raises(ConfigError, match="holds a set made with seed = 0, not seed = 1: give the"):
        build_dolos(faces, out, generators=["telea"], config=other)
    softer = registry.GeneratorChoice(label="telea", spec="telea", options={"radius": 9.0})
    with pytest.raises(ConfigError, match=r"holds a set made with telea = .*use another folder"):
        build_dolos(faces, out, generators=[softer], config=SMALL)


def test_a_folder_with_other_content_is_left_alone(faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match=r"holds other files \(first: 'thesis.txt'\): choose an"):
        build_dolos(faces, out, generators=["telea"], config=SMALL)
    assert files(out) == {"thesis.txt": b"mine"}
    with pytest.raises(DataError, match=r"thesis.txt is a file: choose another folder"):
        build_dolos(faces, out / "thesis.txt", generators=["telea"], config=SMALL)
    (out / "thesis.txt").rename(out / "build.json")
    with pytest.raises(DataError, match=r"build.json: not JSON: build the set again in another"):
        build_dolos(faces, out, generators=["telea"], config=SMALL)
    (out / "build.json").write_text("{}")
    with pytest.raises(DataError, match=r"build.json: not the settings of a built set"):
        build_dolos(faces, out, generators=["telea"], config=SMALL)


@pytest.mark.skipif(os.name == "nt", reason="no locks there")
def test_two_builds_at_once_are_told_apart(faces: Path, tmp_path: Path) -> None:
    from tamperscope.data.faces.output import only_writer

    out = tmp_path / "set"
    with (
        only_writer(out),
        pytest.raises(DataError, match="another process is writing to .*: wait for it"),
    ):
        build_dolos(faces, out, generators=["telea"], config=SMALL)
    build_dolos(faces, out, generators=["telea"], config=SMALL, limit=1)


@pytest.mark.usefixtures("painter")
def test_only_the_region_is_pasted_unless_everything_passes_through(
    faces: Path, tmp_path: Path
) -> None:
    out = tmp_path / "set"
    build_dolos(faces, out, generators=["transposed", "latent"], config=SMALL, limit=2)
    for row in rows(out):
        if row["kind"] == "real":
            continue
        made = read_image(out / row["image"]).pixels
        mask = read_mask(out / row["mask"], polarity=dolos.POLARITY)
        assert (made[mask] == 9).all()
        assert (made == 9).all() == row["whole_image"] == (row["generator"] == "latent")


@pytest.mark.usefixtures("painter")
def test_whole_pictures_from_those_that_can(faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    report = build_dolos(
        faces, out, generators=["telea", "transposed"], config=SMALL, limit=3, whole=True
    )
    assert report["pictures"] == {"real": 3, "telea": 3, "transposed": 3, "transposed-whole": 3}
    assert list(report["not_whole"]) == ["telea"]
    assert "only fills regions" in report["not_whole"]["telea"]
    found = [
        sample
        for split in ("train", "valid", "test")
        if (out / "celebahq/fake/transposed-whole" / split).is_dir()
        for sample in dolos.load_whole(out, generator="transposed", split=split)
    ]
    assert len(found) == 3
    with pytest.raises(ConfigError, match="'telea' only fills regions: for whole pictures use"):
        build_dolos(faces, out, generators=["telea"], config=SMALL, whole=True)


@pytest.mark.usefixtures("painter")
def test_options_and_labels_of_generators(faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    choices = [
        registry.parse_choice("dark=transposed", options={"dark": {"colour": 1}}),
        registry.parse_choice("light=transposed", options={"light": {"colour": 200}}),
    ]
    build_dolos(faces, out, generators=choices, config=SMALL, limit=1)
    made = {row["generator"]: row for row in rows(out) if row["kind"] == "fake"}
    mask = read_mask(out / made["dark"]["mask"], polarity=dolos.POLARITY)
    assert (read_image(out / made["dark"]["image"]).pixels[mask] == 1).all()
    assert (read_image(out / made["light"]["image"]).pixels[mask] == 200).all()
    settings = json.loads((out / "build.json").read_text())
    assert settings["generators"]["light"]["options"] == {"colour": 200}


@pytest.mark.usefixtures("painter")
def test_other_weights_need_another_folder(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shipped weights too: a newer release may ship others."""
    out, weights = tmp_path / "set", tmp_path / "transposed.safetensors"
    monkeypatch.setattr(registry, "_SHIPPED", tmp_path)
    weights.write_bytes(b"old")
    build_dolos(faces, out, generators=["transposed"], config=SMALL, limit=1)
    settings = json.loads((out / "build.json").read_text())["generators"]["transposed"]
    assert settings["model"] == "transposed.safetensors"
    assert settings["sha256"] == hashlib.sha256(b"old").hexdigest()
    weights.write_bytes(b"new")
    with pytest.raises(ConfigError, match=r"holds a set made with transposed = .*use another fold"):
        build_dolos(faces, out, generators=["transposed"], config=SMALL, limit=1)
    weights.unlink()
    weights.mkdir()
    (weights / "part.bin").write_bytes(b"old")
    with pytest.raises(ConfigError, match=r"holds a set made with transposed = .*use another fold"):
        build_dolos(faces, out, generators=["transposed"], config=SMALL, limit=1)


def test_a_parser_labels_faces(faces: Path, tmp_path: Path) -> None:
    (faces / "masks").rename(tmp_path / "unused")
    report = build_dolos(
        faces,
        tmp_path / "set",
        generators=["telea"],
        config=SMALL,
        limit=2,
        parser=lambda pixels: label_map(len(pixels)),
    )
    assert report["pictures"] == {"real": 2, "telea": 2}
    with pytest.raises(ConfigError, match="parser cannot be sent to worker processes .*: define"):
        build_dolos(
            faces,
            tmp_path / "set",
            generators=["telea"],
            config=SMALL,
            workers=2,
            parser=lambda pixels: label_map(len(pixels)),
        )


def test_names_that_collide(faces: Path, tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (faces / folder / "f2.png").rename(faces / folder / "f1-v1.png")
    with pytest.raises(DataError, match="face 'f1-v1' is named like a variant of 'f1': rename it"):
        build_dolos(faces, tmp_path / "set", generators=["telea"], config=SMALL, variants=2)
    with pytest.raises(ConfigError, match="two generators are called .*'telea'.*: write LABEL="):
        build_dolos(faces, tmp_path / "set", generators=["telea", "telea"], config=SMALL)
    with pytest.raises(ConfigError, match="no generator: give at least one, such as telea"):
        build_dolos(faces, tmp_path / "set", generators=[], config=SMALL)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "seed must not be negative, got -1"),
        ({"size": 8}, "size must be in 16..4096 pixels, got 8"),
        ({"size": 256.5}, "size must be a whole number, got 256.5"),
        ({"size": "big"}, "size must be a whole number, got 'big'"),
        ({"small": 2}, r"small must be in \[0, 1\], got 2"),
        ({"small": "x"}, "a setting of the built set has the wrong type"),
        ({"dilation": [3, 1]}, "dilation needs 0 <= low <= high, got 3, 1"),
        ({"dilation": [1]}, "dilation must be two numbers"),
        ({"dilation": 3}, "a setting of the built set has the wrong type"),
        ({"least": 0}, "least must be at least 1 pixel"),
        ({"regions": []}, "no face region to choose from: give at least one"),
        ({"collection": "a/b"}, "'a/b' cannot name a folder: use letters and digits"),
        ({"sizes": 3}, "unknown setting of a built set 'sizes'; did you mean 'size'"),
    ],
)
def test_settings_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_from_dict(options)


def test_names_that_are_not_known() -> None:
    with pytest.raises(UnknownNameError, match="face region 'noze'; did you mean 'nose'"):
        BuildConfig(regions=("noze",))
    with pytest.raises(UnknownNameError, match="label numbering 'celeb'"):
        BuildConfig(numbering="celeb")


def test_a_face_is_cropped_to_its_central_square() -> None:
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, 10:50] = 200
    labels = np.zeros((40, 60), np.uint8)
    labels[:, 10:50] = 13
    for side in (40, 20, 80):
        face, parts = make.square(pixels, labels, side)
        assert face.shape == (side, side, 3)
        assert (face == 200).all()
        assert (parts == 13).all()
