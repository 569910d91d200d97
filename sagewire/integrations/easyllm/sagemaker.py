"""EasyLLM's `sagemaker` client.

Settings are variables of this module, read at each call:

    >>> from sagewire.integrations.easyllm import sagemaker
    >>> sagemaker.prompt_builder = "llama2"
    >>> sagemaker.ChatCompletion.create(  # doctest: +SKIP
    ...     model="my-llama", messages=[{"role": "user", "content": "What is 1 + 1?"}]
    ... )["choices"][0]["message"]["content"]
    '2'
    >>> sagemaker.prompt_builder = None

Attributes:
    prompt_builder: The name of a prompt builder, or a function from messages to the prompt; else `SAGEMAKER_PROMPT` or
        `HUGGINGFACE_PROMPT`. Without one the endpoint's own chat template is used.
    stop_sequences: Strings that end every answer.
    seed: The seed of every call; the second of several answers gets the next one. `None` for none.
    api_base: Another address, `https://.../endpoints` or that of a single endpoint.
    api_aws_access_key: AWS keys; else those that boto3 finds.
    api_aws_secret_key: The secret that goes with it.
    api_aws_session_token: The session token of temporary keys.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sagewire._names import missing
from sagewire.discovery.container_rules import ContainerProfile
from sagewire.errors import UsageError
from sagewire.integrations._addresses import runtime_address
from sagewire.integrations.easyllm import _resources
from sagewire.integrations.easyllm._service import Service

__all__ = ["ChatCompletion", "Completion", "Embedding"]

api_type = "sagemaker"
api_version = "2023-07-29"
api_base: str | None = None
api_aws_access_key: str | None = None
api_aws_secret_key: str | None = None
api_aws_session_token: str | None = None
prompt_builder: str | Callable[[Any], str] | None = None
stop_sequences: list[str] = []
seed: int | None = 42


class _SageMaker(Service):
    variables: ClassVar[Mapping[str, tuple[str, ...]]] = {"prompt_builder": ("SAGEMAKER_PROMPT", "HUGGINGFACE_PROMPT")}
    assumed: ClassVar[ContainerProfile | None] = ContainerProfile(
        "a TGI container, as EasyLLM assumes", chat="tgi", complete="tgi"
    )

    def arguments(self, model: str | None) -> dict[str, Any]:
        url, endpoint = self._address()
        arguments = {
            "endpoint": model or endpoint,
            "endpoint_url": url,
            "aws_access_key_id": self.setting("api_aws_access_key"),
            "aws_secret_access_key": self.setting("api_aws_secret_key"),
            "aws_session_token": self.setting("api_aws_session_token"),
        }
        if arguments["endpoint"] is None:
            raise UsageError("name the endpoint: model='my-endpoint'")
        return arguments

    def _address(self) -> tuple[str | None, str | None]:
        base = self.setting("api_base")
        if base is None:
            return None, None
        found = runtime_address(base)
        if found is None:
            raise UsageError(
                f"api_base={base!r} looks like https://runtime.sagemaker.us-east-1.amazonaws.com/endpoints"
            )
        return found


_service = _SageMaker(__name__)


class ChatCompletion(_resources.ChatCompletion):
    """Answers to conversations."""

    _service = _service


class Completion(_resources.Completion):
    """Continuations of texts, or answers to single instructions if a prompt builder is set."""

    _service = _service


class Embedding(_resources.Embedding):
    """Vectors of texts."""

    _service = _service


if not TYPE_CHECKING:
    __getattr__ = missing(__name__, __all__)
