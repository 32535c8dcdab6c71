"""Settings of the service, checked once; what is unsafe is refused here and nowhere later."""

import ipaddress
from dataclasses import dataclass

from tamperscope.errors import ConfigError
from tamperscope.workers import frames
from tamperscope.workers.settings import at_least, cores_here

MIB = 1 << 20
LEAST_TOKEN = 16
"""Shorter tokens can be guessed."""


@dataclass(frozen=True, kw_only=True)
class MethodChoice:
    """A method to serve, as `tamperscope.load` takes it."""

    name: str
    preset: str | None = None
    weights: str | None = None


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """Everything `tamperscope.web.server.serve` needs to know.

    Raises:
        ConfigError: a number out of range, or an address other machines reach without a token.
    """

    methods: tuple[MethodChoice, ...] = ()
    """What to serve, the default first. Each must load. None: all of the catalogue that can."""
    device: str = "auto"
    precision: str = "auto"
    workers: int = 0
    """Processes that examine pictures; 0: as many as their threads fill the processor with."""
    threads: int = 1
    """Threads of each worker."""
    max_bytes: int = 64 * MIB
    """Longest file taken."""
    max_pixels: int = 50_000_000
    queue_size: int = 32
    """Pictures that may wait; one more is refused with 503."""
    batch_size: int = 1
    """Small pictures of one method that a worker may take at once when several wait."""
    spare_workers: int = 1
    """Processes beside the workers that have loaded the methods, for when a worker is lost."""
    time_limit: float = 300.0
    """Seconds a picture may take in a worker."""
    upload_limit: float = 60.0
    """Seconds a request may take to arrive."""
    start_limit: float = 300.0
    """Seconds a worker may take to load its methods."""
    memory_limit: int = 4096 * MIB
    """Bytes a worker may take on top of its loaded methods."""
    grace: float = 30.0
    """Seconds that running work has to finish when the service stops."""
    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    """What clients must send as ``Authorization: Bearer``."""
    allowed_hosts: tuple[str, ...] = ()
    """Names, beside localhost, by which clients may address the service."""
    loader: str = "tamperscope.catalog:load"
    """``module:function`` workers load methods with: `tamperscope.load`, or one that takes the
    same arguments."""

    def __post_init__(self) -> None:
        for name in ("threads", "max_bytes", "max_pixels", "queue_size", "batch_size"):
            at_least(name, getattr(self, name), 1)
        for name in ("time_limit", "upload_limit", "start_limit"):
            at_least(name, getattr(self, name), 0.1)
        at_least("workers", self.workers, 0)
        at_least("spare_workers", self.spare_workers, 0)
        at_least("grace", self.grace, 0)
        at_least("memory_limit", self.memory_limit, 64 * MIB)
        if self.max_bytes > frames.LONGEST_BODY:
            raise ConfigError(
                f"max_bytes is {self.max_bytes}; use at most {frames.LONGEST_BODY}, what a worker "
                "is handed at once"
            )
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port {self.port} must be in 0..65535; 0 takes a free one")
        self._check_token()
        names = [choice.name for choice in self.methods]
        if len(names) != len(set(names)):
            raise ConfigError(f"methods {', '.join(names)}: name each method once")

    def _check_token(self) -> None:
        if self.token is None:
            if not self.is_local:
                raise ConfigError(
                    f"listening on {self.host} lets other machines in: give a --token of at least "
                    f"{LEAST_TOKEN} characters, or leave out --host to stay on this machine"
                )
        elif len(self.token) < LEAST_TOKEN:
            raise ConfigError(
                f"the token has {len(self.token)} characters and could be guessed: "
                f"use at least {LEAST_TOKEN}, such as from 'openssl rand -hex 16'"
            )
        elif not (self.token.isascii() and self.token.isprintable() and " " not in self.token):
            raise ConfigError(
                "the token must be printable ASCII without spaces: it travels in an HTTP header"
            )

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the address."""
        return is_loopback(self.host)

    @property
    def worker_count(self) -> int:
        """`workers`, resolved."""
        return self.workers or max(1, cores_here() // self.threads)


def is_loopback(host: str) -> bool:
    """Whether a name or address means this machine and cannot be made to mean another."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
