"""``tamperscope methods``: what can be run."""

import dataclasses
from typing import Annotated

import typer

from tamperscope.cli import _console


def methods(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON list instead of text.")
    ] = False,
) -> None:
    """List the methods: what each is, what it is not, its presets and weights."""
    from tamperscope import catalog

    cards = catalog.list_methods()
    if as_json:
        _console.print_json([dataclasses.asdict(card) for card in cards])
        return
    from rich.padding import Padding
    from rich.text import Text

    console = _console.stdout()
    for card in cards:
        console.print(Text.assemble((card.name, "bold"), f"  {card.title}"))
        for label, text in (
            ("", card.summary),
            ("Not: ", card.limits),
            ("Map: ", card.map_kind.value),
            ("Presets: ", ", ".join(card.presets) or "none"),
            ("Weights: ", ", ".join(card.weights) or "none"),
            ("Paper: ", card.paper),
        ):
            console.print(Padding(Text.assemble((label, "dim"), text), (0, 0, 0, 2), expand=False))
        console.print()
