"""`SageMakerLLM`: a language model on a SageMaker endpoint, in LlamaIndex."""

from __future__ import annotations

from typing import Any

from sagewire.integrations.llama_index._connection import SageMakerConnection
from sagewire.integrations.llama_index._language_model import EndpointLLM

__all__ = ["SageMakerLLM"]

# The published class sends it by default.
DEFAULT_TEMPERATURE = 0.5


class SageMakerLLM(SageMakerConnection, EndpointLLM):
    """A language model on a SageMaker endpoint, under the name and arguments of LlamaIndex's own class.

    The prompt format depends on the arguments:

    - The container takes messages (`content_handler="openai_chat"`, ...): it applies the model's own chat template.
      Tools, images and server-side JSON schemas work, and so do agents.
    - The container takes text and `prompt_format` names the model's family: the format writes the conversation, tools
      included if the family has them, and reads tool calls and thinking out of the answer.
    - The container takes text and no format is given or found, or `messages_to_prompt` and `completion_to_prompt` are
      given: a text model, as the published class is one, whose defaults are Llama 2's prompt with its long system text.

    Settings are looked for in the call, then in `temperature` and `max_tokens`, then in `model_kwargs`; without any
    the temperature is 0.5, as in the published class. `model_kwargs={"temperature": None}` leaves it to the server.
    Settings unknown to sagewire go to the container under their own names.

    Args:
        endpoint_name: The endpoint's name.
        content_handler: The request format: a name in `sagewire.content_handlers.HANDLERS`, a handler object,
            or one in the style of `BaseIOHandler`. Default: detected. Without describe permissions
            the published class's default request format is used, and this is logged.
        prompt_format: A name in `sagewire.prompt_formats.FORMATS`, or a format object.
        model_kwargs: Settings of every call.
        endpoint_kwargs: InvokeEndpoint parameters of every call (`TargetVariant`, `SessionId`, ...).
        inference_component_name: The inference component to call.
        temperature: Sampling temperature.
        max_tokens: Maximum number of tokens to generate.
        context_window: How many tokens the model takes; a query engine packs its context by it. 3900 if left out.
        is_function_calling_model: Overrides handler and format, for models that never learned to call tools.
        timeout: Seconds to wait for the server, for the first byte as well as between two pieces of a stream.
        max_retries: How often a failed call is tried again before anything was received.
        profile_name: An AWS profile.
        aws_access_key_id: Static credentials, with `aws_secret_access_key` and, if temporary, `aws_session_token`.
        aws_region_name: The region; `region_name` is the older name.
        session: A boto3, botocore or sagewire session, for example from `sagewire.assume_role_session`.
        client: Your own `boto3.client("sagemaker-runtime")`.
        config: A `botocore.config.Config`.
        endpoint_url: Another SageMaker Runtime URL.
        system_prompt: Put before prompts in `complete` and `predict`; `chat` sends its messages as they are.
        messages_to_prompt: Writes a conversation as text.
        completion_to_prompt: Writes one instruction as text, given the prompt and, if it takes two arguments, the
            system prompt.

    Raises:
        UsageError: An argument is unknown or contradicts another.

    Example:
        >>> llm = SageMakerLLM("my-llama", content_handler="openai_chat", aws_region_name="eu-west-1")
        >>> llm.complete("Why is the sky blue?").text  # doctest: +SKIP
        'Because air scatters blue light more than red.'
    """

    fallback_handler = "tgi"

    # Without it, type checkers derive the arguments from the fields, and refuse a name in first place and its aliases.
    def __init__(self, endpoint_name: Any = "", **data: Any) -> None:
        super().__init__(endpoint_name, **data)

    @classmethod
    def class_name(cls) -> str:
        """Return the published class's name, under which serialised models are known."""
        return "SageMakerLLM"

    def _default_settings(self) -> dict[str, Any]:
        return {"temperature": DEFAULT_TEMPERATURE}

    def _model_name(self) -> str:
        return self.endpoint_name

    def _sent(self, kwargs: Any) -> dict[str, Any]:
        return {**super()._sent(kwargs), "endpoint_kwargs": dict(self.endpoint_kwargs)}
