"""Where a result's files go: names that never collide, whole files or none, and what is done."""

import hashlib
import json
import os
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tamperscope.cli._inputs import below, common_parent
from tamperscope.errors import DataError
from tamperscope.report.plain import printable

if TYPE_CHECKING:
    from tamperscope.image import Image
    from tamperscope.localizer import MethodCard
    from tamperscope.result import Localization

KINDS = {
    "mask": ".mask.png",
    "heatmap": ".heatmap.png",
    "overlay": ".overlay.png",
    "fakeness": ".fakeness.png",
    "scores": ".npz",
    "report": ".html",
}
"""Output -> what follows the stem; not every result has all. The record, ``<stem>.json``, is
written last."""

RESULT_FORMAT = "tamperscope localization"
"""What a record calls itself: `Localization.to_record`, named here to start without numpy."""

GENERATOR = b'<meta name="generator" content="tamperscope">'
"""By this line of their head the pages of `tamperscope.report` are known as ours."""

_LONGEST = 100
_RESERVED = {"index"}
# Windows takes these for devices, whatever follows their first dot.
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)", re.IGNORECASE)


class Names:
    """Gives every picture a stem of its own inside one output folder.

    A stem is the picture's own; if another picture has it (in this run, or in a record of an
    earlier one) the path relative to the common folder, with ``__`` for separators; and if that is
    taken too, the same with a short hash of the full path. Files that tamperscope did not write,
    and pictures still to be examined, take a stem as well: they are never overwritten. Case does
    not tell two stems apart, because on some file systems it does not tell two files apart.
    """

    def __init__(self, folder: Path, pictures: Sequence[Path]) -> None:
        self._folder = folder
        self._root = common_parent(pictures)
        self._owners: dict[str, Path] = {}
        where, full = folder.resolve(), [picture.resolve() for picture in pictures]
        self._inputs = {path.name.casefold() for path in full if path.parent == where}
        self._stems = {picture: self._claim(picture) for picture in pictures}

    def __getitem__(self, picture: Path) -> str:
        return self._stems[picture]

    def shown(self, picture: Path) -> str:
        """What people know the picture by: its path below the common folder, safe to print."""
        return printable(below(picture, self._root).as_posix())

    def _claim(self, picture: Path) -> str:
        full = picture.resolve()
        for stem in self._candidates(full):
            key = stem.casefold()
            taken = key in _RESERVED or self._owner(stem) not in (None, full)
            if not taken and not self._would_destroy(stem):
                self._owners[key] = full
                return stem
        raise AssertionError("a sha256 of the path cannot be taken by another path")

    def _candidates(self, full: Path) -> list[str]:
        relative = _safe("__".join(below(full, self._root).parts))
        digest = hashlib.sha256(os.fsencode(full)).hexdigest()
        stem = _safe(full.stem)
        return [stem, relative, f"{relative}-{digest[:8]}", f"{relative}-{digest}"]

    def _would_destroy(self, stem: str) -> bool:
        """Whether our files of this stem would replace somebody else's."""
        files = [f"{stem}.json", *(stem + ending for ending in KINDS.values())]
        if not self._inputs.isdisjoint(name.casefold() for name in files):
            return True
        exists = any(os.path.lexists(self._folder / name) for name in files)
        return exists and not _ours(self._folder, stem)

    def _owner(self, stem: str) -> Path | None:
        if (mine := self._owners.get(stem.casefold())) is not None:
            return mine
        record = read_record(self._folder / f"{stem}.json")
        return Path(record["source"]) if record else None


def _safe(name: str) -> str:
    """A file name every common file system takes, short enough to carry our endings."""
    clean = re.sub(r'[\\/:*?"<>|%]', "_", printable(name)).strip(" .") or "picture"
    if _DEVICES.match(clean):
        clean = f"_{clean}"
    if clean == name and len(os.fsencode(clean)) <= _LONGEST:
        return clean
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
    short = os.fsencode(clean)[:_LONGEST].decode(errors="ignore")
    return f"{short}-{digest}"


def _ours(folder: Path, stem: str) -> bool:
    """Whether tamperscope wrote the result of this stem: its JSON or its scores say so."""
    try:
        if json.loads((folder / f"{stem}.json").read_bytes())["format"] == RESULT_FORMAT:
            return True
    except (OSError, ValueError, TypeError, KeyError):
        pass
    try:
        with zipfile.ZipFile(folder / (stem + KINDS["scores"])) as scores:
            return {"score_map.npy", "mask.npy", "record.npy"} <= set(scores.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def read_record(path: Path) -> dict[str, Any] | None:
    """A record this command line wrote, or None where there is none that can be read."""
    try:
        record = json.loads(path.read_bytes())
        ours = isinstance(record["outputs"], dict) and all(
            isinstance(value, str)
            for value in (
                record["run_digest"],
                record["source"],
                record["provenance"]["input_sha256"],
                *record["outputs"].values(),
            )
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return record if ours else None


def finished(folder: Path, run_digest: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Input sha256 -> stem -> record, for what was done with these settings and is still there."""
    done: dict[str, dict[str, dict[str, Any]]] = {}
    for path in sorted(folder.glob("*.json")):
        record = read_record(path)
        if record and record["run_digest"] == run_digest and _complete(folder, record):
            done.setdefault(record["provenance"]["input_sha256"], {})[path.stem] = record
    return done


def _complete(folder: Path, record: dict[str, Any]) -> bool:
    return all((folder / name).is_file() for name in record["outputs"].values())


def write_outputs(
    folder: Path,
    stem: str,
    image: "Image",
    result: "Localization",
    card: "MethodCard",
    *,
    source: Path,
    run_digest: str,
    report: bool,
) -> dict[str, Any]:
    """Write every file of one result, the record last: a record promises that all is there."""
    from tamperscope.report import overlay as draw
    from tamperscope.report.shown import grey_levels, shown_map
    from tamperscope.result import MapKind, write_atomic

    _withdraw(folder, stem)
    result.save(folder, stem)
    result.save_mask(folder / (stem + KINDS["mask"]))
    shown = shown_map(result)
    pairs = draw.pairs_of(result, image.pixels.shape)
    drawn = {
        "heatmap": draw.heatmap(shown),
        "overlay": draw.overlay(image.pixels, shown, result.mask, pairs),
    }
    if result.map_kind is MapKind.FAKENESS:
        drawn["fakeness"] = grey_levels(result)
    for kind, picture in drawn.items():
        write_atomic(folder / (stem + KINDS[kind]), draw.encode_png(picture))
    outputs = {kind: stem + KINDS[kind] for kind in ("mask", *drawn, "scores")}
    record = make_record(result, source=source, run_digest=run_digest, outputs=outputs)
    if report:
        write_report(folder, stem, image, result, card, record)
    write_record(folder, stem, record)
    return record


def _withdraw(folder: Path, stem: str) -> None:
    """Take back the promise of an older record, and what would go stale beside it."""
    older = read_record(folder / f"{stem}.json")
    (folder / f"{stem}.json").unlink(missing_ok=True)
    for kind in ("report", "fakeness"):
        if older and kind in older["outputs"]:
            (folder / (stem + KINDS[kind])).unlink(missing_ok=True)


def make_record(
    result: "Localization", *, source: Path, run_digest: str, outputs: dict[str, str]
) -> dict[str, Any]:
    """The result's own record and what the command line adds to it."""
    from tamperscope.report.wording import verdict

    return {
        # The path as bytes may not be UTF-8; this form always survives JSON.
        "source": os.fsdecode(source.resolve()),
        "verdict": verdict(result),
        "outputs": outputs,
        "run_digest": run_digest,
        **result.to_record(),
    }


def check_index(folder: Path) -> None:
    """Refuse to replace an ``index.html`` that tamperscope did not write.

    Raises:
        DataError: there is one.
    """
    path = folder / "index.html"
    try:
        head = path.read_bytes()[:4096]
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError:
        head = b""
    if GENERATOR not in head:
        raise DataError(
            f"{path} was not written by tamperscope and would be replaced: "
            "choose another folder with --output"
        )


def write_report(
    folder: Path,
    stem: str,
    image: "Image",
    result: "Localization",
    card: "MethodCard",
    record: dict[str, Any],
) -> None:
    """Write the page of one result and note it in the record (which is not written here)."""
    from tamperscope.report.html import report_page
    from tamperscope.result import write_atomic

    page = report_page(image.pixels, result, card, name=image.id)
    write_atomic(folder / (stem + KINDS["report"]), page.encode())
    record["outputs"] = {**record["outputs"], "report": stem + KINDS["report"]}


def write_record(folder: Path, stem: str, record: dict[str, Any]) -> None:
    """Write ``<stem>.json``."""
    from tamperscope.result import write_atomic

    text = json.dumps(record, indent=2, ensure_ascii=True, allow_nan=False)
    write_atomic(folder / f"{stem}.json", (text + "\n").encode())
