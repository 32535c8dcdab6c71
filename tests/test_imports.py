"""Who imports whom, and what a bare import costs."""

import subprocess
import sys
from pathlib import Path

import pytest

import tamperscope

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "numpy", "PIL", "cv2", "scipy", "sklearn", "timm")


def modules_after(code: str) -> set[str]:
    """Top-level modules loaded in a fresh interpreter that ran `code`."""
    script = f"{code}\nimport sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    return set(done.stdout.splitlines()[-1].split())


def test_a_bare_import_loads_nothing_heavy() -> None:
    assert not modules_after("import tamperscope") & set(HEAVY)


def test_the_command_line_starts_without_anything_heavy() -> None:
    assert not modules_after("import tamperscope.cli.main") & set(HEAVY)


def test_methods_are_listed_without_loading_any() -> None:
    code = "import tamperscope; tamperscope.list_methods()"
    assert not modules_after(code) & {"torch", "timm", "cv2", "sklearn"}


def test_reading_and_results_need_no_torch() -> None:
    code = "import tamperscope; tamperscope.read_image; tamperscope.Localization"
    assert "torch" not in modules_after(code)


def test_public_names() -> None:
    assert tamperscope.__all__ == [
        "Image",
        "Localization",
        "Localizer",
        "MapKind",
        "MethodCard",
        "Provenance",
        "TamperscopeError",
        "__version__",
        "list_methods",
        "load",
        "localize",
        "read_image",
    ]
    for name in tamperscope.__all__:
        assert getattr(tamperscope, name) is not None
    assert dir(tamperscope) == sorted(tamperscope.__all__)
    assert set(tamperscope.__all__) - {"__version__"} == set(tamperscope._HOME)


def test_unknown_attributes_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="module 'tamperscope' has no attribute 'locolize'"):
        tamperscope.locolize  # noqa: B018


def test_rooms_import_only_what_they_may() -> None:
    code = (
        "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(cache_dir=None))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
