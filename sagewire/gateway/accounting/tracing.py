"""OpenTelemetry spans where its SDK is installed and set up; nothing where it is not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any

from sagewire.gateway.request_log import Journal
from sagewire.telemetry import is_placeholder

__all__ = ["span_of"]


@cache
def _tracing() -> Any:
    try:
        return import_module("opentelemetry.trace"), import_module("opentelemetry.propagate")
    except ImportError:
        return None


@contextmanager
def span_of(journal: Journal, headers: Mapping[str, str]) -> Iterator[None]:
    """Run the block inside a server span that continues the caller's trace.

    Attribute names are those of OpenTelemetry's conventions for HTTP and generative AI.

    Args:
        journal: What is known of the request; read when the block ends.
        headers: The request's headers; `traceparent` says which trace it belongs to.
    """
    found = _tracing()
    # Without an SDK, spans go nowhere and only cost time.
    if found is None or is_placeholder(found[0].get_tracer_provider()):
        yield
        return
    trace, propagate = found
    tracer = trace.get_tracer("sagewire.gateway")
    context = propagate.extract(headers)
    with tracer.start_as_current_span(f"{journal.method} {journal.path}", context, trace.SpanKind.SERVER) as span:
        try:
            yield
        finally:
            for name, value in _attributes(journal).items():
                if value is not None:
                    span.set_attribute(name, value)
            if journal.status >= 500:
                span.set_status(trace.StatusCode.ERROR, journal.error)


def _attributes(journal: Journal) -> dict[str, Any]:
    usage = journal.usage
    return {
        "http.request.method": journal.method,
        "http.response.status_code": journal.status,
        "url.path": journal.path,
        "error.type": journal.error,
        "gen_ai.operation.name": journal.route or None,
        "gen_ai.request.model": journal.model or None,
        "gen_ai.response.model": journal.served_by or None,
        "gen_ai.usage.input_tokens": usage.prompt_tokens if usage else None,
        "gen_ai.usage.output_tokens": usage.completion_tokens if usage else None,
        "sagewire.deployment": journal.deployment or None,
        "sagewire.request_id": journal.request_id,
    }
