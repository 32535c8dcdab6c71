"""What a network can be trained for: each task brings its pictures, objective and numbers."""

from tamperscope.train.config import Recipe
from tamperscope.train.tasks.base import Task


def make_task(recipe: Recipe) -> Task:
    """The task that the recipe names, with the recipe's settings."""
    if recipe.task == "dolos":
        from tamperscope.train.tasks.dolos import DolosTask

        return DolosTask(recipe)
    if recipe.task == "fakelocator":
        from tamperscope.train.tasks.fakelocator import FakeLocatorTask

        return FakeLocatorTask(recipe)
    if recipe.task == "face-parser":
        from tamperscope.train.tasks.parsing import ParsingTask

        return ParsingTask(recipe)
    from tamperscope.train.tasks.forgery import ForgeryTask

    return ForgeryTask(recipe)
