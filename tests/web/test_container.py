"""Dockerfile and compose.yaml say nothing that the program does not know; no container."""

import json
import re
import shlex
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from scripts import load_script
from tamperscope.bench.tables import load_records
from tamperscope.cli.main import app
from tamperscope.web import server
from tamperscope.web.app import create_app
from tamperscope.web.config import MIB, ServeConfig
from tamperscope.web.guard import OPEN_PATHS
from tamperscope.web.process import TOKEN_VARIABLE
from web.service import config

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TOKEN = "0123456789abcdef0123456789abcdef"
IDLE = 700 * MIB
"""What a worker with all methods loaded takes, rounded up."""


def instructions() -> list[tuple[str, str]]:
    """(instruction, its text) of the Dockerfile, continued lines joined."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line.split(None, 1) for line in text.splitlines() if line.strip()]
    return [(word, " ".join(rest.split())) for word, rest in lines]


def last_stage() -> list[tuple[str, str]]:
    found = instructions()
    start = max(i for i, (word, _) in enumerate(found) if word == "FROM")
    return found[start:]


def said(word: str) -> str:
    (text,) = (text for name, text in last_stage() if name == word)
    return text


@pytest.fixture
def compose() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml", reason="compose files are YAML: pip install pyyaml")
    loaded = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    service: dict[str, Any] = loaded["services"]["tamperscope"]
    return service


def started_with(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], token: str | None = TOKEN
) -> ServeConfig:
    """The settings that the command line makes of the arguments of a container."""
    seen: list[ServeConfig] = []
    monkeypatch.setattr(server, "serve", lambda config, announce: seen.append(config))
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    if token is not None:
        monkeypatch.setenv(TOKEN_VARIABLE, token)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return seen[0]


def entry_point() -> list[str]:
    words: list[str] = json.loads(said("ENTRYPOINT"))  # a list: signals reach the program itself
    assert words[0] in PROJECT["scripts"]
    return words[1:]


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    patterns = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    copied = [shlex.split(text) for word, text in instructions() if word == "COPY"]
    sources = [name for words in copied if "--from" not in words[0] for name in words[:-1]]
    assert {"pyproject.toml", "src", "README.md"} <= set(sources)
    for name in sources:
        assert (ROOT / name).exists(), name
        assert f"!{name}" in patterns, name
    named = [PROJECT["readme"], *PROJECT["license-files"]]
    assert set(named) <= set(sources), "pip cannot build without the files pyproject.toml names"


def test_nothing_large_or_private_is_sent_to_the_builder() -> None:
    patterns = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert patterns[0] == "**"
    let_in = [pattern.removeprefix("!") for pattern in patterns if pattern.startswith("!")]
    for name in (".git", "results", "tests", ".venv", "data"):
        assert not any(fnmatch(name, pattern) for pattern in let_in)


def test_extras_and_python_are_those_of_the_project() -> None:
    text = " ".join(text for word, text in instructions() if word == "RUN")
    extras = re.findall(r"'\.\[([a-z,]+)\]'", text)
    assert extras == ["web,heif"]
    assert set(extras[0].split(",")) <= set(PROJECT["optional-dependencies"])
    versions = {t.split()[0] for word, t in instructions() if word == "FROM"}
    assert len(versions) == 1, "a virtual environment only works with the Python that made it"
    (version,) = re.findall(r"^python:(3\.\d+)-slim$", versions.pop())
    assert f"Programming Language :: Python :: {version}" in PROJECT["classifiers"]


def test_the_entry_point_needs_a_token_and_fits_ports_and_health_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = started_with(monkeypatch, entry_point())
    assert found.host == "0.0.0.0"
    assert str(found.port) == said("EXPOSE")
    health = json.loads(said("HEALTHCHECK").partition("CMD ")[2])
    ((port, path),) = re.findall(r"http://127\.0\.0\.1:(\d+)(/\w+)", health[-1])
    assert int(port) == found.port
    assert path in OPEN_PATHS, "the health check has no token"
    assert path in create_app(config()).openapi()["paths"]
    compile(health[-1], "health check", "exec")
    monkeypatch.delenv(TOKEN_VARIABLE)
    result = CliRunner().invoke(app, entry_point())
    assert result.exit_code == 2
    assert "give a --token" in " ".join(result.output.split())


def test_it_runs_as_nobody_with_a_root_it_cannot_write(compose: dict[str, Any]) -> None:
    stage = last_stage()
    (made,) = (text for word, text in stage if word == "RUN")
    assert f"useradd --system --no-create-home --uid 10001 {said('USER')}" == made
    assert compose["read_only"] is True
    assert compose["cap_drop"] == ["ALL"]
    writable = compose["tmpfs"]
    assert said("WORKDIR") in writable
    cache = dict(word.split("=", 1) for word in said("ENV").split())["NUMBA_CACHE_DIR"]
    assert any(Path(cache).is_relative_to(folder) for folder in writable)


def test_compose_starts_what_the_image_can_do(
    compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = started_with(monkeypatch, entry_point() + compose["command"])
    (published,) = compose["ports"]
    address, outside, inside = published.split(":")
    assert (address, outside, int(inside)) == ("127.0.0.1", "8000", found.port)
    assert list(compose["environment"]) == [TOKEN_VARIABLE]
    assert int(compose["stop_grace_period"].removesuffix("s")) > found.grace
    limit = int(compose["mem_limit"].removesuffix("g")) << 30
    processes = found.worker_count + found.spare_workers
    needed = processes * IDLE + found.worker_count * found.memory_limit
    assert needed <= limit, "a full service must die by its own limits, not by the container's"


def test_the_page_about_it_shows_the_same_commands() -> None:
    page = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")
    head = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    commands = re.findall(r"^#   (docker .*)$", head, re.MULTILINE)
    assert len(commands) == 2
    assert all(command in page for command in commands)
    assert TOKEN_VARIABLE in commands[1]


def test_the_table_of_costs_is_made_from_the_record() -> None:
    tables = load_script("docs/make_tables.py")
    page = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")
    assert "<!-- table: service -->" in page
    assert tables.filled(page, load_records(ROOT / "results")) == page, (
        "run: python docs/make_tables.py"
    )
    times = {"pictures_per_second": 2.0, "p50": 0.5, "p95": 0.6, "p99": 0.7}
    service = {"what": "service", "clients": 4, "max_batch": 8, "cost": 0.031}
    record = {
        "kind": "service",
        "method": {"name": "focal"},
        "dataset": {"name": "made pictures"},
        "numbers": {
            "requests": 48,
            "rounds": 3,
            "rows": [
                {"what": "loop", "processes": 2, **times},
                {**service, "processes": 2, **times},
            ],
        },
        "environment": {"machine": {"cpu": "a processor", "cores": 2}},
    }
    made = tables.TABLES["service"][1]([record])
    assert "| loop, processes: 2 | 2.00 | 0.50 s | 0.60 s | 0.70 s |  |\n" in made
    assert "| service, workers: 2, clients: 4, batches of up to 8 |" in made
    assert "| 0.70 s | +3.1 % |\n" in made
