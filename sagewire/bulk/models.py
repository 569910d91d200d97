"""Which endpoint a model's name means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sagewire.client import AsyncClient, Client
from sagewire.errors import UnsupportedFeature, UsageError
from sagewire.http.abandonable import in_thread
from sagewire.types.secret import reveal

__all__ = ["open_model", "preflight"]

_ROUTER = "https://router.huggingface.co/v1"
_FORMS = "an endpoint's name, 'huggingface/ID-OR-URL' or a server's URL"


def open_model(model: Any, arguments: Mapping[str, Any], task: str) -> AsyncClient:
    """Return a client for a model.

    Args:
        model: An endpoint's name, `huggingface/ID-OR-URL`, a URL, or a client.
        arguments: More arguments for the client.
        task: The task of the job.

    Raises:
        UsageError: It is neither an endpoint's name nor a URL.
    """
    model = reveal(model)
    if isinstance(model, AsyncClient | Client):
        if arguments:
            raise UsageError(f"{', '.join(arguments)}: the client you gave has its arguments already")
        return model.to_async() if isinstance(model, Client) else model
    if not isinstance(model, str):
        raise UsageError(f"model: {type(model).__name__} is not a model; give {_FORMS}, or a client")
    # Retries are the job's business: it has to know of every refusal to find the right controller.
    given = {"retries": 1, **arguments}
    if model.startswith(("http://", "https://")):
        return AsyncClient(url=model, **given)
    kind, slash, name = model.partition("/")
    if not slash and model:
        kind, name = "sagemaker", model
    if kind == "sagemaker" and name and "/" not in name:
        return AsyncClient(name, **given)
    if kind == "huggingface" and name:
        return _hugging_face(name, given, task)
    raise UsageError(f"model={model!r} is not the name of an endpoint; write {_FORMS}")


def _hugging_face(name: str, arguments: dict[str, Any], task: str) -> AsyncClient:
    if name.startswith(("http://", "https://")):
        return AsyncClient(url=name, **arguments)
    if task == "chat":
        options = {**(arguments.pop("options", None) or {}), "model": name}
        return AsyncClient(url=_ROUTER, **{"handler": "openai_chat", **arguments, "options": options})
    raise UsageError(
        f"model='huggingface/{name}': Hugging Face's router serves chat; for {task} give the URL of an Inference "
        "Endpoint: huggingface/https://..."
    )


async def preflight(client: AsyncClient, task: str) -> None:
    """Detect the endpoint's container before the first row is sent.

    Raises:
        UnsupportedFeature: It does not do the task.
        UsageError: Its container is not recognised.
        EndpointError: It may not be described, or does not exist.
    """
    if not client.discovers:
        return
    profile = await in_thread(client.profile)
    able = {
        "chat": profile.chat or profile.complete,
        "complete": profile.complete or profile.chat,
        "embed": profile.embed,
        "rerank": profile.rerank,
    }
    if able[task] is None:
        can = ", ".join(name for name in able if able[name]) or "nothing"
        raise UnsupportedFeature(f"'{task}'", repr(client), f"It can: {can}. If that is wrong, name the handler.")
