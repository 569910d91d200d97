"""Telemetry of calls: hooks of your own, and OpenTelemetry if its API is installed.

Nothing here sees a prompt, an answer or a credential: only names, settings, counts, times and ids.
Spans and metrics follow OpenTelemetry's semantic conventions for generative AI clients (`gen_ai.*`).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from sagewire._names import explains_arguments, missing
from sagewire.errors import EndpointError
from sagewire.types import Embeddings, Ranking, Reply, ResponseInfo, Usage

if TYPE_CHECKING:
    from opentelemetry.metrics import Histogram
    from opentelemetry.trace import Span, Tracer

__all__ = ["CallEnded", "CallRetried", "CallStarted", "Hooks", "Outcome", "watch"]


@dataclass(frozen=True, slots=True)
class CallStarted:
    """The event before a call is sent.

    Args:
        target: The endpoint's name, or the server's URL.
        operation: `chat`, `text_completion`, `embeddings` or `rerank`.
        provider: `aws.sagemaker` or `http`.
        streaming: The answer is asked for as a stream.
        options: The generation settings that were given, without texts.
        request_bytes: The size of the body.
    """

    target: str
    operation: str
    provider: str = "aws.sagemaker"
    streaming: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    request_bytes: int = 0


@dataclass(frozen=True, slots=True)
class CallRetried:
    """The event of a failed attempt that is followed by another.

    Args:
        attempt: The number of the one that failed, from 1.
        error: Why it failed.
        delay: Seconds until the next.
    """

    attempt: int
    error: EndpointError
    delay: float


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The event of the end of a call.

    Args:
        started: The call.
        seconds: How long it took.
        info: The service's facts about the response, request id and timings included.
        usage: Token counts, if the server sends them.
        model: The model name the server reported.
        finish_reason: Why the answer ended.
        error: The error, if the call failed.
        cancelled: The caller stopped reading before the answer was complete.
    """

    started: CallStarted
    seconds: float
    info: ResponseInfo | None = None
    usage: Usage | None = None
    model: str | None = None
    finish_reason: str | None = None
    error: BaseException | None = None
    cancelled: bool = False


@explains_arguments(
    on_error="use on_response=, which is told of errors, too: call.error",
    on_start="use on_request=",
    on_end="use on_response=",
    before_request="use on_request=",
    after_response="use on_response=",
)
@dataclass(frozen=True, slots=True)
class Hooks:
    """Functions of your own that are told about calls; they must be quick, and must not raise.

    Args:
        on_request: Before a call is sent.
        on_response: After a call ended, well or badly.
        on_retry: Before another attempt.

    Example:
        >>> hooks = Hooks(on_response=lambda call: print(call.started.target, call.seconds, call.usage))
        >>> client = Client("my-endpoint", hooks=hooks)  # doctest: +SKIP
    """

    on_request: Callable[[CallStarted], None] | None = None
    on_response: Callable[[CallEnded], None] | None = None
    on_retry: Callable[[CallRetried], None] | None = None


@dataclass(slots=True)
class Outcome:
    """The answer of a running call: whole, or as far as it was read."""

    answer: Callable[[], Reply | Embeddings | Ranking | None] = lambda: None


def watch(
    hooks: Hooks | None,
    begin: Callable[[], CallStarted],
    answer: Callable[[], Any] | None = None,
    mask: Callable[[Exception], None] | None = None,
) -> AbstractContextManager[Outcome]:
    """Return a context manager around one call; without hooks and OpenTelemetry it costs next to nothing.

    Args:
        hooks: The functions to tell.
        begin: Makes the event of the beginning.
        answer: Returns the answer as far as it was read.
        mask: Takes the secrets out of an error before the functions are told of it.
    """
    if not is_watched(hooks):
        return nullcontext(Outcome())
    return _watched(hooks or Hooks(), _set_up(), begin(), answer, mask)


def is_watched(hooks: Hooks | None) -> bool:
    """Return whether anything is told about calls: the functions of `hooks`, or OpenTelemetry with an SDK.

    Args:
        hooks: The functions to tell.
    """
    if hooks is not None and (hooks.on_request or hooks.on_response):
        return True
    return _set_up() is not None


@contextmanager
def _watched(
    hooks: Hooks,
    telemetry: _Telemetry | None,
    started: CallStarted,
    answer_so_far: Callable[[], Any] | None,
    mask: Callable[[Exception], None] | None,
) -> Iterator[Outcome]:
    outcome, failure, cancelled = Outcome(), None, False
    if answer_so_far is not None:
        outcome.answer = answer_so_far
    if hooks.on_request:
        hooks.on_request(started)
    span = telemetry.start(started) if telemetry else None
    at = time.monotonic()
    try:
        yield outcome
    except Exception as error:
        failure = error
        if mask is not None:
            mask(error)
        raise
    except BaseException:
        # GeneratorExit, CancelledError, KeyboardInterrupt: the caller no longer wants the answer.
        cancelled = True
        raise
    finally:
        answer = outcome.answer()
        ended = CallEnded(
            started,
            time.monotonic() - at,
            answer.info if answer else None,
            answer.usage if answer else None,
            answer.model if answer else None,
            answer.finish_reason if isinstance(answer, Reply) else None,
            failure,
            cancelled,
        )
        if telemetry and span is not None:
            telemetry.end(span, ended)
        if hooks.on_response:
            hooks.on_response(ended)


# ---------------------------------------------------------------------------------------------------- OpenTelemetry

# Our option -> the attribute of the semantic conventions.
_OPTIONS = {
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "max_tokens": "gen_ai.request.max_tokens",
    "model": "gen_ai.request.model",
    "n": "gen_ai.request.choice.count",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
    "stop": "gen_ai.request.stop_sequences",
    "temperature": "gen_ai.request.temperature",
    "top_k": "gen_ai.request.top_k",
    "top_p": "gen_ai.request.top_p",
}

# The variables that let OpenTelemetry's API load an SDK by itself.
_PROVIDERS = ("OTEL_PYTHON_TRACER_PROVIDER", "OTEL_PYTHON_METER_PROVIDER")
_PLACEHOLDERS = frozenset({"ProxyTracerProvider", "_ProxyMeterProvider", "NoOpTracerProvider", "NoOpMeterProvider"})


def spans_are_kept(trace: Any) -> bool:
    """Return whether spans go anywhere; OpenTelemetry's API is often installed without an SDK.

    Args:
        trace: `opentelemetry.trace`.
    """
    # Its own function looks for an environment variable each time, which takes as long as a small request does to be
    # written. What that names was set up when the first tracer was made.
    if getattr(trace, "_TRACER_PROVIDER", trace) is None:
        return False
    return type(trace.get_tracer_provider()).__name__ not in _PLACEHOLDERS


def _metrics_are_kept(metrics: Any) -> bool:
    if getattr(getattr(metrics, "_internal", metrics), "_METER_PROVIDER", metrics) is None:
        return False
    return type(metrics.get_meter_provider()).__name__ not in _PLACEHOLDERS


@dataclass(frozen=True, slots=True)
class _Telemetry:
    api: Any
    metrics_api: Any
    tracer: Tracer
    duration: Histogram
    tokens: Histogram

    @property
    def is_set_up(self) -> bool:
        """Whether spans or metrics go anywhere; the API is often installed without an SDK."""
        # Asked at each call: an SDK may be set up at any time.
        return spans_are_kept(self.api) or _metrics_are_kept(self.metrics_api)

    def start(self, started: CallStarted) -> Span:
        attributes = {name: started.options[option] for option, name in _OPTIONS.items() if option in started.options}
        return self.tracer.start_span(
            f"{started.operation} {started.target}",
            kind=self.api.SpanKind.CLIENT,
            attributes={**_common(started), **attributes},
        )

    def end(self, span: Span, ended: CallEnded) -> None:
        common = _common(ended.started)
        if ended.model:
            common["gen_ai.response.model"] = ended.model
            span.set_attribute("gen_ai.response.model", ended.model)
        if ended.finish_reason:
            span.set_attribute("gen_ai.response.finish_reasons", [ended.finish_reason])
        if ended.info and ended.info.request_id:
            span.set_attribute("aws.request_id", ended.info.request_id)
        for kind, count in _counts(ended.usage):
            span.set_attribute(f"gen_ai.usage.{kind}_tokens", count)
            self.tokens.record(count, {**common, "gen_ai.token.type": kind})
        if ended.error is not None:
            kind = type(ended.error).__name__
            common["error.type"] = kind
            span.set_attribute("error.type", kind)
            # The class alone: a container's message may quote the prompt.
            span.set_status(self.api.Status(self.api.StatusCode.ERROR, kind))
        self.duration.record(ended.seconds, common)
        span.end()


def _set_up() -> _Telemetry | None:
    # Whoever sets up an SDK has imported it, or names it in a variable. Others do not wait until its API is loaded.
    if "opentelemetry" not in sys.modules and not any(name in os.environ for name in _PROVIDERS):
        return None
    telemetry = _telemetry()
    return telemetry if telemetry is not None and telemetry.is_set_up else None


@cache
def _telemetry() -> _Telemetry | None:
    try:
        from opentelemetry import metrics, trace
    except ImportError:
        return None
    meter = metrics.get_meter("sagewire")
    return _Telemetry(
        trace,
        metrics,
        trace.get_tracer("sagewire"),
        meter.create_histogram("gen_ai.client.operation.duration", "s", "Duration of calls."),
        meter.create_histogram("gen_ai.client.token.usage", "{token}", "Tokens of calls."),
    )


def _common(started: CallStarted) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": started.operation,
        "gen_ai.provider.name": started.provider,
        "gen_ai.request.model": started.options.get("model") or started.target,
    }


def _counts(usage: Usage | None) -> Iterator[tuple[str, int]]:
    if usage is not None and usage.prompt_tokens is not None:
        yield "input", usage.prompt_tokens
    if usage is not None and usage.completion_tokens is not None:
        yield "output", usage.completion_tokens


if not TYPE_CHECKING:
    __getattr__ = missing(__name__, __all__)
