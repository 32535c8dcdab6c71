"""Sets of pictures on disk, and forgeries made from ordinary photographs."""

from tamperscope.data.datasets import DATASETS, DatasetCard, load, read_dataset
from tamperscope.data.manifest import fingerprint, read_manifest, write_manifest
from tamperscope.data.sample import Dataset, Label, Sample

__all__ = [
    "DATASETS",
    "Dataset",
    "DatasetCard",
    "Label",
    "Sample",
    "fingerprint",
    "load",
    "read_dataset",
    "read_manifest",
    "write_manifest",
]
