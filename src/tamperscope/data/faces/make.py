"""What a worker does: a few faces in, their real, manipulated and regenerated pictures out."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from tamperscope.data.faces import output
from tamperscope.data.faces.celebamask import Face, read_face
from tamperscope.data.faces.layout import Layout
from tamperscope.data.faces.output import Row
from tamperscope.data.faces.regions import ChosenRegion, choose_region
from tamperscope.data.faces.splits import split_of
from tamperscope.data.generators.base import Generator
from tamperscope.errors import DataError, ImageError
from tamperscope.face_parsing.parser import FaceParser
from tamperscope.face_parsing.parts import Region


@dataclass(frozen=True, kw_only=True)
class Job:
    """Some faces, those of their pictures that are there already, and the sha256 of the picture
    that each face had when these were made, by its id.
    """

    faces: tuple[Face, ...]
    done: frozenset[str]
    sources: Mapping[str, str] = field(default_factory=dict)


@dataclass(kw_only=True)
class Outcome:
    """What became of a job: rows of new pictures; (face, reason) of faces that cannot be read; and
    faces with none of the regions."""

    faces: int
    rows: list[Row] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    without_region: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to make of every face: `BuildConfig` in the form the work needs; picklable.

    variants: pictures with a regenerated region for each face and generator; 0 for none.
    whole: labels of the generators that also regenerate whole pictures.
    """

    folder: Path
    layout: Layout
    collection: str
    size: int
    seed: int
    regions: tuple[Region, ...]
    small: float
    dilation: tuple[int, int]
    least: int
    vary_masks: bool
    numbering: str
    variants: int
    whole: frozenset[str]


@dataclass(frozen=True, eq=False, kw_only=True)
class _Prepared:
    id: str
    pixels: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    source_sha256: str


@dataclass(frozen=True, eq=False, kw_only=True)
class _Task:
    face: _Prepared
    stem: str
    chosen: ChosenRegion


class Maker:
    """Makes the pictures of jobs; one per process, because generators are slow to load."""

    def __init__(
        self, plan: Plan, generators: Mapping[str, Generator], parser: FaceParser | None
    ) -> None:
        self._plan = plan
        self._generators = generators
        self._parser = parser

    def run(self, job: Job) -> Outcome:
        """Make what the job's faces still lack.

        Raises:
            DataError: a picture cannot be written.
        """
        outcome = Outcome(faces=len(job.faces))
        prepared = self._prepare(job, outcome)
        for face in prepared:
            self._real(face, job, outcome)
            if self._plan.variants and self._chosen(face, "", 0) is None:
                outcome.without_region.append(face.id)
        for label, generator in self._generators.items():
            for variant in range(self._plan.variants):
                self._regions(label, generator, variant, prepared, job, outcome)
            if label in self._plan.whole:
                self._wholes(label, generator, prepared, job, outcome)
        return outcome

    def _prepare(self, job: Job, outcome: Outcome) -> list[_Prepared]:
        prepared = []
        for face in job.faces:
            try:
                found = read_face(face, numbering=self._plan.numbering, parser=self._parser)
            except (ImageError, DataError) as error:
                outcome.failed.append((face.id, str(error)))
                continue
            if job.sources.get(face.id, found.sha256) != found.sha256:
                why = "another picture than the set was begun with: build the set in another folder"
                outcome.failed.append((face.id, why))
                continue
            pixels, labels = square(found.pixels, found.labels, self._plan.size)
            prepared.append(
                _Prepared(id=face.id, pixels=pixels, labels=labels, source_sha256=found.sha256)
            )
        return prepared

    def _chosen(self, face: _Prepared, label: str, variant: int) -> ChosenRegion | None:
        plan = self._plan
        key = (plan.seed, face.id, label) if plan.vary_masks else (plan.seed, face.id)
        return choose_region(
            face.labels,
            plan.regions,
            key=key,
            variant=variant,
            small=plan.small,
            dilation=plan.dilation,
            least=plan.least,
        )

    def _real(self, face: _Prepared, job: Job, outcome: Outcome) -> None:
        plan = self._plan
        image = plan.layout.real_path(plan.collection, split_of(face.id), face.id)
        if image not in job.done:
            outcome.rows.append(self._write(face, face.id, image, face.pixels, kind="real"))

    def _regions(
        self,
        label: str,
        generator: Generator,
        variant: int,
        faces: Sequence[_Prepared],
        job: Job,
        outcome: Outcome,
    ) -> None:
        tasks, plan = [], self._plan
        for face in faces:
            stem = variant_stem(face.id, variant)
            image = plan.layout.region_path(plan.collection, label, split_of(face.id), stem)
            chosen = None if image in job.done else self._chosen(face, label, variant)
            if chosen is not None:
                tasks.append(_Task(face=face, stem=stem, chosen=chosen))
        if not tasks:
            return
        images = np.stack([task.face.pixels for task in tasks])
        masks = np.stack([task.chosen.mask for task in tasks])
        made = generator.inpaint(images, masks, seed=plan.seed + variant)
        if not generator.whole_image:
            made = np.where(masks[..., None], made, images)
        for task, pixels in zip(tasks, made, strict=True):
            outcome.rows.append(self._write_fake(label, generator, variant, task, pixels))

    def _write_fake(
        self,
        label: str,
        generator: Generator,
        variant: int,
        task: _Task,
        pixels: NDArray[np.uint8],
    ) -> Row:
        plan, split, chosen = self._plan, split_of(task.face.id), task.chosen
        masked = self._write_mask(label, task)
        image = plan.layout.region_path(plan.collection, label, split, task.stem)
        row = self._write(task.face, task.stem, image, pixels, kind="fake")
        return (row | masked) | {
            "generator": label,
            "family": generator.family,
            "whole_image": generator.whole_image,
            "region": chosen.region.name,
            "parts": chosen.region.parts_in(task.face.labels),
            "dilation": chosen.dilation,
            "variant": variant,
            "fake_fraction": round(float(chosen.mask.mean()), 6),
        }

    def _write_mask(self, label: str, task: _Task) -> Row:
        plan, split = self._plan, split_of(task.face.id)
        mask = plan.layout.mask_path(plan.collection, label, split, task.stem)
        if mask is None:
            return {}
        data = output.png(np.where(task.chosen.mask, 0, 255).astype(np.uint8))
        output.write(plan.folder / mask, data)
        return {"mask": mask, "mask_sha256": hashlib.sha256(data).hexdigest()}

    def _wholes(
        self,
        label: str,
        generator: Generator,
        faces: Sequence[_Prepared],
        job: Job,
        outcome: Outcome,
    ) -> None:
        plan = self._plan
        paths = {
            face.id: plan.layout.whole_path(plan.collection, label, split_of(face.id), face.id)
            for face in faces
        }
        todo = [face for face in faces if paths[face.id] not in job.done]
        if not todo:
            return
        images = np.stack([face.pixels for face in todo])
        made = generator.regenerate(images, seed=plan.seed)
        for face, pixels in zip(todo, made, strict=True):
            row = self._write(face, face.id, paths[face.id], pixels, kind="whole")
            outcome.rows.append(row | {"generator": label, "family": generator.family})

    def _write(
        self, face: _Prepared, stem: str, image: str, pixels: NDArray[np.uint8], *, kind: str
    ) -> Row:
        data = output.png(pixels)
        output.write(self._plan.folder / image, data)
        return {
            "id": stem,
            "face": face.id,
            "split": split_of(face.id),
            "kind": kind,
            "image": image,
            "mask": None,
            "seed": self._plan.seed,
            "sha256": hashlib.sha256(data).hexdigest(),
            "source_sha256": face.source_sha256,
        }


def variant_stem(face_id: str, variant: int) -> str:
    """What the pictures of a face's variant are called: ``ID``, ``ID-v1``, ``ID-v2``, ..."""
    return face_id if variant == 0 else f"{face_id}-v{variant}"


def square(
    pixels: NDArray[np.uint8], labels: NDArray[np.uint8], size: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The central square of a face at ``size`` x ``size``: pixels by Lanczos, labels by nearest."""
    h, w = labels.shape
    side = min(h, w)
    top, left = (h - side) // 2, (w - side) // 2
    window = np.s_[top : top + side, left : left + side]
    if side == size:
        return np.ascontiguousarray(pixels[window]), np.ascontiguousarray(labels[window])
    picture = PILImage.fromarray(np.ascontiguousarray(pixels[window]))
    numbers = PILImage.fromarray(np.ascontiguousarray(labels[window]))
    return (
        np.asarray(picture.resize((size, size), PILImage.Resampling.LANCZOS)),
        np.asarray(numbers.resize((size, size), PILImage.Resampling.NEAREST)),
    )
