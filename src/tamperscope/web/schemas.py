"""The answers of the API, as its OpenAPI document describes them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

Share = Annotated[float, Field(ge=0, le=1)]
MapKindName = Annotated[str, Field(description="probability, saliency, cluster similarity, ...")]


class ErrorBody(BaseModel):
    """What went wrong."""

    code: str = Field(description="Stable: for programs.")
    message: str = Field(description="One line with the remedy: for people.")


class Error(BaseModel):
    """Every error of the service."""

    error: ErrorBody


class Size(BaseModel):
    """In pixels, in displayed orientation."""

    height: int
    width: int


class PngMask(BaseModel):
    """8-bit grey PNG of the picture's size: 255 = forged, 0 = pristine."""

    format: Literal["png"]
    base64: str


class RleMask(BaseModel):
    """COCO's uncompressed run-length code: column by column, pristine pixels first."""

    format: Literal["rle"]
    size: Annotated[list[int], Field(min_length=2, max_length=2, description="[height, width]")]
    counts: list[int]


class Explanation(BaseModel):
    """What the numbers mean and do not mean, in plain words."""

    score: str
    map: str
    limits: str
    share: str = Field(description="forged_fraction for people.")
    caution: str | None = Field(description="Why this answer may mean little; null if nothing.")


class FacePart(BaseModel):
    """A part of a face and the mean score in it."""

    name: str
    value: float


class CopiedPair(BaseModel):
    """A region that stands in the picture twice."""

    boxes: Annotated[list[tuple[float, float, float, float]], Field(min_length=2, max_length=2)] = (
        Field(description="[left, top, right, bottom] of either place, in the picture's pixels.")
    )


class Localized(BaseModel):
    """What a method says about one picture."""

    name: str = Field(description="What the sender called the picture.")
    method: str
    title: str
    map_kind: MapKindName
    map_top: Share = Field(description="The score that level 255 of `map` stands for.")
    image_score: Share
    threshold: Share = Field(description="Level of the map at the mask's boundary.")
    flagged: bool
    forged_fraction: Share
    size: Size
    orientation: int = Field(
        ge=1, le=8, description="The EXIF orientation that was undone; 1: it was stored upright."
    )
    verdict: str
    explanation: Explanation
    parts: list[FacePart] | None = Field(description="For faces, where the method names parts.")
    copied: list[CopiedPair] = Field(description="Places that are alike, where a method looks.")
    mask: Annotated[PngMask | RleMask, Field(discriminator="format")] | None
    map: str | None = Field(
        description="Base64 of an 8-bit grey PNG: level / 255 times `map_top` is the score."
    )
    overlay: str | None = Field(description="Base64 of a PNG: heat map and outline on the picture.")
    picture: str | None = Field(description="Base64 of a PNG: the pixels that were examined.")
    report: str | None = Field(description="A self-contained HTML page.")
    record: dict[str, Any] = Field(description="What ran: settings, weights, digests, seconds.")


class Method(BaseModel):
    """A method and whether this service can run it."""

    name: str
    title: str
    paper: str
    map_kind: MapKindName
    map_explanation: str
    summary: str
    limits: str
    faces: bool = Field(description="Whether it is for one face that fills the picture.")
    available: bool
    reason: str | None = Field(description="Why it is not available.")


class Limits(BaseModel):
    """What the service takes."""

    max_bytes: int
    max_pixels: int
    queue_size: int
    workers: int
    time_limit: float


class Methods(BaseModel):
    """What can be asked for."""

    version: str
    default: str | None = Field(description="Runs when no method is named; null while loading.")
    methods: list[Method]
    limits: Limits


class Health(BaseModel):
    """A word for machines that watch."""

    status: Literal["ok", "starting", "stopping"]


class JsonUpload(BaseModel):
    """A picture as JSON."""

    image: str = Field(description="The file, base64.", json_schema_extra={"format": "byte"})
    name: str = Field(default="", description="What to call it in the answer.")
