"""Training losses: tensors in, one differentiable number out.

``contrastive`` compares features inside one picture; ``maps`` compares a predicted map with a mask;
``dolos`` trains maps from image labels, masks or both.
"""
