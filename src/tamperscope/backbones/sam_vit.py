"""The Segment Anything image encoder (Kirillov et al., ICCV 2023; arXiv 2304.02643), through timm.

timm's ``samvit_large_patch16`` computes the ViT-L encoder of SAM: pre-norm blocks with LayerNorm
eps 1e-6, windows of 14 tokens padded with zeros after the norm (the padding takes part in the
attention), decomposed relative positions added with the unscaled query, global attention in blocks
5, 11, 17 and 23, and a neck of 1x1 and 3x3 convolutions. FOCAL feeds it pictures in [0, 1]
without SAM's pixel mean and standard deviation, and so does this class.

Key mapping: a key ``K`` of the published encoder is ``net.K`` here, with ``mlp.lin1`` and
``mlp.lin2`` called ``mlp.fc1`` and ``mlp.fc2``.

Other sizes than ``img_size``: the published code accepts none. Here sides are mirrored up to a
multiple of the patch; the absolute position table is resampled to the token grid (bicubic with
antialiasing), and relative position tables of the global blocks are interpolated linearly whenever
their length is not 2 max(rows, columns) - 1. At ``img_size`` both are used untouched.

Memory: attention of a global block is heads x tokens^2: about 1 GiB in float32 for 1024x1024, and
sixteen times that for 2048x2048.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import timm
from torch import Tensor, nn

from tamperscope.backbones.base import Backbone
from tamperscope.errors import ConfigError


class SamViTBackbone(Backbone):
    """SAM ViT-L image encoder: (B, 256, ceil(h/16), ceil(w/16)); the defaults are FOCAL's.

    Args:
        img_size: Picture side that the position tables are made for; a multiple of 16.
        embed_dim: Width of a token.
        depth: Number of blocks.
        num_heads: Attention heads; divides ``embed_dim``.
        window_size: Side of a local window, in tokens.
        global_blocks: Indices of the blocks with attention over the whole grid.
        channels: Length of an output vector.

    Raises:
        ConfigError: the numbers do not fit each other.
    """

    def __init__(
        self,
        *,
        img_size: int = 1024,
        embed_dim: int = 1024,
        depth: int = 24,
        num_heads: int = 16,
        window_size: int = 14,
        global_blocks: Sequence[int] = (5, 11, 17, 23),
        channels: int = 256,
    ) -> None:
        patch = 16
        if img_size < patch or img_size % patch:
            raise ConfigError(f"img_size must be a positive multiple of {patch}, not {img_size}")
        if embed_dim % num_heads:
            raise ConfigError(f"num_heads={num_heads} must divide embed_dim={embed_dim}")
        if any(not 0 <= block < depth for block in global_blocks):
            raise ConfigError(f"global_blocks must be in 0..{depth - 1}, not {list(global_blocks)}")
        super().__init__(name="focal-vit-l", stride=patch, channels=channels, multiple=patch)
        self.net: Any = timm.create_model(
            "samvit_large_patch16",
            pretrained=False,
            num_classes=0,
            global_pool="",
            img_size=img_size,
            embed_dim=embed_dim,
            depth=depth,
            num_heads=num_heads,
            window_size=window_size,
            global_attn_indexes=tuple(global_blocks),
            neck_chans=channels,
            # pinned, although timm chooses the same today
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
        )

    def features(self, x: Tensor) -> Tensor:
        features: Tensor = self.net.forward_features(x)
        return features
