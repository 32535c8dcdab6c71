"""The table of options in the method's README is that of the code."""

import re
from dataclasses import fields
from pathlib import Path

import tamperscope.methods.dolos.config as module
from tamperscope.methods.dolos.config import PRESETS, DolosConfig
from tamperscope.methods.dolos.network import METHODS

README = (Path(module.__file__).parent / "README.md").read_text(encoding="utf-8")


def test_every_option_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \| \S", README, re.MULTILINE)
    shown = {
        f.name: f"`{f.default}`" if isinstance(f.default, str) else str(f.default).lower()
        for f in fields(DolosConfig)
    }
    assert dict(rows) == shown
    assert [name for name, _ in rows] == list(shown)


def test_every_preset_and_method() -> None:
    assert re.findall(r"^- `([\w-]+)`: ", README, re.MULTILINE) == list(PRESETS)
    assert all(f"`{method}`" in README for method in METHODS)
