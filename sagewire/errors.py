"""Everything sagewire raises on purpose.

    SagewireError
    |- UsageError(ValueError)            you: bad options, unknown names; the message lists the known ones
    |- MissingExtra(ImportError)         you: an optional dependency is not installed
    |- UnsupportedFeature                this wire or format cannot express the request; nothing is dropped silently
    |- EndpointError                     the service returned an error
    |  |- EndpointNotFound               the endpoint, component or model does not exist
    |  |- AccessDenied                   the credentials lack a permission
    |  |- CredentialsExpired             the credentials were valid once
    |  |- Throttled                      too many calls
    |  |- NotReady                       creating, loading, or scaled to zero
    |  |- PayloadTooLarge                more bytes than the service takes
    |  |- EndpointTimeout(TimeoutError)  connect, first byte, between bytes, or in total
    |  `- ModelError                     the container failed; carries its own status and message
    `- WireError                         the answer cannot be read as the handler's format
       |- FrameError                     a checksum, a length, or an encoding is wrong
       |- ModelStreamError               an error inside the stream, with its error code
       |- ResponseTooLarge               the answer is longer than the caller allows
       |- StreamTruncated                the stream ended early
       `- ToolCallMissing                the model had to call a tool and did not

Errors raised while an answer is being read carry what was read so far in `partial`. Tracebacks leave out the way that
an error took inside sagewire; the environment variable `SAGEWIRE_TRACEBACKS=full` brings it back.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    from sagewire.types.replies import Reply

__all__ = [
    "AccessDenied",
    "CredentialsExpired",
    "EndpointError",
    "EndpointNotFound",
    "EndpointTimeout",
    "FrameError",
    "MissingExtra",
    "ModelError",
    "ModelStreamError",
    "NotReady",
    "PayloadTooLarge",
    "ResponseTooLarge",
    "SagewireError",
    "StreamTruncated",
    "Throttled",
    "ToolCallMissing",
    "UnsupportedFeature",
    "UsageError",
    "WireError",
    "close_names",
    "combined",
    "concise",
    "excerpt",
    "unknown_name",
    "why_unreadable",
]

E = TypeVar("E", bound=BaseException)

EXCERPT_CHARACTERS = 300
_SEARCHED = 4_000
# The statuses of servers over HTTP that refuse a conversation for its length.
_REFUSALS = frozenset({400, 413, 422})
# So many known names are listed beside a suggestion.
_LISTED = 12
# How servers say that a conversation is too long: vLLM, SGLang and OpenAI; TGI; LMI; llama.cpp.
_TOO_LONG = re.compile(
    r"maximum context length|context[_ ]length[_ ]exceeded|longer than the model's context|exceeds? the (available )?"
    r"context|must be <= \d+\. Given: \d+ `inputs`|`inputs` must have less than|prompt is too long"
    r"|input.{0,40}exceeds.{0,40}(max_model_len|max_length|maximum.{0,10}length)",
    re.IGNORECASE,
)


def excerpt(data: bytes | str, limit: int = EXCERPT_CHARACTERS) -> str:
    """Return the start of a body as printable text, cut at `limit` characters, for an error message."""
    text = data[: 4 * limit].decode("utf-8", "replace") if isinstance(data, bytes) else data
    text = "".join(c if c.isprintable() else " " for c in text[: limit + 1])
    return text if len(text) <= limit else f"{text[:limit]}..."


def unknown_name(name: str, known: Iterable[str], kind: str) -> str:
    """Return the sentence for an unknown name: the close ones, and all of them if they are few or none is close.

    Example:
        >>> unknown_name("lim", ["lmi", "tgi"], "handler")
        "unknown handler 'lim'; did you mean 'lmi'? Known: lmi, tgi"
    """
    names = sorted(known)
    close = close_names(name, names)
    if close and len(names) > _LISTED:
        return f"unknown {kind} {name!r}; did you mean {' or '.join(map(repr, close))}?"
    hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else "."
    return f"unknown {kind} {name!r}{hint} Known: {', '.join(names)}"


def why_unreadable(error: OSError | UnicodeDecodeError) -> str:
    """Return why a file cannot be read, without its name and the number of the error.

    Example:
        >>> why_unreadable(IsADirectoryError(21, "Is a directory", "settings.toml"))
        'Is a directory'
    """
    if isinstance(error, UnicodeDecodeError):
        return f"it is not text in {error.encoding.upper()}"
    return error.strerror or str(error)


def close_names(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Return the known names nearest to a misspelt one, whatever the case, the separators and the blanks around it.

    Example:
        >>> close_names("Llama-3.1", ["llama3_1", "llama2", "gemma"], 1)
        ['llama3_1']
    """
    plain = {_plain(each): each for each in known}
    if same := plain.get(_plain(name)):
        return [same]
    return [plain[each] for each in difflib.get_close_matches(_plain(name), plain, n=count, cutoff=0.6)]


def _plain(name: str) -> str:
    return re.sub(r"[\s_.-]+", "", name).lower()


def concise(error: E) -> E:
    """Return an error whose traceback begins anew: not with the way it took inside sagewire, nor with its causes.

    The message names the cause; the objects themselves are still there, in `__context__`. With the environment
    variable `SAGEWIRE_TRACEBACKS=full` all of it is shown.
    """
    if os.environ.get("SAGEWIRE_TRACEBACKS") != "full":
        error.__context__ = error.__cause__ or error.__context__
        # This suppresses the context, too.
        error.__cause__ = None
        error.__traceback__ = None
    return error


class SagewireError(Exception):
    """The base class of all errors of sagewire.

    Attributes:
        partial: The answer as far as it had been read, or `None`.
        texts_answered: If `embed` or `rerank` fails between its batches: how many texts had been answered.
        texts_in_flight: How many more were on their way then.
    """

    partial: Reply | None = None
    texts_answered: int = 0
    texts_in_flight: int = 0


class UsageError(SagewireError, ValueError):
    """A wrong call; the message ends with the cure."""


class MissingExtra(SagewireError, ImportError):
    """A missing optional dependency; the message names the extra that brings it."""


class UnsupportedFeature(SagewireError):
    """A request that the wire or the prompt format cannot express.

    Args:
        feature: The requested feature, for example "tools".
        where: The component that cannot do it, for example "handler 'tgi'".
        cure: The alternative, as a sentence.
    """

    def __init__(self, feature: str, where: str, cure: str = "") -> None:
        self.feature = feature
        self.where = where
        self.cure = cure
        super().__init__(f"{where} cannot express {feature}." + (f" {cure}" if cure else ""))

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.feature, self.where, self.cure), dict(self.__dict__)


class EndpointError(SagewireError):
    """An error that the service returned.

    Attributes:
        body: The body of the answer as text, at most 20,000 characters; for a SageMaker endpoint the container's own.

    Args:
        message: The service's own message, and the cure if there is one.
        code: The service's error code, for example `ThrottlingException`.
        status: The HTTP status, `None` if no response arrived.
        request_id: The service's id of the request.
        fault: The side at fault: `client`, `service` or `model`.
        retry_safe: Whether the same call may succeed later without any change.
        retry_after: Seconds the service asked to wait, if it did.
    """

    body: str = ""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
        fault: Literal["client", "service", "model"] = "service",
        retry_safe: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status
        self.request_id = request_id
        self.fault = fault
        self.retry_safe = retry_safe
        self.retry_after = retry_after

    @property
    def context_exceeded(self) -> bool:
        """Whether the server said that the conversation is longer than the model's context."""
        return self.status in _REFUSALS and _TOO_LONG.search(self.message[:_SEARCHED]) is not None

    def __str__(self) -> str:
        return f"{self.message} (request id {self.request_id})" if self.request_id else self.message

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments defeat the default pickling of exceptions.
        return _rebuild, (type(self), self.message, dict(self.__dict__))


def _rebuild(cls: type[EndpointError], message: str, state: dict[str, object]) -> EndpointError:
    error = cls.__new__(cls, message)
    error.args = (message,)
    error.__dict__.update(state)
    return error


class EndpointNotFound(EndpointError):
    """An endpoint, inference component or model that does not exist in that region."""


class AccessDenied(EndpointError):
    """Credentials that are missing, wrong, or lack a permission.

    Attributes:
        clock_skew: Seconds by which the server's clock is ahead of this machine's, if that may be the reason.
    """

    clock_skew: float | None = None


class CredentialsExpired(AccessDenied):
    """Credentials that have expired."""


class Throttled(EndpointError):
    """Too many calls; try again after `retry_after` seconds if it is given."""


class NotReady(EndpointError):
    """An endpoint that exists but cannot answer yet: creating, loading, or scaled to zero."""


class PayloadTooLarge(EndpointError):
    """A request that is larger than the service or the container takes."""


class EndpointTimeout(EndpointError, TimeoutError):
    """A missed deadline; `code` names it: `connect`, `first_byte`, `idle` or `total`."""


class ModelError(EndpointError):
    """A failure of the container.

    Attributes:
        original_status: The container's own HTTP status; 0 if SageMaker gave up waiting.
        original_message: The container's own message, parsed out of its error body if possible.
        log_stream_arn: The ARN of the container's log stream.
    """

    original_status: int | None = None
    original_message: str = ""
    log_stream_arn: str | None = None

    @property
    def context_exceeded(self) -> bool:
        """Whether the container said that the conversation is longer than the model's context."""
        return _TOO_LONG.search((self.original_message or self.message)[:_SEARCHED]) is not None


class WireError(SagewireError):
    """An answer that cannot be read as the handler's format; the message carries an excerpt, never the whole body."""


class FrameError(WireError):
    """A wrong checksum, length or character encoding: the bytes were damaged on the way."""


class ModelStreamError(WireError):
    """An error that the service or the container reported inside a running stream.

    Args:
        message: The error's own message.
        code: Its code, for example `ModelInvocationTimeExceeded` or `StreamBroken`.
    """

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(f"{message} ({code})" if code else message)
        self.message = message
        self.code = code

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.message, self.code), dict(self.__dict__)


class ResponseTooLarge(WireError):
    """An answer longer than `max_response_bytes`; the rest was not read."""


class StreamTruncated(WireError):
    """A stream that ended before the answer did."""


class ToolCallMissing(WireError):
    """An answer without the required tool call; it is in `partial`."""


_COMBINED: dict[tuple[type[Exception], ...], type[SagewireError]] = {}


def combined(*kinds: type[Exception]) -> type[SagewireError]:
    """Return the class of errors that are of all these kinds; the first is one of sagewire's.

    It is for `except` clauses of programs that know another library's exceptions.

    Example:
        >>> issubclass(combined(Throttled, LookupError), LookupError)
        True
    """
    parts = tuple(dict.fromkeys(part for kind in kinds for part in getattr(kind, "_parts", (kind,))))
    known = _COMBINED.get(parts)
    if known is not None:
        return known
    # `KeyError` shows its message in quotes.
    own = {name: getattr(parts[0], name) for name in ("__module__", "__doc__", "__str__")}
    members = {**own, "__reduce__": _reduce, "_parts": parts}
    # `setdefault`: two threads that get here together must end up with one class.
    return _COMBINED.setdefault(parts, type(parts[0].__name__, parts, members))


def _reduce(error: Any) -> tuple[object, ...]:
    # The class has no module to be imported from: a pickle names its parents.
    return _restore, (tuple(map(_importable, error._parts)), error.args, dict(error.__dict__))


def _restore(parts: tuple[type[Exception], ...], args: tuple[Any, ...], state: dict[str, Any]) -> SagewireError:
    kind = combined(*parts)
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


def _importable(kind: type[Exception]) -> Any:
    """Return the nearest class that a pickle can name; botocore makes some of its own at run time."""
    for each in kind.__mro__:
        if getattr(sys.modules.get(each.__module__), each.__qualname__, None) is each:
            return each
    return Exception
