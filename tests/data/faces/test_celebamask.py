from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from data.faces.toys import SIDE, label_map, pixels, write_faces, write_original
from tamperscope.data.faces import find_faces, read_face
from tamperscope.data.faces.celebamask import Face
from tamperscope.errors import DataError, ImageError


def test_pictures_with_label_maps_of_their_names(tmp_path: Path) -> None:
    write_faces(tmp_path, 3)
    (tmp_path / "masks" / "f1.png").unlink()
    faces, without = find_faces(tmp_path)
    assert [face.id for face in faces] == ["f0", "f2"]
    assert without == ["f1"]
    face = read_face(faces[1])
    assert np.array_equal(face.labels, label_map())
    assert np.array_equal(face.pixels, pixels(2))
    assert len(face.sha256) == 64


def test_the_original_layout(tmp_path: Path) -> None:
    write_original(tmp_path)
    faces, without = find_faces(tmp_path)
    assert [face.id for face in faces] == ["0", "2001"]
    assert not without
    face = read_face(faces[1])
    assert face.pixels.shape == (2 * SIDE, 2 * SIDE, 3)
    assert np.array_equal(face.labels[::2, ::2], label_map())


def test_the_later_part_wins_where_two_overlap(tmp_path: Path) -> None:
    write_original(tmp_path, (7,))
    folder = tmp_path / "CelebAMask-HQ-mask-anno" / "0"
    everywhere = PILImage.fromarray(np.full((SIDE, SIDE), 1, np.uint8))
    everywhere.save(folder / "00007_skin.png")
    (face,), _ = find_faces(tmp_path)
    labels = read_face(face).labels
    assert set(np.unique(labels)) == {1, *np.unique(label_map())[1:]}
    everywhere.resize((SIDE, SIDE // 2)).save(folder / "00007_hair.png")
    with pytest.raises(DataError, match="32 x 64 pixels, another part of the face has 64 x 64"):
        read_face(face)


def test_label_maps_of_any_origin(tmp_path: Path) -> None:
    write_faces(tmp_path / "set", 2)
    (tmp_path / "set" / "masks").rename(tmp_path / "maps")
    with pytest.raises(DataError, match=r"no parsing labels: expected .*label maps \(--labels\)"):
        find_faces(tmp_path / "set")
    faces, _ = find_faces(tmp_path / "set" / "images", labels=tmp_path / "maps")
    assert [face.id for face in faces] == ["f0", "f1"]
    PILImage.fromarray(np.full((SIDE, SIDE), 10, np.uint8)).save(tmp_path / "maps" / "f1.png")
    assert set(np.unique(read_face(faces[1], numbering="bisenet").labels)) == {2}


def test_a_parser_in_place_of_labels(tmp_path: Path) -> None:
    write_faces(tmp_path, 2)
    faces, _ = find_faces(tmp_path / "images", parsed=True)
    face = read_face(faces[0], parser=lambda p: np.where(p[..., 0] > 99, 13, 1))
    assert np.array_equal(face.labels == 13, face.pixels[..., 0] > 99)
    with pytest.raises(DataError, match="no label map: give one, or a parser"):
        read_face(faces[0])


def test_label_maps_of_another_size(tmp_path: Path) -> None:
    write_faces(tmp_path, 1)
    (face,), _ = find_faces(tmp_path)
    path = tmp_path / "masks" / "f0.png"
    PILImage.fromarray(label_map(32)).save(path)
    assert np.array_equal(read_face(face).labels[::2, ::2], label_map(32))
    PILImage.fromarray(label_map()[:40]).save(path)
    with pytest.raises(DataError, match=r"of 40 x 64 \(height x width\) does not fit a picture of"):
        read_face(face)


def test_files_that_hold_no_labels(tmp_path: Path) -> None:
    write_faces(tmp_path, 1)
    (face,), _ = find_faces(tmp_path)
    path = tmp_path / "masks" / "f0.png"
    PILImage.fromarray(pixels(0)).save(path)
    with pytest.raises(ImageError, match="PNG picture of mode RGB holds no label map: give a pal"):
        read_face(face)
    jpeg = tmp_path / "labels.jpg"
    PILImage.fromarray(label_map()).save(jpeg)
    with pytest.raises(ImageError, match="JPEG picture of mode L holds no label map: give a pal"):
        read_face(Face(id="f0", image=face.image, label_map=jpeg))
    PILImage.fromarray(np.full((SIDE, SIDE), 40, np.uint8)).save(path)
    with pytest.raises(DataError, match="label 40 is none of the 19 parts"):
        read_face(face)


def test_folders_without_faces(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder .*nowhere: give a folder of faces"):
        find_faces(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no pictures: expected images/ and masks/"):
        find_faces(tmp_path)
    write_faces(tmp_path / "set", 2)
    (tmp_path / "other").mkdir()
    with pytest.raises(DataError, match="none of the 2 pictures has a label map of its name"):
        find_faces(tmp_path / "set", labels=tmp_path / "other")
    with pytest.raises(DataError, match="no folder .*maps: give a folder of label maps named as"):
        find_faces(tmp_path / "set", labels=tmp_path / "maps")
