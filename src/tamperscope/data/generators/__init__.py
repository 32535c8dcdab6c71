"""Generators that fill regions of pictures with new content, behind one interface."""

from tamperscope.data.generators.base import FAMILIES, Family, Generator

__all__ = ["FAMILIES", "Family", "Generator"]
