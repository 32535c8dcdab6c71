"""Explaining a classifier's answer by a map over its input."""

from tamperscope.attribution.grad_cam import ClassActivation, grad_cam, heat_map

__all__ = ["ClassActivation", "grad_cam", "heat_map"]
