"""The connection to an HTTP server, under the names of LlamaIndex's own Hugging Face, TGI and TEI classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from llama_index.core.bridge.pydantic import Field

from sagewire.client.transport_choices import Http
from sagewire.errors import UsageError
from sagewire.integrations._addresses import ROUTER, routed
from sagewire.integrations._secret_fields import SecretHeaders, SecretToken, SecretUrl, revealed
from sagewire.integrations.llama_index._connection import Connection, one_of
from sagewire.types.secret import reveal

__all__ = ["HuggingFaceConnection"]

_SCHEMES = ("http://", "https://")


class HuggingFaceConnection(Connection):
    """Any HTTP server: a Hugging Face Inference Endpoint, the router, TGI, vLLM, TEI, llama.cpp, Ollama.

    Args:
        url: The server's base URL (also `base_url`, `endpoint_url`, `model_url`).
        token: Bearer token, or a function that returns one, sent to that host only. Without one, or with `True`, the
            user's own Hugging Face token is sent to Hugging Face's own hosts; with `False` none is.
        model: A served model name, if the server has several. Without a `url` it is an address, or a model's id on the
            Hub, which stands for Hugging Face's inference providers.
        provider: One of these providers.
        headers: Further headers of every request.
        cookies: Cookies of every request.
        task: The pipeline task.
    """

    url: SecretUrl = Field(description="The server's base URL.")
    token: SecretToken = Field(default=None, exclude=True, repr=False)
    model: str | None = Field(default=None, description="A served model name, if the server has several.")
    headers: SecretHeaders = Field(default=None, exclude=True, repr=False)
    cookies: SecretHeaders = Field(default=None, exclude=True, repr=False)
    task: str | None = Field(default=None, description="The pipeline task, as on the Hugging Face Hub.")

    secret_fields = ("token", "headers", "cookies")
    tasks: ClassVar[tuple[str, ...]] = ()

    def __init__(self, url: str = "", **data: Any) -> None:
        given = one_of({"url": url or None, **data}, "url", "base_url", "endpoint_url", "model_url")
        if isinstance(given.get("token"), bool):
            given["token"] = None if given["token"] else ""
        given = self._with_address(given)
        if not given.get("url"):
            raise UsageError("name the server: url='https://...'")
        self._check_task(given.get("task"))
        super().__init__(**given)

    def _with_address(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments with the address that `model` and `provider` stand for."""
        rest = dict(given)
        provider, model = rest.pop("provider", None), rest.get("model")
        if rest.get("url") is None and isinstance(model, str):
            if not model.startswith(_SCHEMES):
                return rest | self._hosted(model, provider, rest)
            rest |= {"url": model, "model": None}
        if provider not in (None, "auto", "hf-inference"):
            raise UsageError(f"provider={provider!r} has no effect beside the address of a server; leave it out")
        return rest

    @classmethod
    def _hosted(cls, model: str, provider: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments that reach a model by its id on the Hub."""
        return {"url": ROUTER, "model": routed(model, provider), "content_handler": "openai_chat"}

    @classmethod
    def _check_task(cls, task: str | None) -> None:
        if task is not None and task not in cls.tasks:
            known = f"known: {', '.join(cls.tasks)}" if cls.tasks else "leave it out"
            raise UsageError(f"task={task!r} is not a task of {cls.__name__}; {known}")

    def _client_arguments(self) -> dict[str, Any]:
        headers, token = revealed(self.headers), reveal(self.token)
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in revealed(self.cookies).items())
        if not headers and not callable(token):
            return {**super()._client_arguments(), "url": reveal(self.url), "token": token}
        return {**super()._client_arguments(), "transport": Http(self.url, token=token, headers=headers)}
