"""Objects instead of text.

The endpoint is held to a JSON schema if it can be, told to call a tool if it can only do so, and asked in words
otherwise.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from typing import Any, Literal

from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.bridge.pydantic import BaseModel, ValidationError
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]  # re-exported unmarked
from llama_index.core.instrumentation.events.llm import LLMStructuredPredictEndEvent, LLMStructuredPredictStartEvent
from llama_index.core.output_parsers import PydanticOutputParser
from llama_index.core.program.utils import create_flexible_model
from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.types import PydanticProgramMode

from sagewire.content_handlers import ContentHandler
from sagewire.errors import UsageError, WireError, excerpt
from sagewire.integrations.llama_index._tools import finish_reason, partial_object
from sagewire.types.openai_shape import function_name

__all__ = ["StructuredPrediction"]

dispatcher = get_dispatcher(__name__)

# A partial object is read again when the text has grown by this share: the work stays linear in the answer's length.
GROWTH = 1.05


@dataclass(frozen=True, slots=True)
class Plan:
    """How one object is asked for.

    Args:
        output_cls: Its class.
        messages: The conversation that asks for it.
        arguments: Keyword arguments for `chat`.
        way: `schema` (the server is held to it), `tool` (the model must call one), or `words`.
        parser: Reads the answer to a request in words.
    """

    output_cls: type[BaseModel]
    messages: list[ChatMessage]
    arguments: dict[str, Any]
    way: Literal["schema", "tool", "words"]
    parser: PydanticOutputParser[Any] | None = None

    def text_of(self, response: ChatResponse) -> str:
        """Return the JSON text in a response, whole or still growing."""
        if self.way != "tool":
            return response.message.content or ""
        calls = response.message.additional_kwargs.get("tool_calls") or ()
        return str(calls[0]["function"]["arguments"]) if calls else ""

    def read(self, response: ChatResponse) -> BaseModel:
        """Return the object in a whole response.

        Raises:
            UsageError: The answer was cut off by `max_tokens`.
            WireError: The model was told to call a tool and did not.
            ValueError: The text is not the object that was asked for.
        """
        text = self.text_of(response)
        if self.way == "tool" and not text:
            said = excerpt(response.message.content or "")
            raise WireError(f"the model was told to call tool '{self.arguments['tool_choice']}' and wrote: {said}")
        try:
            if self.parser is not None:
                parsed: BaseModel = self.parser.parse(text)
                return parsed
            return self.output_cls.model_validate_json(text)
        except ValueError as error:
            if finish_reason(response.raw) != "length":
                raise
            what = f"the answer was cut off before the {self.output_cls.__name__} was complete; allow more max_tokens"
            raise UsageError(what) from error


class _PartialObjects:
    """Objects as far as their text has arrived: of the class itself once valid, of a lenient copy until then."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._lenient = create_flexible_model(plan.output_cls)
        self._next = 0
        self._last: dict[str, Any] | None = None

    def add(self, response: ChatResponse) -> BaseModel | None:
        text = self._plan.text_of(response)
        if len(text) < self._next:
            return None
        self._next = max(len(text) + 1, int(len(text) * GROWTH))
        found = partial_object(text[max(text.find("{"), 0) :])
        if not found or found == self._last:
            return None
        self._last = found
        try:
            return self._plan.output_cls.model_validate(found)
        except ValidationError:
            return self._lenient.model_validate(found)


class StructuredPrediction:
    """The four `structured_predict` methods of a language model; other program modes than the default are LlamaIndex's.

    LlamaIndex's own programs have traps these have not: the streaming ones do not force the tool, the asynchronous
    ones forget the system prompt, and all of them change the dictionary and the template they are given.
    """

    pydantic_program_mode: PydanticProgramMode

    def structured_predict(
        self,
        output_cls: type[Any],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Any:
        """Return an object of `output_cls` that answers the prompt.

        Args:
            output_cls: A pydantic class.
            prompt: The template.
            llm_kwargs: Settings of this call.
            **prompt_args: The template's variables.

        Raises:
            ValueError: The answer does not fit; `UsageError` if `max_tokens` cut it off.
        """
        if self.pydantic_program_mode != PydanticProgramMode.DEFAULT:
            return super().structured_predict(output_cls, prompt, llm_kwargs, **prompt_args)  # type: ignore[misc]
        dispatcher.event(
            LLMStructuredPredictStartEvent(output_cls=output_cls, template=prompt, template_args=prompt_args)
        )
        plan = make_plan(self, output_cls, prompt, llm_kwargs, prompt_args)
        found = plan.read(self.chat(plan.messages, **plan.arguments))  # type: ignore[attr-defined]
        dispatcher.event(LLMStructuredPredictEndEvent(output=found))
        return found

    async def astructured_predict(
        self,
        output_cls: type[Any],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Any:
        """Return an object of `output_cls` that answers the prompt; see `structured_predict`."""
        if self.pydantic_program_mode != PydanticProgramMode.DEFAULT:
            asked = super().astructured_predict(output_cls, prompt, llm_kwargs, **prompt_args)  # type: ignore[misc]
            return await asked
        dispatcher.event(
            LLMStructuredPredictStartEvent(output_cls=output_cls, template=prompt, template_args=prompt_args)
        )
        plan = make_plan(self, output_cls, prompt, llm_kwargs, prompt_args)
        found = plan.read(await self.achat(plan.messages, **plan.arguments))  # type: ignore[attr-defined]
        dispatcher.event(LLMStructuredPredictEndEvent(output=found))
        return found

    def _structured_stream_call(
        self,
        output_cls: type[Any],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Any, None, None]:
        """Yield the object as it grows; the last one is whole and valid."""
        if self.pydantic_program_mode != PydanticProgramMode.DEFAULT:
            yield from super()._structured_stream_call(  # type: ignore[misc]
                output_cls, prompt, llm_kwargs, **prompt_args
            )
            return
        plan = make_plan(self, output_cls, prompt, llm_kwargs, prompt_args)
        partial, response = _PartialObjects(plan), None
        for response in self.stream_chat(plan.messages, **plan.arguments):  # type: ignore[attr-defined]
            found = partial.add(response)
            if found is not None:
                yield found
        yield plan.read(response)  # type: ignore[arg-type]  # a stream has at least its last item

    async def _structured_astream_call(
        self,
        output_cls: type[Any],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Any, None]:
        """Return a generator that yields the object as it grows; the last one is whole and valid."""
        if self.pydantic_program_mode != PydanticProgramMode.DEFAULT:
            asked = super()._structured_astream_call(  # type: ignore[misc]
                output_cls, prompt, llm_kwargs, **prompt_args
            )
            return await asked  # type: ignore[no-any-return]
        plan = make_plan(self, output_cls, prompt, llm_kwargs, prompt_args)
        responses = await self.astream_chat(plan.messages, **plan.arguments)  # type: ignore[attr-defined]

        async def objects() -> AsyncGenerator[Any, None]:
            partial, response = _PartialObjects(plan), None
            async for response in responses:
                found = partial.add(response)
                if found is not None:
                    yield found
            yield plan.read(response)  # type: ignore[arg-type]

        return objects()


def make_plan(
    llm: Any,
    output_cls: type[BaseModel],
    prompt: BasePromptTemplate,
    llm_kwargs: dict[str, Any] | None,
    prompt_args: dict[str, Any],
) -> Plan:
    """Decide how to ask for an object; nothing that was given is changed."""
    messages: list[ChatMessage] = llm._extend_messages(prompt.format_messages(llm=llm, **prompt_args))
    arguments = dict(llm_kwargs or {})
    handler: ContentHandler = llm._handler
    name = function_name(output_cls.__name__)
    if handler.can.response_format:
        schema = {"name": name, "schema": output_cls.model_json_schema()}
        arguments["response_format"] = {"type": "json_schema", "json_schema": schema}
        return Plan(output_cls, messages, arguments, "schema")
    parameters = output_cls.model_json_schema()
    if parameters.get("type", "object") != "object":
        # Arguments of a function are an object, and so is what LlamaIndex finds in words; a RootModel may be a list.
        raise UsageError(
            f"{output_cls.__name__} is of type {parameters['type']!r}, which handler '{handler.name}' cannot be held "
            "to; use a class that has it as a field"
        )
    if handler.can.tools and llm.metadata.is_function_calling_model:
        function = {"name": name, "description": (output_cls.__doc__ or "").strip(), "parameters": parameters}
        arguments |= {"tools": [{"type": "function", "function": function}], "tool_choice": name}
        return Plan(output_cls, messages, arguments, "tool")
    parser = PydanticOutputParser(output_cls=output_cls)
    copies = [message.model_copy(deep=True) for message in messages]
    return Plan(output_cls, parser.format_messages(copies), arguments, "words", parser)
