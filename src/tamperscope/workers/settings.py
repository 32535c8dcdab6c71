"""How many workers a machine carries, and the check of their settings."""

import os

from tamperscope.errors import ConfigError


def cores_here() -> int:
    """Processor cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        return os.cpu_count() or 1


def at_least(name: str, value: float, least: float) -> None:
    """Raise ConfigError where a setting is below its least value, or NaN."""
    if not value >= least:  # written so that NaN fails too
        raise ConfigError(f"{name} is {value}; use at least {least:g}")
