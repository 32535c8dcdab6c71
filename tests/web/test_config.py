"""What the service refuses to be started with, and how the command line says so."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tamperscope.cli.main import app
from tamperscope.errors import ConfigError
from tamperscope.web import server
from tamperscope.web.config import MIB, MethodChoice, ServeConfig, is_loopback
from tamperscope.workers import frames
from web.service import config

TOKEN = "0123456789abcdef"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"host": "0.0.0.0"},
            "listening on 0.0.0.0 lets other machines in: give a --token of at least 16 "
            "characters, or leave out --host to stay on this machine",
        ),
        ({"host": "::"}, "listening on :: lets other machines in"),
        ({"host": "127.0.0.1.evil.example"}, "lets other machines in"),
        (
            {"token": "short"},
            "the token has 5 characters and could be guessed: use at least 16, such as from "
            "'openssl rand -hex 16'",
        ),
        ({"token": "with a space in the middle"}, "printable ASCII without spaces"),
        ({"port": 70000}, "port 70000 must be in 0..65535; 0 takes a free one"),
        ({"batch_size": 0}, "batch_size is 0; use at least 1"),
        ({"spare_workers": -1}, "spare_workers is -1; use at least 0"),
        ({"queue_size": 0}, "queue_size is 0; use at least 1"),
        ({"time_limit": float("nan")}, "time_limit is nan; use at least 0.1"),
        ({"grace": float("inf")}, "grace is inf; use at least 0"),
        (
            {"max_bytes": frames.LONGEST_BODY + 1},
            "max_bytes is 1073741825; use at most 1073741824, what a worker is handed at once",
        ),
        ({"memory_limit": 1}, f"memory_limit is 1; use at least {64 * MIB}"),
        (
            {"methods": (MethodChoice(name="focal"), MethodChoice(name="focal"))},
            "methods focal, focal: name each method once",
        ),
    ],
)
def test_unsafe_or_impossible_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ServeConfig(**options)
    assert message.replace(f"{64 * MIB}", f"{64 * MIB:g}") in str(caught.value)


def test_a_token_opens_the_door() -> None:
    assert not ServeConfig(host="0.0.0.0", token=TOKEN).is_local
    assert ServeConfig().is_local
    assert ServeConfig(workers=3).worker_count == 3
    assert ServeConfig(max_bytes=frames.LONGEST_BODY).max_bytes == 1 << 30
    assert 1 <= ServeConfig(threads=1).worker_count <= (os.cpu_count() or 1)
    assert ServeConfig(threads=1000).worker_count == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_addresses_of_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "localhost.", "example.org", ""])
def test_addresses_others_may_reach(host: str) -> None:
    assert not is_loopback(host)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[ServeConfig]:
    """The settings `serve` was called with, in place of a service."""
    seen: list[ServeConfig] = []
    monkeypatch.setattr(server, "serve", lambda config, announce: seen.append(config))
    monkeypatch.delenv("TAMPERSCOPE_TOKEN", raising=False)
    return seen


def cli(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["serve", *arguments])


def test_the_command_line_sets_everything(served: list[ServeConfig], tmp_path: Path) -> None:
    weights = tmp_path / "w.pth"
    weights.touch()
    options = "--port 9 --workers 2 --threads 3 --queue 4 --max-megabytes 5 --max-pixels 6"
    options += " --max-batch 5 --spare 2"
    more = "--time-limit 7 --memory 80 --allow-host a --allow-host b --device cpu"
    chosen = f"-m focal -m dolos-patches --preset focal=as-released --token {TOKEN}"
    words = f"{options} {more} {chosen}".split()
    result = cli(*words, "--weights", f"dolos-patches={weights}")
    assert result.exit_code == 0, result.output
    assert served == [
        ServeConfig(
            port=9,
            workers=2,
            threads=3,
            queue_size=4,
            batch_size=5,
            spare_workers=2,
            max_bytes=5 * MIB,
            max_pixels=6,
            time_limit=7.0,
            memory_limit=80 * MIB,
            allowed_hosts=("a", "b"),
            device="cpu",
            token=TOKEN,
            methods=(
                MethodChoice(name="focal", preset="as-released"),
                MethodChoice(name="dolos-patches", weights=str(weights)),
            ),
        )
    ]


def test_the_token_may_come_from_the_environment(
    served: list[ServeConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAMPERSCOPE_TOKEN", TOKEN)
    assert cli("--host", "0.0.0.0").exit_code == 0
    assert served[0].token == TOKEN


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--host", "0.0.0.0"), "give a --token"),
        (("-m", "fcal"), "unknown method 'fcal'; did you mean 'focal'?"),
        (("--weights", "focal=x"), "--weights focal=x: say --method focal as well"),
        (("-m", "focal", "--preset", "x"), "--preset takes METHOD=VALUE, got 'x'"),
        (
            ("-m", "focal", "--preset", "focal=fats"),
            "unknown preset of focal 'fats'; did you mean 'fast'?",
        ),
    ],
)
def test_wrong_usage_is_one_line(
    served: list[ServeConfig], arguments: tuple[str, ...], message: str
) -> None:
    result = cli(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert served == []


def test_weights_that_are_not_there_are_named_before_it_starts(served: list[ServeConfig]) -> None:
    result = cli("-m", "focal", "--weights", "focal=nowhere/w.pt")
    assert result.exit_code == 1
    assert "no weights file nowhere/w.pt: give an existing one" in " ".join(result.output.split())
    assert served == []


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:8000", "http://[fd00::1]:8000", "http://[fd00:a:b:c::1]:8000"]
)
def test_the_address_is_announced_as_it_is(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "serve", lambda config, announce: announce(address))
    monkeypatch.delenv("TAMPERSCOPE_TOKEN", raising=False)
    assert cli().stdout == f"tamperscope is at {address} (Ctrl-C stops it)\n"


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(server.ServiceError) as caught:
            server.serve(config(port=port))
    assert str(caught.value) == (
        f"cannot listen on 127.0.0.1:{port}: Address already in use; choose another --port"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of Unix")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_ends_it_in_order(name: str) -> None:
    code = (
        "from web.service import config; from tamperscope.web.server import serve; "
        "serve(config(), announce=lambda address: print(address, flush=True))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        process.send_signal(getattr(signal, name))
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_the_extra_is_named_when_it_is_missing(
    monkeypatch: pytest.MonkeyPatch, served: list[ServeConfig]
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = cli()
    assert result.exit_code == 1
    assert "tamperscope serve needs an optional dependency: pip install 'tamperscope[web]'" in (
        " ".join(result.output.split())
    )
