"""What goes wrong, and the one right outcome of each: the faults of sagewire's emulator as the peers meet them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FULL", "LIMIT", "PATIENCE", "ROWS", "TEXT", "TYPED", "FaultRow"]

# What every endpoint answers: characters of one, two, three and four bytes.
TEXT = "Grüße, 世界 🎉! One two three four."
FULL, TYPED = "full text", "typed error"
# Seconds everybody was told to wait for the server, and those after which a call counts as hanging: three attempts
# with boto3's longest pauses between them end before that.
PATIENCE, LIMIT = 0.6, 8.0


@dataclass(frozen=True)
class FaultRow:
    """One fault: as the emulator is told of it, in which kind of call it can occur, and what is right then."""

    fault: str
    mode: str
    right: str


# Bytes that are all there, however they come.
CUTS = ["crlf", "cut_utf8", "keep_alive", "merge:3", "no_final_newline", "slow_loris:0", "slow_tokens:0.002"]
CUTS += ["split_bytes", "split_random:7"]
HARMLESS = ["slow_start:0.1", "wrong_content_type"]
# Nothing was generated yet: trying again is right, and so is an error where it never ends.
PASSING = ["dependency_failure", "html_502", "internal_failure", "no_capacity", "not_ready", "reset", "throttle"]
PASSING += ["too_many_requests", "unavailable"]
REFUSED = ["access_denied", "container_error", "container_html", "empty_body", "error_mid_stream:3"]
REFUSED += ["invocation_timeout", "never_answer", "slow_loris:30", "slow_start:30", "truncated_json"]
BROKEN = ["bad_crc:3", "hang:3", "internal_stream_failure:3", "model_stream_error:3", "truncate_frame:3"]
BROKEN += ["truncate_stream:3", "unmodelled_error:3"]

ROWS = [
    *(FaultRow(fault, "stream", FULL) for fault in CUTS),
    *(FaultRow(fault, mode, FULL) for mode in ("whole", "stream") for fault in HARMLESS),
    *(FaultRow(f"{fault}:1", mode, FULL) for mode in ("whole", "stream") for fault in PASSING),
    *(FaultRow(fault, mode, TYPED) for mode in ("whole", "stream") for fault in [*PASSING, *REFUSED]),
    *(FaultRow(fault, "stream", TYPED) for fault in [*BROKEN, "close_mid_frame:3", "reset_mid_stream:3"]),
    *(FaultRow(fault, "whole", TYPED) for fault in ("close_mid_frame", "reset_mid_stream")),
]
