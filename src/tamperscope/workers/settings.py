"""How many workers a machine carries, and the check of their settings."""

import math
import os

from tamperscope.errors import ConfigError


def cores_here() -> int:
    """Processor cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        return os.cpu_count() or 1


def at_least(name: str, value: float, least: float) -> None:
    """Raise ConfigError where a setting is below its least value, infinite or NaN."""
    if not least <= value < math.inf:  # written so that NaN fails too
        finite = ", and no infinity" if value == math.inf else ""
        raise ConfigError(f"{name} is {value}; use at least {least:g}{finite}")
