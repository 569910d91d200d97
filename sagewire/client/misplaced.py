"""Arguments that a method of a client does not have, or is called without: the error says what to write instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from sagewire.errors import UsageError, unknown_name

__all__ = [
    "EMBED_ARGUMENTS",
    "METHODS_OF_OTHERS",
    "REQUIRED",
    "RERANK_ARGUMENTS",
    "Misplaced",
    "check_endpoint_kwargs",
    "explains_missing",
    "refuse_misplaced",
]

F = TypeVar("F", bound=Callable[..., Any])


class Misplaced:
    """The type of arguments that a method does not take: it has no objects, so type checkers refuse every value.

    With `Never` mypy could not join the types of two methods, as in `client.chat if ... else client.complete`.
    """


class _Required:
    def __repr__(self) -> str:
        return "<required>"


REQUIRED: Any = _Required()

_SHARED = ("endpoint_kwargs", "extra")
EMBED_ARGUMENTS = (
    *("texts", "input_type", "dimensions", "truncate", "normalize", "model", "max_concurrency", "progress"),
    *_SHARED,
)
RERANK_ARGUMENTS = ("query", "documents", "top_n", *_SHARED)
# How each method is called.
_CALLS = {
    "chat": "client.chat('Hi'), or client.chat([{'role': 'user', 'content': 'Hi'}], max_tokens=100)",
    "stream": "client.stream('Hi'), or client.stream([{'role': 'user', 'content': 'Hi'}], max_tokens=100)",
    "complete": "client.complete('Once upon a time', max_tokens=100)",
    "stream_complete": "client.stream_complete('Once upon a time', max_tokens=100)",
    "embed": "client.embed(['one text', 'another'])",
    "rerank": "client.rerank('a question', ['one text', 'another'], top_n=1)",
}
# Names under which other libraries take the first argument.
_FIRST = (
    *("message", "prompt", "input", "inputs", "text", "query", "question", "content", "history", "conversation"),
    *("user", "texts", "documents", "docs", "sentences", "passages"),
)
# Arguments of other libraries' calls for vectors and rankings.
_MEANT = {
    "batch_size": "leave it out: batches are as large as the container takes; see max_concurrency=",
    "convert_to_numpy": "leave it out, and use embeddings.as_numpy()",
    "encoding_format": "leave it out: vectors are lists of floats, or embeddings.as_numpy()",
    "max_workers": "use max_concurrency=",
    "normalise": "use normalize=",
    "normalize_embeddings": "use normalize=",
    "show_progress": "use progress=True",
    "show_progress_bar": "use progress=True",
    "stream": "leave it out: vectors come as a whole",
    "task": "use input_type=",
    "top_k": "use top_n=",
    "return_documents": "leave it out: ranked.index is the number of the document in your list",
}

_CHAT = "use client.chat(messages)"
_ASYNC = "use sagewire.AsyncClient, whose methods are awaited: `await client.chat(messages)`"
# Methods of other libraries' clients, and the way to say it here.
METHODS_OF_OTHERS = {
    **dict.fromkeys(
        ("ask", "call", "converse", "create", "generate", "invoke", "predict", "query", "run", "send"), _CHAT
    ),
    **dict.fromkeys(("generate_content", "text_generation", "chat_completion", "message", "messages", "reply"), _CHAT),
    **dict.fromkeys(("achat", "acomplete", "acreate", "aembed", "agenerate", "ainvoke", "apredict"), _ASYNC),
    "astream": "use sagewire.AsyncClient: `async for text in client.stream(messages).text`",
    "batch": "call client.chat in threads, AsyncClient.chat in tasks, or `sagewire bulk run` for a file",
    "completion": "use client.complete(prompt) for plain text, client.chat(messages) for a conversation",
    "completions": "that is OpenAI's client: sagewire.integrations.openai.openai_client('my-endpoint') returns one",
    "embed_documents": "use client.embed(texts)",
    "embed_query": "use client.embed([text])",
    "embedding": "use client.embed(texts)",
    "embeddings": "use client.embed(texts)",
    "encode": "use client.embed(texts)",
    "invoke_endpoint": "use client.chat(messages), or boto3 for a body of your own",
    "options": "give settings with the call, client.chat(messages, max_tokens=100), or as Client(..., options={...})",
    "responses": "that is OpenAI's client: sagewire.integrations.openai.openai_client('my-endpoint') returns one",
    "stream_chat": "use client.stream(messages)",
}


def explains_missing(method: F) -> F:
    """Let a method run without its positional arguments, so that `refuse_misplaced` can say what is missing.

    Type checkers see the method as it is written.
    """
    code = method.__code__
    count = code.co_argcount - (code.co_varnames[:1] == ("self",))
    method.__defaults__ = (REQUIRED,) * count
    return method


def refuse_misplaced(
    method: str,
    given: Mapping[str, Any],
    misplaced: Sequence[object] = (),
    others: Mapping[str, Any] | None = None,
    known: Sequence[str] = (),
) -> None:
    """Raise `UsageError` if arguments are missing, too many, or unknown.

    Args:
        method: The method's name.
        given: Its positional arguments; `REQUIRED` marks one that is missing.
        misplaced: Further positional arguments.
        others: The arguments with a name that are not among its own.
        known: The names of its own, for a suggestion; empty if the caller checks `others` itself.
    """
    others = others or {}
    if misplaced:
        names = " and ".join(given)
        settings = "; a system text goes into the messages" if method in ("chat", "stream") else ""
        raise UsageError(
            f"{method}() takes {names} without a name, and everything else by name{settings}: {_CALLS[method]}"
        )
    for name, value in given.items():
        if value is REQUIRED:
            instead = next((other for other in _FIRST if other in others), None)
            said = f", not as {instead}=" if instead else ""
            raise UsageError(f"{method}() needs its {name} first{said}: {_CALLS[method]}")
    for name in others if known else ():
        if name in _MEANT:
            raise UsageError(f"{method}() has no argument {name!r}: {_MEANT[name]}")
        raise UsageError(unknown_name(name, known, f"argument of {method}()"))


def check_endpoint_kwargs(value: Any) -> None:
    """Raise `UsageError` if the InvokeEndpoint parameters are not a mapping."""
    if value is not None and not isinstance(value, Mapping):
        raise UsageError(f"endpoint_kwargs={value!r:.60} must be a mapping, for example {{'TargetVariant': 'blue'}}")
