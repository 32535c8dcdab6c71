"""Manifests: a set written down as one JSON file with the sha256 of every file."""

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tamperscope.data.masks import MaskCoding
from tamperscope.data.paths import below, is_there
from tamperscope.data.sample import Dataset, Sample
from tamperscope.errors import DataError

FORMAT = "tamperscope-manifest"
VERSION = 1
DEFAULT_NAME = "manifest.json"


def hash_file(path: Path) -> str:
    """sha256 of a file's bytes, in hex. Raises DataError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}): check the file") from error


def fingerprint(dataset: Dataset) -> str:
    """One sha256 for a set: over the sorted hex hashes of its files, one a line.

    Independent of names and folders, so the same files give the same value on any machine.
    """
    return set_digest(hash_file(path) for sample in dataset.samples for path in files_of(sample))


def set_digest(hashes: Iterable[str]) -> str:
    """The `fingerprint` of a set whose files have these hashes, in any order."""
    return hashlib.sha256("".join(f"{h}\n" for h in sorted(hashes)).encode("ascii")).hexdigest()


def write_manifest(dataset: Dataset, path: Path) -> None:
    """Write `dataset` to `path` as JSON, file names relative to the folder of `path`.

    Raises DataError when a file of the set lies outside that folder.
    """
    base = path.parent.resolve()
    samples = [_to_entry(sample, base) for sample in dataset.samples]
    document = {
        "format": FORMAT,
        "version": VERSION,
        "name": dataset.name,
        "notes": dataset.notes,
        "samples": samples,
    }
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def read_manifest(path: Path, *, check_hashes: bool = False) -> Dataset:
    """The set of a manifest, or of the `manifest.json` in a folder.

    check_hashes: also read every file and compare its sha256 with the manifest.

    Raises DataError for a file that is no manifest, names missing files, or (checked) other bytes.
    """
    if path.is_dir():
        path = path / DEFAULT_NAME
    document = _load(path)
    base = path.parent
    try:
        common = document.get("polarity", "forged-white")
        samples = tuple(_from_entry(entry, path, common) for entry in document["samples"])
        name = document["name"]
        _need_files(path, samples)
        if check_hashes:
            _compare_hashes(path, document["samples"], base)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: incomplete manifest ({error}): write it again") from error
    notes = document.get("notes", {})
    return Dataset(name=name, root=base, samples=samples, notes=notes)


def files_of(sample: Sample) -> list[Path]:
    """Every file of a sample: its picture, then its masks."""
    paths = (sample.image_path, sample.mask_path, sample.object_mask_path)
    return [path for path in paths if path is not None] + list(sample.further_masks)


def _to_entry(sample: Sample, base: Path) -> dict[str, Any]:
    def entry(path: Path | None) -> dict[str, str] | None:
        if path is None:
            return None
        whole = path.resolve()
        if not whole.is_relative_to(base):
            raise DataError(f"{path} is outside {base}: write the manifest above all its files")
        return {"path": whole.relative_to(base).as_posix(), "sha256": hash_file(path)}

    return {
        "id": sample.id,
        "label": sample.label,
        "kind": sample.kind,
        "polarity": sample.polarity,
        "image": entry(sample.image_path),
        "mask": entry(sample.mask_path),
        "object_mask": entry(sample.object_mask_path),
    } | _rare(sample, entry)


def _rare(sample: Sample, entry: Callable[[Path | None], dict[str, str] | None]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if sample.unmasked:
        found["unmasked"] = sample.unmasked
    if sample.source is not None:
        found["source"] = sample.source
    if sample.further_masks:
        found["further_masks"] = [entry(path) for path in sample.further_masks]
    return found


def _from_entry(entry: dict[str, Any], manifest: Path, polarity: MaskCoding) -> Sample:
    def place(part: dict[str, str]) -> Path:
        return below(manifest.parent, part["path"], where=manifest)

    def path(part: str) -> Path | None:
        return None if entry.get(part) is None else place(entry[part])

    if entry["label"] not in ("forged", "authentic"):
        raise DataError(
            f"sample {entry['id']!r} has label {entry['label']!r}: use 'forged' or 'authentic'"
        )
    return Sample(
        id=entry["id"],
        image_path=place(entry["image"]),
        mask_path=path("mask"),
        label=entry["label"],
        kind=entry.get("kind"),
        object_mask_path=path("object_mask"),
        unmasked=entry.get("unmasked"),
        polarity=entry.get("polarity", polarity),
        further_masks=tuple(place(part) for part in entry.get("further_masks", ())),
        source=entry.get("source"),
    )


def _load(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}): give a manifest or its folder"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON: write the manifest again") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise DataError(f"{path}: not a {FORMAT} file: write it with write_manifest")
    if document.get("version") != VERSION:
        raise DataError(
            f"{path}: manifest version {document.get('version')}, this release reads {VERSION}: "
            "write it again"
        )
    return document


def _need_files(path: Path, samples: tuple[Sample, ...]) -> None:
    missing = [file for sample in samples for file in files_of(sample) if not is_there(file)]
    if missing:
        raise DataError(
            f"{path}: {len(missing)} listed files are missing (first: {missing[0]}): "
            "restore them or write the manifest again"
        )


def _compare_hashes(path: Path, entries: list[dict[str, Any]], base: Path) -> None:
    parts = [e[k] for e in entries for k in ("image", "mask", "object_mask") if e.get(k)]
    parts += [part for e in entries for part in e.get("further_masks", ())]
    changed = [p["path"] for p in parts if hash_file(base / p["path"]) != p["sha256"]]
    if changed:
        raise DataError(
            f"{path}: {len(changed)} files differ from their sha256 (first: {changed[0]}): "
            "restore them or write the manifest again"
        )
