"""Sets named by list files of every kind."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data import layouts
from data.test_layouts import assert_right
from tamperscope.data import load
from tamperscope.errors import DataError

ROWS = (("images/b.png", "masks/b.png"), ("images/a.png", "masks/a.png"))
CLEAN = "authentic/c.png"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    layouts.folder(tmp_path)
    return tmp_path


def write(path: Path) -> None:
    """The same set in the way of the ending."""
    pairs = [*ROWS, (CLEAN, "")]
    if path.suffix in (".csv", ".tsv"):
        join = {".csv": ",", ".tsv": "\t"}[path.suffix].join
        rows = [["image", "mask", "kind"], *([*p, "splice"] for p in pairs)]
        path.write_text("".join(f"{join(row)}\n" for row in rows), encoding="utf-8-sig")
    elif path.suffix == ".txt":
        path.write_text("".join(f"{i},{m or 'None'},more\n" for i, m in pairs) + "\n")
    elif path.suffix == ".json":
        path.write_text(json.dumps([[i, m or "Negative"] for i, m in pairs]))
    elif path.suffix == ".jsonl":
        rows_of = [{"image": i, "mask": m or None} for i, m in pairs]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows_of))
    else:
        np.save(path, np.array(pairs))


@pytest.mark.parametrize("ending", ["csv", "tsv", "txt", "json", "jsonl", "npy"])
def test_every_kind_of_list(ending: str, here: Path) -> None:
    path = here / f"set.{ending}"
    write(path)
    samples = load("list", path)
    assert [s.id for s in samples] == ["images/a", "images/b", "authentic/c"]
    for sample in samples:
        assert_right(sample)
    kinds = [s.kind for s in samples]
    assert kinds == (["splice", "splice", None] if ending in ("csv", "tsv") else [None] * 3)


def test_a_table_with_semicolons(here: Path) -> None:
    (here / "set.csv").write_text("image;mask\nimages/b.png;masks/b.png\nauthentic/c.png;\n")
    samples = load("list", here / "set.csv")
    assert [(s.id, s.label) for s in samples] == [
        ("images/b", "forged"),
        ("authentic/c", "authentic"),
    ]
    (here / "one.csv").write_text("image\nimages/b,1.png\n")
    layouts.mask(here / "images/b,1.png", 0)
    assert [s.id for s in load("list", here / "one.csv")] == ["images/b,1"]


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl"])
def test_masks_in_a_column_of_another_name_are_not_passed_over(ending: str, here: Path) -> None:
    path = here / f"set.{ending}"
    rows = [{"image": i, "truth_file": m} for i, m in (*ROWS, (CLEAN, ""))]
    if ending == "csv":
        lines = ["image,truth_file", *(",".join(row.values()) for row in rows)]
        path.write_text("\n".join(lines))
    else:
        lines = [json.dumps(row) for row in rows]
        path.write_text("\n".join(lines) if ending == "jsonl" else f"[{','.join(lines)}]")
    first = 2 if ending == "csv" else 1
    message = f"entry {first} has no mask column, but truth_file: call the masks' column 'mask'"
    with pytest.raises(DataError, match=message):
        load("list", path)
    path.write_text(path.read_text().replace("truth_file", "mask"))
    assert [s.label for s in load("list", path)] == ["forged", "forged", "authentic"]


@pytest.mark.parametrize("columns", [("image",), ("image", "kind")])
def test_a_list_without_masks_is_one_of_authentic_pictures(
    columns: tuple[str, ...], here: Path
) -> None:
    rows = [dict(zip(columns, (image, "photo"), strict=False)) for image, _ in ROWS]
    (here / "set.json").write_text(json.dumps(rows))
    table = [columns, *(tuple(row.values()) for row in rows)]
    (here / "set.csv").write_text("".join(",".join(line) + "\n" for line in table))
    for name in ("set.json", "set.csv"):
        samples = load("list", here / name)
        assert [(s.id, s.label) for s in samples] == [
            ("images/a", "authentic"),
            ("images/b", "authentic"),
        ]


def test_names_relative_to_a_base_and_with_blanks(here: Path, tmp_path: Path) -> None:
    lists = tmp_path / "lists"
    lists.mkdir()
    layouts.mask(here / "masks/dining table.png", 0)
    (lists / "a.txt").write_text("images/b.png,masks/dining table.png\n")
    with pytest.raises(DataError, match=r"2 listed files are missing .*or give the folder the nam"):
        load("list", lists / "a.txt")
    (sample,) = load("list", lists / "a.txt", base=here)
    assert sample.mask_path == here / "masks/dining table.png"
    (lists / "b.txt").write_text("images\\b.png masks\\b.png\n" * 2)
    (sample,) = load("list", lists / "b.txt", base=str(here))
    assert_right(sample)


def test_the_json_of_imdlbenco(tmp_path: Path) -> None:
    layouts.benco_json(tmp_path)
    assert [s.label for s in load("imdlbenco", tmp_path / "set.json")] == ["forged", "authentic"]
    layouts.imdlbenco(tmp_path)
    layouts.picture(tmp_path / "Au/z.jpg", 2)
    assert [s.id for s in load("imdlbenco", tmp_path)] == ["Tp/a", "Tp/b", "Au/z"]


class Bomb:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("exploded"),))


def test_pickled_arrays_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("objects.npy", np.array([Bomb()], object), allow_pickle=True)
    Path("plain.npy").write_bytes(pickle.dumps([Bomb()]))
    for name in ("objects.npy", "plain.npy"):
        with pytest.raises(DataError, match="is not opened, that can run code: save it again with"):
            load("list", name)
    assert not Path("exploded").exists()
    np.save("numbers.npy", np.zeros((3, 2)))
    with pytest.raises(DataError, match=r"holds float64 \(3, 2\), expected strings \(n, 2\)"):
        load("list", "numbers.npy")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", "not JSON"),
        ("a.json", "{}", "expected a list of"),
        ("a.json", "[3]", "entry 1 is no .picture, mask. and no object"),
        ("a.csv", "file,mask\nx,y\n", "entry 2 names no picture: call its column 'image'"),
        ("a.txt", ",masks/b.png\n", "line 1 names no picture: write 'picture,mask'"),
        ("a.xml", "", "give a list file ending in .csv, .tsv"),
    ],
)
def test_damaged_lists(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        load("list", tmp_path / name)
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(DataError, match="cannot be read .*: give a list in UTF-8"):
        load("list", tmp_path / "b.txt")
