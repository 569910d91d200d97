"""Prompt templates in LiteLLM's way of writing: registered for a model, or given with a call."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from sagewire.discovery.container_rules import ContainerProfile
from sagewire.errors import UsageError
from sagewire.integrations._fallback_profile import once
from sagewire.integrations.litellm._targets import PROVIDERS, Target
from sagewire.prompt_formats import LITELLM_BUILDERS, PromptFormat, get_format

__all__ = [
    "custom_prompt_dict",
    "default_format",
    "format_of_id",
    "register_prompt_template",
    "take_template",
    "template_format",
]

LOG = logging.getLogger("sagewire.litellm")

custom_prompt_dict: dict[str, Mapping[str, Any]] = {}
"""Model name, with and without its prefix, or `hf_model_name` -> template."""

_LLAMA_2_BASE = re.compile(r"meta-llama/Llama-2-\d+b(?:-hf)?", re.IGNORECASE)
_PARTS = ("roles", "initial_prompt_value", "final_prompt_value", "bos_token", "eos_token")


def register_prompt_template(
    model: str,
    roles: Mapping[str, Mapping[str, str]] | None = None,
    initial_prompt_value: str = "",
    final_prompt_value: str = "",
    tokenizer_config: Mapping[str, Any] | None = None,
    *,
    bos_token: str = "",
    eos_token: str = "",
) -> dict[str, Mapping[str, Any]]:
    r"""Have conversations with a model written with a template.

    Args:
        model: The model's name as it is given to `completion`, or a name given as `hf_model_name`.
        roles: Role -> `pre_message` and `post_message`.
        initial_prompt_value: The text that a prompt begins with.
        final_prompt_value: The text that a prompt ends with.
        tokenizer_config: Not taken here: give `hf_model_name`, or a format, instead.
        bos_token: The token at the start of each exchange.
        eos_token: The token behind each answer.

    Returns:
        All registered templates.

    Raises:
        UsageError: The template is not valid.

    Example:
        >>> _ = register_prompt_template(
        ...     "sagemaker/my-model", roles={"user": {"pre_message": "Q: ", "post_message": "\nA:"}}
        ... )
        >>> template_format(custom_prompt_dict.pop("sagemaker/my-model")).render([{"role": "user", "content": "2+2?"}])
        'Q: 2+2?\nA:'
        >>> _ = custom_prompt_dict.pop("my-model")
    """
    if tokenizer_config:
        raise UsageError(
            "tokenizer_config is not taken here; name the model whose format it is with hf_model_name='...', or give "
            "completion(format=...) a PromptFormat"
        )
    values: tuple[Any, ...] = (dict(roles or {}), initial_prompt_value, final_prompt_value, bos_token, eos_token)
    template = {name: value for name, value in zip(_PARTS, values, strict=True) if value}
    template_format(template)
    prefix, _, rest = model.partition("/")
    for name in (model, rest if prefix in PROVIDERS and rest else model):
        custom_prompt_dict[name] = template
    return custom_prompt_dict


def template_format(template: Mapping[str, Any]) -> PromptFormat:
    """Return a template as a prompt format; control strings in messages are neutralised, as everywhere."""
    return get_format(template)


def take_template(target: Target, model: str, options: dict[str, Any]) -> Any:
    """Remove the settings of the prompt's format from `options`, and return it: a template, a name, or `None`.

    A template of the call wins over a registered one, and that over `hf_model_name`.

    Raises:
        UsageError: The prompt format of `hf_model_name` is unknown.
    """
    given = {name: value for name in _PARTS if (value := options.pop(name, None))}
    own, hf_model_name = options.pop("format", None), options.pop("hf_model_name", None)
    if own is not None:
        return own
    if given:
        return given
    for name in (model, target.name, hf_model_name):
        if name in custom_prompt_dict:
            return dict(custom_prompt_dict[name])
    if hf_model_name is None:
        return None
    if not _LLAMA_2_BASE.fullmatch(hf_model_name):
        return get_format(model_id=hf_model_name)
    # The base models, which LiteLLM's documentation names, have no chat template: it writes the bare texts for them.
    once(LOG, f"'{hf_model_name}' is a base model without a chat template, so its prompts are the bare texts.")
    return LITELLM_BUILDERS["default_pt"]


def default_format(target: Target, profile: ContainerProfile) -> PromptFormat:
    """Return the format for a container that takes text, if none is asked for.

    It follows from the model's id if the endpoint may be described, else from the endpoint's name; else the messages
    are joined by blanks, as LiteLLM does.
    """
    found = format_of_id(profile.model_id) or format_of_id(target.name)
    if found is None and "llama-2" in target.name.lower() and "chat" in target.name.lower():
        # LiteLLM's own rule, for endpoints whose name is longer than the model's.
        found = get_format("llama2")
    if found is not None:
        return found
    once(
        LOG,
        f"'{target.name}': its model is not known, so its prompts are the bare texts of the messages. "
        "Name it: completion(hf_model_name='meta-llama/Llama-2-7b-chat-hf'), or register_prompt_template(...).",
    )
    return LITELLM_BUILDERS["default_pt"]


def format_of_id(model_id: str | None) -> PromptFormat | None:
    """Return the format a model's id stands for, `None` if no rule knows it."""
    try:
        return None if model_id is None else get_format(model_id=model_id)
    except UsageError:
        return None
