"""Sets written down as lists of picture and mask files: CSV, JSON, text, NumPy, manifests."""

import csv
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamperscope.data.datasets._files import Orphan, Orphans, by_stem, forged_pairs
from tamperscope.data.datasets.cards import DatasetCard
from tamperscope.data.manifest import DEFAULT_NAME, read_manifest
from tamperscope.data.masks import MaskCoding
from tamperscope.data.paths import below, is_there
from tamperscope.data.sample import Dataset, Sample
from tamperscope.errors import DataError

AUTHENTIC_WORDS = frozenset({"", "none", "negative", "null", "authentic"})
"""What stands in place of a mask for an authentic picture, whatever its case."""

_IMAGE_COLUMNS = ("image", "image_path", "img", "path", "filename")
_MASK_COLUMNS = ("mask", "mask_path", "gt", "groundtruth", "ground_truth")
_SUFFIXES = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".npy")

Row = tuple[str, str | None, str | None]
"""Picture, mask (None: authentic), kind."""


def read_list(
    root: Path,
    *,
    base: str | Path | None = None,
    polarity: MaskCoding = "forged-white",
    orphans: Orphans | None = None,
) -> Dataset:
    """The pictures a list file names.

    ``.csv`` and ``.tsv`` have a heading with a column image and optionally mask and kind; ``.txt``
    has ``image,mask`` or ``image mask`` lines, further columns are not read; ``.json`` holds
    ``[[image, mask], ...]`` or ``[{"image": ..., "mask": ...}, ...]``, ``.jsonl`` one such object a
    line; ``.npy`` an array (n, 2) of strings. An empty mask, ``None`` or ``Negative`` says that the
    picture is authentic.

    base: folder of the names, which must lie below it; the list's own by default.

    Raises DataError for another kind of file, a damaged list, or files that are not there.
    """
    if root.suffix.lower() not in _SUFFIXES or not root.is_file():
        raise DataError(f"{root}: give a list file ending in {', '.join(_SUFFIXES)}")
    folder = root.parent if base is None else Path(base)
    samples = samples_of(rows_of(root), folder, polarity=polarity, where=root, orphans=orphans)
    return Dataset(name="list", root=root, samples=tuple(samples))


def read_imdlbenco(
    root: Path,
    *,
    base: str | Path | None = None,
    polarity: MaskCoding = "forged-white",
    orphans: Orphans | None = None,
) -> Dataset:
    """A JSON list of IMDLBenCo (`[[image, mask or "Negative"], ...]`), or a folder Tp/ with Gt/.

    The folder's files are paired by stem (masks may end in _gt or _mask), where IMDLBenCo pairs by
    position; `Au/` is read as authentic when it is there.

    base: folder of relative names in the JSON; the JSON's own by default.

    Raises DataError for a damaged list, or files that are not there or do not pair up.
    """
    if root.is_file():
        whole = read_list(root, base=base, polarity=polarity, orphans=orphans)
        return Dataset(name="imdlbenco", root=root, samples=whole.samples)
    images, masks = root / "Tp", root / "Gt"
    if not (images.is_dir() and masks.is_dir()):
        raise DataError(f"{root}: expected {_BENCO_LAYOUTS[1]}, or the JSON file itself")
    forged = forged_pairs(
        by_stem(images),
        by_stem(masks, strip=("_gt", "_mask")),
        where=(images, masks),
        orphans=orphans,
        prefix="Tp/",
        polarity=polarity,
    )
    clean = by_stem(root / "Au") if (root / "Au").is_dir() else {}
    untouched = [
        Sample(id=f"Au/{stem}", image_path=path, mask_path=None, label="authentic")
        for stem, path in sorted(clean.items())
    ]
    return Dataset(name="imdlbenco", root=root, samples=(*forged, *untouched))


def read_manifest_set(root: Path, *, orphans: Orphans | None = None) -> Dataset:
    """The set of a manifest written by tamperscope, or of the `manifest.json` in a folder.

    Raises DataError for a file that is no manifest, or that lists files which are not there.
    """
    return read_manifest(root)


def samples_of(
    rows: Iterable[Row],
    folder: Path,
    *,
    polarity: MaskCoding = "forged-white",
    where: Path,
    orphans: Orphans | None = None,
) -> list[Sample]:
    """Samples of listed files below `folder`; the id of one is its path as listed, less ending.

    where: the list, for messages. A row that comes twice counts once. Files that are not there
        raise DataError, or become orphans.
    """
    samples: list[Sample] = []
    lost: list[Orphan] = []
    for image, mask, kind in dict.fromkeys(rows):
        names = [_native(name) for name in (image, mask) if name is not None]
        paths = [below(folder, name, where=where) for name in names]
        gone = [path for path in paths if not is_there(path)]
        lost += [Orphan(name=str(path), lacks="listed files", where=str(where)) for path in gone]
        if not gone:
            samples.append(_sample(image, paths, kind, polarity))
    if lost and orphans is None:
        raise DataError(
            f"{where}: {len(lost)} listed files are missing (first: {lost[0].name}): "
            "restore them, or give the folder the names are relative to (base)"
        )
    if orphans is not None:
        orphans += lost
    return samples


def _sample(image: str, paths: list[Path], kind: str | None, polarity: MaskCoding) -> Sample:
    forged = len(paths) == 2
    return Sample(
        id=Path(_native(image)).with_suffix("").as_posix().lstrip("./"),
        image_path=paths[0],
        mask_path=paths[1] if forged else None,
        label="forged" if forged else "authentic",
        kind=kind if forged else None,
        polarity=polarity if forged else "forged-white",
    )


def _native(name: str) -> str:
    # Lists made on Windows travel.
    return name.replace("\\", "/") if os.sep == "/" else name


# --- the kinds of lists ----------------------------------------------------------------------


def rows_of(path: Path) -> list[Row]:
    """What a list file names, in its order. Raises DataError for a damaged list."""
    suffix = path.suffix.lower()
    try:
        if suffix == ".npy":
            return list(_from_array(path))
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}): give a list in UTF-8") from error
    if suffix == ".json":
        return list(_from_json(path, _parsed(path, text)))
    if suffix == ".jsonl":
        rows = [_parsed(path, line) for line in text.splitlines() if line.strip()]
        return list(_from_json(path, rows))
    if suffix == ".txt":
        return [_from_line(path, n, line) for n, line in enumerate(text.splitlines(), 1) if line]
    return list(_from_table(path, text, "\t" if suffix == ".tsv" else ","))


def _parsed(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({error}): write the list again") from error


def _from_array(path: Path) -> Iterator[Row]:
    try:
        array = _array(path)
        pairs = _texts(array) if array.dtype.kind == "U" else []
    except Exception as error:  # a header is read as Python, and fails in as many ways
        raise DataError(
            f"{path}: no plain array of strings; a list of Python objects is not opened, that can "
            "run code: save it again with np.save(path, np.array(pairs, dtype=str))"
        ) from error
    if array.dtype.kind != "U" or array.ndim != 2 or array.shape[1] != 2:
        raise DataError(
            f"{path}: holds {array.dtype} {array.shape}, expected strings (n, 2): picture and mask"
        )
    for image, mask in pairs:
        yield image, _mask(mask), None


def _texts(array: NDArray[Any]) -> list[Any]:
    # Numbers that are no characters would become strings that break whoever touches them.
    native = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("=")))
    if array.size and native.view(np.uint32).max() > 0x10FFFF:
        raise ValueError("it holds characters that there are not")
    return list(native.tolist())


def _array(path: Path) -> NDArray[Any]:
    """What a .npy file holds, strings of bytes decoded."""
    # Mapped, because a header may claim any size.
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
    array = np.load(path, allow_pickle=False, mmap_mode="r")
    return np.char.decode(array, "utf-8") if array.dtype.kind == "S" else np.array(array)


def _from_json(path: Path, rows: Any) -> Iterator[Row]:
    if not isinstance(rows, list):
        raise DataError(f"{path}: expected a list of [picture, mask] or objects, wrap them in []")
    for number, row in enumerate(rows, 1):
        if isinstance(row, dict):
            yield _from_mapping(path, number, row)
        elif isinstance(row, list) and len(row) >= 2 and isinstance(row[0], str):
            yield row[0], _mask(row[1]), None
        else:
            raise DataError(f"{path}: entry {number} is no [picture, mask] and no object: fix it")


def _from_mapping(path: Path, number: int, row: dict[str, Any]) -> Row:
    low = {str(key).lower(): value for key, value in row.items()}
    image = next((low[k] for k in _IMAGE_COLUMNS if low.get(k)), None)
    if not isinstance(image, str):
        raise DataError(
            f"{path}: entry {number} names no picture: call its column {_IMAGE_COLUMNS[0]!r}"
        )
    named = next((k for k in _MASK_COLUMNS if k in low), None)
    unknown = sorted(set(low) - {*_IMAGE_COLUMNS, "kind", "none"})
    if named is None and unknown:
        # Taken for a list without masks, every forged picture in it would be an authentic one.
        raise DataError(
            f"{path}: entry {number} has no mask column, but {', '.join(unknown)}: call the masks' "
            f"column {_MASK_COLUMNS[0]!r}, empty for authentic pictures"
        )
    mask = None if named is None else low[named]
    return image, _mask(mask), low.get("kind") or None


def _from_table(path: Path, text: str, separator: str) -> Iterator[Row]:
    lines = text.splitlines()
    if separator == "," and lines and "," not in lines[0]:
        # Spreadsheets of countries with a decimal comma write semicolons.
        separator = ";"
    rows = csv.DictReader(lines, delimiter=separator)
    try:
        for number, row in enumerate(rows, 2):
            yield _from_mapping(path, number, {k: v for k, v in row.items() if k is not None})
    except csv.Error as error:
        raise DataError(f"{path}: no table ({error}): write the list again") from error


def _from_line(path: Path, number: int, line: str) -> Row:
    # Names hold blanks (CocoGlide), so a comma wins where there is one.
    parts = [part.strip() for part in (line.split(",") if "," in line else line.split())]
    if not parts or not parts[0]:
        raise DataError(f"{path}: line {number} names no picture: write 'picture,mask'")
    return parts[0], _mask(parts[1] if len(parts) > 1 else None), None


def _mask(value: Any) -> str | None:
    if value is None or str(value).strip().lower() in AUTHENTIC_WORDS:
        return None
    return str(value).strip()


_BENCO_LAYOUTS = (
    'a JSON file [[image, mask or "Negative"], ...]',
    "Tp/ (tampered) and Gt/ (masks of the same stems), optional Au/",
)

CARD = DatasetCard(
    name="list",
    title="A list of one's own",
    summary="pictures and masks named by a CSV, TSV, text, JSON, JSON-lines or NumPy list, such "
    "as those of CAT-Net, TruFor, MVSS-Net or FOCAL",
    paper="",
    terms="yours",
    source="",
    counts=(),
    polarity="forged-white",
    layouts=(
        "NAME.csv or NAME.tsv with the columns image, mask and optional kind",
        "NAME.txt with 'image,mask' or 'image mask' lines (CAT-Net, TruFor, MVSS-Net)",
        "NAME.json or NAME.jsonl with [image, mask] or {image, mask, kind}",
        "NAME.npy with strings (n, 2) (FOCAL)",
    ),
    read=read_list,
    traps=("names are relative to the list's folder unless base says otherwise",),
    options=(
        ("base", "folder the names are relative to"),
        ("polarity", "how the masks mark what is forged"),
    ),
)
BENCO_CARD = DatasetCard(
    name="imdlbenco",
    title="A set prepared for IMDLBenCo",
    summary="a JSON list, or Tp/ and Gt/ folders, as IMDLBenCo and ForensicHub read them",
    paper="Ma et al., IMDL-BenCo: A Comprehensive Benchmark and Codebase for Image Manipulation "
    "Detection and Localization, NeurIPS 2024",
    terms="those of the set inside",
    source="",
    counts=(),
    polarity="forged-white",
    layouts=_BENCO_LAYOUTS,
    read=read_imdlbenco,
    traps=("IMDLBenCo pairs Tp/ with Gt/ by sorted position; pairs made by name may differ",),
    options=(
        ("base", "folder the names in the JSON are relative to"),
        ("polarity", "how the masks mark what is forged"),
    ),
)
MANIFEST_CARD = DatasetCard(
    name="manifest",
    title="A manifest written by tamperscope",
    summary="any set with the sha256 of every file",
    paper="",
    terms="those of the set inside",
    source="",
    counts=(),
    polarity=None,
    layouts=(f"a manifest file, or a folder with {DEFAULT_NAME}",),
    read=read_manifest_set,
)
