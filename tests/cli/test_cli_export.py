import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from tamperscope import export as exporting
from tamperscope.errors import WeightsError
from tamperscope.export import Exported

Cli = Callable[..., Result]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What `export` was called with; it writes nothing."""
    calls: list[dict[str, Any]] = []

    def export(method: str, output: Path, **options: Any) -> list[Exported]:
        calls.append({"method": method, "output": output, **options})
        if method == "broken":
            raise WeightsError("no words for this network")
        first = Exported(
            path=output,
            weights="toy",
            sha256="ab",
            bytes=2_500_000,
            inputs=("x",),
            outputs=("map", "label"),
            side=None,
        )
        return [first]

    monkeypatch.setattr(exporting, "export", export)
    return calls


def test_options_reach_the_exporter(cli: Cli, asked: list[dict[str, Any]]) -> None:
    done = cli("export", "focal", "-o", "a.onnx", "--weights", "w", "--set", "square_size=512")
    assert done.exit_code == 0
    assert done.stdout == "a.onnx: toy, 2.5 MB, x -> map, label, pictures of any size\n"
    assert asked == [
        {
            "method": "focal",
            "output": Path("a.onnx"),
            "format": "onnx",
            "preset": None,
            "weights": "w",
            "untrained": False,
            "overwrite": False,
            "square_size": 512,
        }
    ]


def test_json(cli: Cli, asked: list[dict[str, Any]]) -> None:
    done = cli("export", "focal", "-o", "a.onnx", "--json")
    assert json.loads(done.stdout)[0]["path"] == "a.onnx"
    assert asked[0]["method"] == "focal"


def test_existing_files_are_kept(cli: Cli, here: Path, asked: list[dict[str, Any]]) -> None:
    (here / "a.onnx").write_text("mine")
    done = cli("export", "focal", "-o", "a.onnx")
    assert done.exit_code == 2
    assert "a.onnx exists already: choose another name, or use --overwrite" in done.stderr
    assert not asked
    assert cli("export", "focal", "-o", "a.onnx", "--overwrite").exit_code == 0
    assert [call["overwrite"] for call in asked] == [True]


def test_errors_are_one_line(cli: Cli, asked: list[dict[str, Any]]) -> None:
    done = cli("export", "broken", "-o", "a.onnx")
    assert done.exit_code == 1
    assert "no words for this network" in done.stderr
    assert len(asked) == 1


def test_an_unknown_method(cli: Cli) -> None:
    done = cli("export", "fcal", "-o", "a.onnx")
    assert done.exit_code == 2
    assert "unknown method 'fcal'; did you mean 'focal'?" in done.stderr


def test_localize_refuses_an_unknown_engine(cli: Cli, picture: Callable[..., Path]) -> None:
    done = cli("localize", picture("a.png"), "--engine", "onxx")
    assert done.exit_code == 2
    assert "unknown engine 'onxx'; did you mean 'onnx'?" in done.stderr
    done = cli("localize", "a.png", "--set", "engine=onnx")
    assert done.exit_code == 2
    assert "is no setting of the method; use --engine" in done.stderr
