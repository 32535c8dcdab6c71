"""Numbers from arrays: prediction first, ground truth second, forged is positive.

``pixel`` scores one picture, ``image_level`` a set of picture scores, ``aggregate`` averages over
pictures. The pixel metrics are exported here; ``image_level`` has some of the same names.
"""

from tamperscope.metrics.pixel import (
    Confusion,
    auc,
    average_precision,
    confusion,
    f1,
    focal_f1,
    focal_iou,
    iou,
    mcc,
    oracle_f1,
    oracle_iou,
    precision,
    recall,
)

__all__ = [
    "Confusion",
    "auc",
    "average_precision",
    "confusion",
    "f1",
    "focal_f1",
    "focal_iou",
    "iou",
    "mcc",
    "oracle_f1",
    "oracle_iou",
    "precision",
    "recall",
]
