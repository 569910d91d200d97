"""Name the endpoint, and it is a first-class model in every framework.

    >>> from sagewire import Client
    >>> client = Client("my-llama", handler="tgi", format="llama3_1")  # doctest: +SKIP
    >>> client.chat("Why is the sky blue?", max_tokens=200).text  # doctest: +SKIP
    'Because air scatters blue light more than red.'

Importing this package imports neither boto3 nor a framework; names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Public name -> the module it lives in.
_HOMES = {
    "AccessDenied": "sagewire.errors",
    "AsyncClient": "sagewire.client.async_client",
    "AsyncInference": "sagewire.client.transport_choices",
    "AsyncReplyStream": "sagewire.client.streams",
    "Boto3": "sagewire.client.transport_choices",
    "Capabilities": "sagewire.content_handlers",
    "Choice": "sagewire.types",
    "Client": "sagewire.client.sync_client",
    "ContentHandler": "sagewire.content_handlers",
    "CredentialsExpired": "sagewire.errors",
    "Delta": "sagewire.types",
    "EmbeddingHandler": "sagewire.content_handlers",
    "Embeddings": "sagewire.types",
    "EndpointError": "sagewire.errors",
    "EndpointNotFound": "sagewire.errors",
    "EndpointTimeout": "sagewire.errors",
    "EventReader": "sagewire.content_handlers",
    "FinishDelta": "sagewire.types",
    "FrameError": "sagewire.errors",
    "Hooks": "sagewire.telemetry",
    "Http": "sagewire.client.transport_choices",
    "ImagePart": "sagewire.types",
    "MediaPart": "sagewire.types",
    "parse_arguments": "sagewire.types",
    "JsonHandler": "sagewire.content_handlers",
    "LogprobsDelta": "sagewire.types",
    "Message": "sagewire.types",
    "MetadataDelta": "sagewire.types",
    "MissingExtra": "sagewire.errors",
    "ModelError": "sagewire.errors",
    "ModelStreamError": "sagewire.errors",
    "NotReady": "sagewire.errors",
    "Options": "sagewire.types",
    "PayloadTooLarge": "sagewire.errors",
    "PromptFormat": "sagewire.prompt_formats",
    "RankedDocument": "sagewire.types",
    "Ranking": "sagewire.types",
    "Reply": "sagewire.types",
    "ReplyStream": "sagewire.client.streams",
    "RerankHandler": "sagewire.content_handlers",
    "ResponseInfo": "sagewire.types",
    "ResponseTooLarge": "sagewire.errors",
    "Retries": "sagewire.transports.base",
    "SagewireError": "sagewire.errors",
    "StreamTruncated": "sagewire.errors",
    "TextDelta": "sagewire.types",
    "TextPart": "sagewire.types",
    "ThinkingDelta": "sagewire.types",
    "Throttled": "sagewire.errors",
    "ToolCallMissing": "sagewire.errors",
    "Timeouts": "sagewire.http.deadlines",
    "Tool": "sagewire.types",
    "ToolCall": "sagewire.types",
    "ToolCallDelta": "sagewire.types",
    "UnsupportedFeature": "sagewire.errors",
    "Usage": "sagewire.types",
    "UsageDelta": "sagewire.types",
    "UsageError": "sagewire.errors",
    "WireError": "sagewire.errors",
    "assume_role_session": "sagewire.aws.session",
    "get_format": "sagewire.prompt_formats",
    "get_handler": "sagewire.content_handlers",
}

if TYPE_CHECKING:
    from sagewire.aws.session import assume_role_session
    from sagewire.client.async_client import AsyncClient
    from sagewire.client.streams import AsyncReplyStream, ReplyStream
    from sagewire.client.sync_client import Client
    from sagewire.client.transport_choices import AsyncInference, Boto3, Http
    from sagewire.content_handlers import (
        Capabilities,
        ContentHandler,
        EmbeddingHandler,
        EventReader,
        JsonHandler,
        RerankHandler,
        get_handler,
    )
    from sagewire.errors import (
        AccessDenied,
        CredentialsExpired,
        EndpointError,
        EndpointNotFound,
        EndpointTimeout,
        FrameError,
        MissingExtra,
        ModelError,
        ModelStreamError,
        NotReady,
        PayloadTooLarge,
        ResponseTooLarge,
        SagewireError,
        StreamTruncated,
        Throttled,
        ToolCallMissing,
        UnsupportedFeature,
        UsageError,
        WireError,
    )
    from sagewire.http.deadlines import Timeouts
    from sagewire.prompt_formats import PromptFormat, get_format
    from sagewire.telemetry import Hooks
    from sagewire.transports.base import Retries
    from sagewire.types import (
        Choice,
        Delta,
        Embeddings,
        FinishDelta,
        ImagePart,
        LogprobsDelta,
        MediaPart,
        Message,
        MetadataDelta,
        Options,
        RankedDocument,
        Ranking,
        Reply,
        ResponseInfo,
        TextDelta,
        TextPart,
        ThinkingDelta,
        Tool,
        ToolCall,
        ToolCallDelta,
        Usage,
        UsageDelta,
        parse_arguments,
    )

__all__ = [
    "AccessDenied",
    "AsyncClient",
    "AsyncInference",
    "AsyncReplyStream",
    "Boto3",
    "Capabilities",
    "Choice",
    "Client",
    "ContentHandler",
    "CredentialsExpired",
    "Delta",
    "EmbeddingHandler",
    "Embeddings",
    "EndpointError",
    "EndpointNotFound",
    "EndpointTimeout",
    "EventReader",
    "FinishDelta",
    "FrameError",
    "Hooks",
    "Http",
    "ImagePart",
    "JsonHandler",
    "LogprobsDelta",
    "MediaPart",
    "Message",
    "MetadataDelta",
    "MissingExtra",
    "ModelError",
    "ModelStreamError",
    "NotReady",
    "Options",
    "PayloadTooLarge",
    "PromptFormat",
    "RankedDocument",
    "Ranking",
    "Reply",
    "ReplyStream",
    "RerankHandler",
    "ResponseInfo",
    "ResponseTooLarge",
    "Retries",
    "SagewireError",
    "StreamTruncated",
    "TextDelta",
    "TextPart",
    "ThinkingDelta",
    "Throttled",
    "Timeouts",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolCallMissing",
    "UnsupportedFeature",
    "Usage",
    "UsageDelta",
    "UsageError",
    "WireError",
    "__version__",
    "assume_role_session",
    "get_format",
    "get_handler",
    "parse_arguments",
]


if not TYPE_CHECKING:
    # Type checkers would take every name for one of this module's.
    def __getattr__(name: str) -> Any:
        home = _HOMES.get(name)
        if home is None:
            from sagewire._names import missing_name

            raise missing_name(__name__, name, __all__)
        value = getattr(import_module(home), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
