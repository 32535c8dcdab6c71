"""HRNet-W32 as FOCAL uses it: the high-resolution branch of stage 4.

The network is the pose-estimation HRNet (Sun et al., "Deep High-Resolution Representation Learning
for Human Pose Estimation", CVPR 2019). timm's ``hrnet_w32`` computes the same trunk with nearest
upsampling in the fuse layers; two things are set differently here:

* the last module of stage 4 keeps only the fuse row of the high-resolution branch, because that is
  all the pose network has (``multi_scale_output=False``) and all FOCAL reads;
* timm's classification head is absent, and so is the pose network's 1x1 ``final_layer``.

Key mapping: a key ``K`` of the published network is ``net.K`` here, for all 1752 tensors of the
trunk; ``final_layer.weight`` and ``final_layer.bias`` have no counterpart.

Precision: bfloat16 keeps 8 bits, and the trunk is a long sum of residuals. In bfloat16 autocast,
with random weights, components of the unit feature vectors move by 0.0015 (rms; at most 0.01),
which is 2-6 % of how much they vary over a picture, but some twenty times what noise of one grey
level changes in them. So what a picture shows survives, and faint traces may not: prefer float32,
and measure masks before choosing bfloat16. The tests hold these numbers.
"""

from typing import Any

import timm
from torch import Tensor

from tamperscope.backbones.base import Backbone


class HRNetBackbone(Backbone):
    """HRNet-W32, stage 4, high-resolution branch: (B, 32, ceil(h/4), ceil(w/4)), values >= 0.

    The coarsest branch has stride 32, so sides that do not divide by 32 are mirrored up to it and
    the features cropped back. Weights start from timm's initialisation (Kaiming normal).
    """

    def __init__(self) -> None:
        super().__init__(name="focal-hrnet-w32", stride=4, channels=32, multiple=32)
        # level 1 is the stride-4 branch; an empty location leaves out the classification head
        net: Any = timm.create_model(
            "hrnet_w32", pretrained=False, features_only=True, feature_location="", out_indices=(1,)
        )
        last = net.stage4[-1]
        last.fuse_layers = last.fuse_layers[:1]
        self.net = net

    def features(self, x: Tensor) -> Tensor:
        features: list[Tensor] = self.net(x)
        return features[0]
