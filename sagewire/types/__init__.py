"""The values that travel through sagewire: frozen, slotted, and free of any framework's types.

Requests go in as `ChatRequest` or `PromptRequest`, become an `Invocation` (bytes and headers, nothing sent yet), and
come back as a list of `Delta` values. A `Reply` is the fold of its deltas, whether they arrived one by one or at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagewire._names import missing
from sagewire.types.arguments import parse_arguments, sendable_arguments
from sagewire.types.conversation import (
    ImagePart,
    MediaPart,
    Message,
    Part,
    Role,
    TextPart,
    Tool,
    ToolCall,
)
from sagewire.types.openai_shape import as_message, as_messages, as_tool, as_tool_choice, as_tools
from sagewire.types.replies import (
    Choice,
    Delta,
    FinishDelta,
    FinishReason,
    LogprobsDelta,
    MetadataDelta,
    Reply,
    ResponseInfo,
    TextDelta,
    ThinkingDelta,
    Timings,
    TokenLogprob,
    ToolCallDelta,
    Usage,
    UsageDelta,
)
from sagewire.types.requests import (
    ChatRequest,
    Invocation,
    OptionArguments,
    Options,
    PromptRequest,
    make_options,
)
from sagewire.types.vectors import (
    Embeddings,
    EmbedOptions,
    InputType,
    RankedDocument,
    Ranking,
)

__all__ = [
    "ChatRequest",
    "Choice",
    "Delta",
    "EmbedOptions",
    "Embeddings",
    "FinishDelta",
    "FinishReason",
    "ImagePart",
    "InputType",
    "Invocation",
    "LogprobsDelta",
    "MediaPart",
    "Message",
    "MetadataDelta",
    "OptionArguments",
    "Options",
    "Part",
    "PromptRequest",
    "RankedDocument",
    "Ranking",
    "Reply",
    "ResponseInfo",
    "Role",
    "TextDelta",
    "TextPart",
    "ThinkingDelta",
    "Timings",
    "TokenLogprob",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "Usage",
    "UsageDelta",
    "as_message",
    "as_messages",
    "as_tool",
    "as_tool_choice",
    "as_tools",
    "make_options",
    "parse_arguments",
    "sendable_arguments",
]

if not TYPE_CHECKING:
    __getattr__ = missing(__name__, __all__)
