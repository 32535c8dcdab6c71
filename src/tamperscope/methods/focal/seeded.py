"""Two clusters on the unit sphere, started from evidence: which pixels belong together, and which
of the two is forged.

Ours. FOCAL clusters without any prior, so the name of each cluster has to be guessed from its size,
and every picture has two clusters under k-means. Here the evidence map gives each feature vector a
starting membership; a few soft spherical k-means steps (as in a mixture of von Mises-Fisher
distributions with a shared concentration) move both centres to where the picture's own features are
dense; what comes out is a margin that says on which side of the picture's own divide a pixel lies.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def seeded_margin(
    features: Tensor, evidence: Tensor, *, steps: int = 3, concentration: float = 6.0
) -> tuple[Tensor, Tensor]:
    """Margins to the two centres.

    Args:
        features: (n, C) unit vectors.
        evidence: (n,) logits, positive = forged.
        steps: re-estimations of the centres.
        concentration: how sharply a membership follows the margin.

    Returns:
        The margin (n,) in [-2, 2], similarity to the forged minus similarity to the pristine
        centre, and the centres (2, C), pristine first.
    """
    forged = torch.sigmoid(evidence)
    centres = features.new_zeros(2, features.shape[1])
    margin = torch.zeros_like(evidence)
    for _ in range(steps):
        weights = torch.stack([1.0 - forged, forged])
        centres = F.normalize(weights @ features, dim=1)
        margin = features @ (centres[1] - centres[0])
        forged = torch.sigmoid(evidence + concentration * margin)
    return margin, centres
