"""What LangChain wants to know about a model before it is asked anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_core.language_models import ModelProfile

from sagewire.client import Client

if TYPE_CHECKING:
    from sagewire.discovery.container_rules import ContainerProfile

__all__ = ["profile_of"]


def profile_of(client: Client, detected: ContainerProfile | None = None) -> ModelProfile:
    """Return a model's profile.

    Args:
        client: Says what the container can carry.
        detected: The endpoint's container and model, if they were looked up.
    """
    handler = client.handler
    can = handler.can
    # If the container has no fields for tools, they travel in the prompt.
    tools = can.tools or (handler.speaks == "prompt" and client.format is not None)
    if can.tools and detected is not None and detected.tools is False:
        tools = False
    profile = ModelProfile(
        tool_calling=tools,
        tool_choice=tools,
        tool_call_streaming=tools,
        # LangChain takes this to mean that tools and a schema can be sent together. Here the schema would rule the
        # whole answer, and no tool would ever run; its agents make the schema a tool instead.
        structured_output=False,
        image_inputs=can.images,
        image_url_inputs=can.images,
        pdf_inputs=can.media,
        audio_inputs=can.media,
        video_inputs=can.media,
        pdf_tool_message=can.media,
        image_tool_message=can.images,
    )
    if detected is None:
        return profile
    if detected.model_id is not None:
        profile["name"] = detected.model_id
    if detected.reasoning is not None:
        profile["reasoning_output"] = detected.reasoning
    if detected.limits.context_window is not None:
        # The window holds the answer, too; the containers name no separate limit for the question.
        profile["max_input_tokens"] = detected.limits.context_window
    return profile
