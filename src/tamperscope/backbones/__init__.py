"""Feature networks by name, and the fusion of several."""

from tamperscope.backbones.base import Backbone, pad_to_multiple
from tamperscope.backbones.fusion import fuse_features
from tamperscope.backbones.preprocess import Preprocessing, preprocess, preprocess_mask
from tamperscope.backbones.registry import create_backbone, list_backbones

__all__ = [
    "Backbone",
    "Preprocessing",
    "create_backbone",
    "fuse_features",
    "list_backbones",
    "pad_to_multiple",
    "preprocess",
    "preprocess_mask",
]
