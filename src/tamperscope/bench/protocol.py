"""Named ways of evaluating. A number is only comparable with another of the same protocol."""

from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from tamperscope.errors import ConfigError, unknown


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How localizations are turned into numbers; printed with every record.

    The sentences say what the runner does; the fields below them are its settings.

    max_aspect_change: largest relative difference in height / width between a prediction and its
        ground truth that is still resized; more is taken for a wrong pair.
    recompression_quality: JPEG quality (1-100) of the copies for the second image-level AUC.
    bootstrap_samples, confidence, seed: percentile bootstrap over pictures.

    Raises ConfigError for values out of range.
    """

    name: str
    resolution: str = "the ground truth's own size, normally that of the picture"
    decision: str = "the mask the method ships; no threshold is chosen per picture or per set"
    averaging: str = "mean over tampered pictures of the per-picture number; forged is positive"
    empty_rule: str = (
        "an empty mask on a tampered picture has F1 0, IoU 0 and MCC 0; "
        "authentic pictures enter no pixel average"
    )
    auc_rule: str = (
        "area under the ROC curve of the score map within one picture, ties count one half; "
        "undefined, and left out, where the ground truth covers the whole picture"
    )
    size_rule: str = (
        "a prediction of another size than the ground truth is resized to it (map bilinear, mask "
        "nearest) and counted; an error beyond max_aspect_change"
    )
    failure_rule: str = (
        "a picture the method refuses counts as an empty mask with a constant map and image score "
        "0, and is listed"
    )
    image_level: str = (
        "AUC of the image score, tampered against authentic; once on the files and once with "
        "every picture recompressed alike, because files of the two classes differ in compression"
    )
    max_aspect_change: float = 0.05
    recompression_quality: int = 90
    bootstrap_samples: int = 2000
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_aspect_change < 0:
            raise ConfigError(f"max_aspect_change is {self.max_aspect_change}: give 0 or more")
        if not 1 <= self.recompression_quality <= 100:
            raise ConfigError(
                f"recompression_quality is {self.recompression_quality}: give 1 to 100"
            )
        if self.bootstrap_samples < 1:
            raise ConfigError(f"bootstrap_samples is {self.bootstrap_samples}: give 1 or more")
        if not 0 < self.confidence < 1:
            raise ConfigError(f"confidence is {self.confidence}: give a share between 0 and 1")

    def to_dict(self) -> dict[str, Any]:
        """Every field, for a record."""
        return asdict(self)


OURS = Protocol(name="ours")
DOLOS = Protocol(
    name="dolos",
    resolution=(
        "iou_lg and pbca_lg: the map at the ground truth's size, from the network's own grid by "
        "Pillow's bicubic; iou_sm and pbca_sm: the ground truth at that grid, nearest pixel"
    ),
    decision="forged is what is strictly above .5, whatever mask the method ships",
    averaging="mean over partly regenerated pictures of the per-picture number",
    empty_rule=(
        "IoU is 1 where neither map nor ground truth is forged; a mask pixel is forged unless its "
        "red channel is 255; real pictures enter no localization number"
    ),
    auc_rule="no pixel AUC",
    size_rule="a ground truth of another shape than its picture is an error beyond the limit",
    failure_rule=(
        "a picture the method refuses counts as an empty mask with the lowest image score of its "
        "kind, and is listed"
    ),
    image_level=(
        "average precision of the image score on as many fake as real pictures, 5 redraws "
        "(Python's random, seed 1337), mean and standard deviation; once on the files and once "
        "with real and fake pictures recompressed alike"
    ),
)
PROTOCOLS: MappingProxyType[str, Protocol] = MappingProxyType({p.name: p for p in (OURS, DOLOS)})


def protocol(name: str) -> Protocol:
    """The protocol of that name; UnknownNameError otherwise."""
    if name not in PROTOCOLS:
        raise unknown("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]
