"""Write docs/cli.md from the command line's own help texts.

python docs/make_cli.py
"""

from pathlib import Path
from typing import Any

import typer

from tamperscope.cli.main import app

PAGE = Path(__file__).with_name("cli.md")
HEAD = """# Command line

<!-- Made by docs/make_cli.py from the help texts; edit those. -->

Every command has `--help`. Results go to standard output, progress and errors to standard error.
"""


def page() -> str:
    """The whole page."""
    return HEAD + "".join(_sections(typer.main.get_command(app), "tamperscope", 0))


def _sections(command: Any, name: str, depth: int) -> list[str]:
    heading = "#" * min(depth + 2, 4)
    parts = [f"\n{heading} {name}\n\n{_paragraphs(command.help)}\n"]
    if usage := _usage(command, name):
        parts.append(f"\n```\n{usage}\n```\n")
    rows = [row for parameter in command.params if (row := _row(parameter))]
    if rows:
        parts.append("\n| | | default |\n|---|---|---|\n" + "".join(rows))
    if command.epilog:
        parts.append(f"\n{_paragraphs(command.epilog)}\n")
    for child in getattr(command, "commands", {}).values():
        parts += _sections(child, f"{name} {child.name}", depth + 1)
    return parts


def _paragraphs(text: str | None) -> str:
    blocks = (text or "").strip().split("\n\n")
    return "\n\n".join(" ".join(block.split()) for block in blocks)


def _usage(command: Any, name: str) -> str:
    if hasattr(command, "commands"):
        return ""
    words = [_argument(p) for p in command.params if p.param_type_name == "argument"]
    required = [
        f"{p.opts[0]} {_value(p)}"
        for p in command.params
        if p.param_type_name == "option" and p.required
    ]
    return " ".join([name, *words, *required, "[OPTIONS]"])


def _argument(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _value(parameter: Any) -> str:
    return "" if parameter.is_flag else str(parameter.metavar or parameter.name.upper())


def _row(parameter: Any) -> str | None:
    if parameter.name == "help" or getattr(parameter, "hidden", False):
        return None
    if parameter.param_type_name == "argument":
        label, default = f"`{_argument(parameter)}`", ""
    else:
        names = ", ".join(f"`{name}`" for name in parameter.opts)
        value = _value(parameter)
        label, default = (f"{names} `{value}`" if value else names), _default(parameter)
    text = " ".join((parameter.help or "").split()).replace("|", "\\|")
    return f"| {label} | {text} | {default} |\n"


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    if parameter.is_flag or parameter.default in (None, ()):
        return ""
    return f"`{parameter.default}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
