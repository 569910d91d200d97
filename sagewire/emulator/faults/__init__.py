"""Faults on request.

A fault is asked for in an endpoint's specification (`faults=["throttle:2"]`), by a request header
(`X-Amzn-SageMaker-Custom-Attributes: sagewire-fault=throttle:2`), or by calling the endpoint under a name with a suffix
(`my-endpoint--throttle-2`). Arguments follow a colon and are separated by commas. Every fault's docstring has its
spelling and its effect.
"""

from __future__ import annotations

import re

from sagewire.emulator.faults import refusals, streams
from sagewire.emulator.faults.base import FaultInjection, FaultyEngine, Refused
from sagewire.errors import UsageError, unknown_name

__all__ = ["FAULTS", "FaultInjection", "FaultyEngine", "Refused", "asked_in_header", "make_fault", "split_suffix"]

FAULTS: dict[str, type[FaultInjection]] = {
    "access_denied": refusals.AccessDenied,
    "bad_crc": streams.BadCrc,
    "close_mid_frame": streams.CloseMidFrame,
    "container_error": refusals.ContainerError,
    "container_html": refusals.ContainerHtml,
    "crlf": streams.Crlf,
    "cut_utf8": streams.CutUtf8,
    "dependency_failure": refusals.DependencyFailure,
    "empty_body": streams.EmptyBody,
    "error_mid_stream": streams.ErrorMidStream,
    "hang": streams.Hang,
    "html_502": refusals.Html502,
    "internal_failure": refusals.InternalFailure,
    "internal_stream_failure": streams.InternalStreamFailure,
    "invocation_timeout": refusals.InvocationTimeout,
    "keep_alive": streams.KeepAlive,
    "merge": streams.Merge,
    "model_stream_error": streams.ModelStreamError,
    "never_answer": refusals.NeverAnswer,
    "no_capacity": refusals.NoCapacity,
    "no_final_newline": streams.NoFinalNewline,
    "not_ready": refusals.NotReady,
    "reset": refusals.Reset,
    "reset_mid_stream": streams.ResetMidStream,
    "slow_loris": streams.SlowLoris,
    "slow_start": refusals.SlowStart,
    "slow_tokens": streams.SlowTokens,
    "split_bytes": streams.SplitBytes,
    "split_random": streams.SplitRandom,
    "throttle": refusals.Throttle,
    "too_many_requests": refusals.TooManyRequests,
    "truncate_frame": streams.TruncateFrame,
    "truncate_stream": streams.TruncateStream,
    "truncated_json": streams.TruncatedJson,
    "unavailable": refusals.Unavailable,
    "unmodelled_error": streams.UnmodelledError,
    "wrong_content_type": streams.WrongContentType,
}

_HEADER = re.compile(r"sagewire-fault=([^;\s]+)")


def make_fault(text: str) -> FaultInjection:
    """Return the fault written as `NAME[:ARGUMENT]`.

    Raises:
        UsageError: The fault is unknown, or its argument is wrong.

    Example:
        >>> type(make_fault("throttle:2")).__name__
        'Throttle'
    """
    name, _, argument = text.partition(":")
    if name not in FAULTS:
        raise UsageError(unknown_name(name, FAULTS, "fault"))
    return FAULTS[name](argument)


def asked_in_header(custom_attributes: str) -> list[str]:
    """Return the faults that custom attributes ask for."""
    return _HEADER.findall(custom_attributes)


def split_suffix(name: str) -> tuple[str, str | None]:
    """Return an endpoint's name without the fault at its end, and the fault.

    Example:
        >>> split_suffix("chat--split-bytes-3")
        ('chat', 'split_bytes:3')
    """
    stem, mark, suffix = name.rpartition("--")
    if not mark:
        return name, None
    for fault in sorted(FAULTS, key=len, reverse=True):
        written = fault.replace("_", "-")
        if suffix == written:
            return stem, fault
        if suffix.startswith(f"{written}-"):
            return stem, f"{fault}:{suffix[len(written) + 1 :]}"
    return name, None
