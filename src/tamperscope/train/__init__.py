"""Training: recipes, the loop, checkpoints. Importing this package needs neither torch nor numpy.

>>> from tamperscope.train import load_recipe
>>> load_recipe("smoke", ["optim.lr=1e-3"]).optim.lr
0.001
"""

from typing import TYPE_CHECKING, Any

from tamperscope.train.config import Recipe, load_recipe, recipe_names

if TYPE_CHECKING:
    from tamperscope.train.checkpoint import export_weights
    from tamperscope.train.loop import TrainReport, run_training

__all__ = [
    "Recipe",
    "TrainReport",
    "export_weights",
    "load_recipe",
    "recipe_names",
    "run_training",
]


def __getattr__(name: str) -> Any:
    """The names that need torch, imported when first asked for."""
    if name == "export_weights":
        from tamperscope.train.checkpoint import export_weights

        return export_weights
    if name in ("TrainReport", "run_training"):
        from tamperscope.train import loop

        return getattr(loop, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
