"""Forgeries with exact masks, made from ordinary photos."""

from tamperscope.data.synthesis.compose import Forgery
from tamperscope.data.synthesis.dataset import KINDS, SynthesisConfig, SynthesisDataset, Synthesizer

__all__ = ["KINDS", "Forgery", "SynthesisConfig", "SynthesisDataset", "Synthesizer"]
