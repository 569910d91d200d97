"""From bytes to deltas: decoders that are fed and never wait, and the fold of a stream into a reply.

The usual chain is `EventStreamDecoder` (SageMaker's framing), `JsonEventDecoder` (server-sent events or JSON lines), a
content handler's own events, then `EchoStage`, `StopStage` and `ParserStage` on the text.
"""

from __future__ import annotations

from sagewire.streaming.accumulate import Accumulator, fold, unfold
from sagewire.streaming.base import BaseDecoder, Decoder, Pipeline, decode, finish, owed
from sagewire.streaming.call_ids import CallIdStage
from sagewire.streaming.events import JsonEventDecoder
from sagewire.streaming.eventstream import (
    EventStreamDecoder,
    encode_error,
    encode_exception,
    encode_message,
    encode_payload_part,
)
from sagewire.streaming.jsonlines import JsonDocumentsDecoder
from sagewire.streaming.sse import NamedEvent, SseDecoder
from sagewire.streaming.text import EchoStage, ParserStage, StopStage, Utf8Decoder

__all__ = [
    "Accumulator",
    "BaseDecoder",
    "CallIdStage",
    "Decoder",
    "EchoStage",
    "EventStreamDecoder",
    "JsonDocumentsDecoder",
    "JsonEventDecoder",
    "NamedEvent",
    "ParserStage",
    "Pipeline",
    "SseDecoder",
    "StopStage",
    "Utf8Decoder",
    "decode",
    "encode_error",
    "encode_exception",
    "encode_message",
    "encode_payload_part",
    "finish",
    "fold",
    "owed",
    "unfold",
]
