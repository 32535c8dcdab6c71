"""What the service counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Telemetry:
    """The numbers of one service; not global, so that two in one program do not mix."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._registry = registry
        self.requests = Counter(
            "tamperscope_http_requests",
            "Answered requests.",
            ("path", "status"),
            registry=registry,
        )
        self.pictures = Counter(
            "tamperscope_pictures",
            "Pictures by outcome: examined, cancelled, or the code of the error.",
            ("method", "outcome"),
            registry=registry,
        )
        self.waiting = Gauge(
            "tamperscope_queue_waiting", "Pictures waiting for a worker.", registry=registry
        )
        self.running = Gauge("tamperscope_running", "Pictures being examined.", registry=registry)
        self.workers = Gauge("tamperscope_workers_ready", "Workers ready.", registry=registry)
        self.spares = Gauge(
            "tamperscope_workers_spare",
            "Workers ready to take a lost one's place.",
            registry=registry,
        )
        self.lost = Counter(
            "tamperscope_workers_lost",
            "Workers that had to be replaced, by reason: died, time_limit, cancelled.",
            ("reason",),
            registry=registry,
        )
        self.batches = Histogram(
            "tamperscope_batch_pictures",
            "Pictures handed to a worker at once.",
            buckets=(1, 2, 4, 8, 16, 32),
            registry=registry,
        )
        self.queued_seconds = Histogram(
            "tamperscope_queue_seconds",
            "From the end of the upload to the start of the work.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.run_seconds = Histogram(
            "tamperscope_run_seconds",
            "In a worker, until the answer was there.",
            ("method",),
            buckets=_SECONDS,
            registry=registry,
        )

    def text(self) -> bytes:
        """All numbers in Prometheus' text format."""
        return generate_latest(self._registry)


class Counted:
    """ASGI middleware that counts answers by path and status."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry, paths: frozenset[str]) -> None:
        self._app = app
        self._requests = telemetry.requests
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and count."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # Paths nobody serves share one label: strangers must not make new ones.
        path = scope["path"] if scope["path"] in self._paths else "other"
        answered = False

        async def counting(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                self._requests.labels(path, str(message["status"])).inc()
            await send(message)

        try:
            await self._app(scope, receive, counting)
        except Exception:
            # Starlette answers these outside of all middleware.
            if not answered:
                self._requests.labels(path, "500").inc()
            raise
