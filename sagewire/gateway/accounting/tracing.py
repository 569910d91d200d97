"""OpenTelemetry spans, if its SDK is installed and set up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from importlib import import_module
from typing import Any

from sagewire.gateway.request_log import RequestLog
from sagewire.telemetry import spans_are_kept

__all__ = ["span_of"]


@cache
def _tracing() -> Any:
    try:
        trace, propagate = import_module("opentelemetry.trace"), import_module("opentelemetry.propagate")
    except ImportError:
        return None
    # Sets up what the environment names.
    trace.get_tracer_provider()
    return trace, propagate


def span_of(log: RequestLog, headers: Mapping[str, str]) -> AbstractContextManager[None]:
    """Return a context manager that runs its block inside a server span, which continues the caller's trace.

    Attribute names are those of OpenTelemetry's conventions for HTTP and generative AI.

    Args:
        log: The facts of the request; read when the block ends.
        headers: The request's headers; `traceparent` says which trace it belongs to.
    """
    found = _tracing()
    # Without an SDK, spans go nowhere and only cost time.
    if found is None or not spans_are_kept(found[0]):
        return _NO_SPAN
    trace, propagate = found
    return _span(trace, propagate, log, headers)


_NO_SPAN = nullcontext()


@contextmanager
def _span(trace: Any, propagate: Any, log: RequestLog, headers: Mapping[str, str]) -> Iterator[None]:
    tracer = trace.get_tracer("sagewire.gateway")
    context = propagate.extract(headers)
    with tracer.start_as_current_span(f"{log.method} {log.path}", context, trace.SpanKind.SERVER) as span:
        try:
            yield
        finally:
            for name, value in _attributes(log).items():
                if value is not None:
                    span.set_attribute(name, value)
            if log.status >= 500:
                span.set_status(trace.StatusCode.ERROR, log.error)


def _attributes(log: RequestLog) -> dict[str, Any]:
    usage = log.usage
    return {
        "http.request.method": log.method,
        "http.response.status_code": log.status,
        "url.path": log.path,
        "error.type": log.error,
        "gen_ai.operation.name": log.route or None,
        "gen_ai.request.model": log.model or None,
        "gen_ai.response.model": log.served_by or None,
        "gen_ai.usage.input_tokens": usage.prompt_tokens if usage else None,
        "gen_ai.usage.output_tokens": usage.completion_tokens if usage else None,
        "sagewire.deployment": log.deployment or None,
        "sagewire.request_id": log.request_id,
    }
