"""What Prometheus can ask: requests, tokens, latencies, what is under way, and what went wrong upstream."""

from __future__ import annotations

import os

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
# Set before prometheus_client is imported where several worker processes share their numbers.
_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"


class Metrics:
    """The gateway's metrics. Label values come from the configuration, never from callers."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "sagewire_gateway_requests", "Requests that have ended.", ["route", "model", "status"], registry=registry
        )
        self.tokens = Counter(
            "sagewire_gateway_tokens", "Tokens, as the servers counted.", ["model", "key", "kind"], registry=registry
        )
        self.seconds = Histogram(
            "sagewire_gateway_request_seconds",
            "Until the last byte.",
            ["route", "model"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.first_token = Histogram(
            "sagewire_gateway_first_token_seconds",
            "Until the first piece of a stream.",
            ["model"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.in_flight = Gauge(
            "sagewire_gateway_in_flight",
            "Requests under way.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.upstream_errors = Counter(
            "sagewire_gateway_upstream_errors",
            "Failed calls of deployments, also those that a retry made good.",
            ["model", "deployment", "type"],
            registry=registry,
        )
        self.healthy = Gauge(
            "sagewire_gateway_deployment_healthy",
            "1 while the circuit breaker is closed.",
            ["model", "deployment"],
            registry=registry,
            multiprocess_mode="livemin",
        )
        self.config_current = Gauge(
            "sagewire_gateway_config_current",
            "0 while the configuration file has a mistake, and the one before it is in use.",
            registry=registry,
            multiprocess_mode="livemin",
        )
        self.config_current.set(1)
        self.refused = Counter(
            "sagewire_gateway_refused", "Requests the gateway itself refused.", ["code"], registry=registry
        )

    def text(self) -> bytes:
        """Return all metrics in Prometheus's text format; of all workers where there are several."""
        if _DIRECTORY not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
