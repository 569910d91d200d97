"""Function calling: the `chat_with_tools` family, and the agents built on it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentStream, AgentWorkflow, FunctionAgent, ToolCallResult
from llama_index.core.base.llms import types
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.tools import FunctionTool

from sagewire.testing.llama_index.subject import Subject, conversation

__all__ = ["ToolTests"]


def add(x: int, y: int) -> int:
    """Add two numbers."""
    return x + y


def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"sunny in {city}"


def list_files() -> str:
    """List the files."""
    return "notes.txt"


ADD, WEATHER, FILES = [FunctionTool.from_defaults(function) for function in (add, weather, list_files)]
SUM = "What is 3 plus 4? Use the add tool."


# Older releases of LlamaIndex have no such block; calls are in `additional_kwargs` then.
ToolCallBlock: Any = getattr(types, "ToolCallBlock", None)
# LlamaIndex's workflows use names of pydantic that are deprecated.
quietly = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class ToolTests(Subject):
    """Tests of models that call functions."""

    @pytest.fixture
    def caller(self, llm: Any) -> Any:
        """The model, if it calls functions."""
        if not self.supports_tools:
            pytest.skip("supports_tools is False")
        assert isinstance(llm, FunctionCallingLLM)
        return llm

    def test_chat_with_tools(self, caller: Any) -> None:
        """The model asks for the tool, with arguments that fit it."""
        check_sum(caller, caller.chat_with_tools([ADD, WEATHER], user_msg=SUM))

    def test_achat_with_tools(self, caller: Any) -> None:
        """The same, awaited."""
        check_sum(caller, asyncio.run(caller.achat_with_tools([ADD, WEATHER], user_msg=SUM)))

    def test_stream_chat_with_tools(self, caller: Any) -> None:
        """Every streamed response can be asked for its calls; the last one has them whole."""
        check_streamed_sum(caller, list(caller.stream_chat_with_tools([ADD, WEATHER], user_msg=SUM)))

    def test_astream_chat_with_tools(self, caller: Any) -> None:
        """The same, asynchronously."""

        async def collect() -> list[ChatResponse]:
            return [r async for r in await caller.astream_chat_with_tools([ADD, WEATHER], user_msg=SUM)]

        check_streamed_sum(caller, asyncio.run(collect()))

    def test_calls_are_blocks(self, caller: Any) -> None:
        """A call is a `ToolCallBlock` of the message, so that memories and other models can read it."""
        if ToolCallBlock is None:
            pytest.skip("this version of LlamaIndex has no tool call block")
        (block,) = blocks_of(caller.chat_with_tools([ADD], user_msg=SUM))
        assert block.tool_name == "add"
        assert block.tool_call_id
        given = block.tool_kwargs
        assert sorted(json.loads(given) if isinstance(given, str) else given) == ["x", "y"]

    def test_tool_required(self, caller: Any) -> None:
        """A required tool is called even if the question does not need it."""
        if not self.supports_forced_tools:
            pytest.skip("supports_forced_tools is False")
        for response in (
            caller.chat_with_tools([WEATHER], user_msg="Hello!", tool_required=True),
            list(caller.stream_chat_with_tools([WEATHER], user_msg="Hello!", tool_required=True))[-1],
        ):
            assert [call.tool_name for call in caller.get_tool_calls_from_response(response)] == ["weather"]

    def test_no_tool_call(self, caller: Any) -> None:
        """A response without calls gives an empty list, or an error if a call was expected."""
        response = caller.chat(conversation())
        assert caller.get_tool_calls_from_response(response, error_on_no_tool_call=False) == []
        with pytest.raises(ValueError):  # noqa: PT011  # what it says is up to the integration
            caller.get_tool_calls_from_response(response, error_on_no_tool_call=True)

    def test_no_arguments(self, caller: Any) -> None:
        """A tool that takes nothing is called with nothing."""
        response = caller.chat_with_tools([FILES], user_msg="Which files are there? Use the list_files tool.")
        assert [call.tool_kwargs for call in caller.get_tool_calls_from_response(response)] == [{}]

    def test_parallel_calls(self, caller: Any) -> None:
        """Several calls in one answer have their own ids; if they are not allowed, there is one call."""
        if not self.supports_parallel_tools:
            pytest.skip("supports_parallel_tools is False")
        question = "What is 3 plus 4, and what is the weather in Paris?"
        response = caller.chat_with_tools([ADD, WEATHER], user_msg=question, allow_parallel_tool_calls=True)
        calls = caller.get_tool_calls_from_response(response)
        assert sorted(call.tool_name for call in calls) == ["add", "weather"]
        assert len({call.tool_id for call in calls}) == 2
        *_, last = caller.stream_chat_with_tools([ADD, WEATHER], user_msg=question, allow_parallel_tool_calls=True)
        assert [c.tool_kwargs for c in caller.get_tool_calls_from_response(last)] == [c.tool_kwargs for c in calls]
        single = caller.chat_with_tools([ADD, WEATHER], user_msg=question, allow_parallel_tool_calls=False)
        assert len(caller.get_tool_calls_from_response(single)) == 1

    def test_results_go_back(self, caller: Any) -> None:
        """Results are sent as agents send them, and the model goes on from there."""
        history = [ChatMessage(role="user", content=SUM)]
        response = caller.chat_with_tools([ADD], chat_history=history)
        history.append(response.message)
        for call in caller.get_tool_calls_from_response(response):
            result = ADD(**call.tool_kwargs)
            given = {"tool_call_id": call.tool_id}
            history.append(ChatMessage(role="tool", blocks=result.blocks, additional_kwargs=given))
        answer = caller.chat_with_tools([ADD], chat_history=history)
        assert answer.message.role == MessageRole.ASSISTANT
        assert "7" in (answer.message.content or "")

    def test_history_is_left_alone(self, caller: Any) -> None:
        """The caller's list of messages is not appended to."""
        history = [ChatMessage(role="system", content="You are polite.")]
        caller.chat_with_tools([ADD], user_msg=SUM, chat_history=history)
        assert len(history) == 1

    def test_partial_arguments(self, caller: Any) -> None:
        """Arguments that are still being written are read as far as they go, and never stop a stream."""
        for arguments in ("", "{", '{"x"', '{"x": 3', '{"x": 3, "y', '{"x": 3, "y": 4}'):
            if ToolCallBlock is None:
                call = {"id": "a", "type": "function", "function": {"name": "add", "arguments": arguments}}
                message = ChatMessage(role="assistant", content="", additional_kwargs={"tool_calls": [call]})
            else:
                block = ToolCallBlock(tool_call_id="a", tool_name="add", tool_kwargs=arguments)
                message = ChatMessage(role="assistant", blocks=[block])
            found = caller.get_tool_calls_from_response(ChatResponse(message=message), error_on_no_tool_call=False)
            assert [chosen.tool_name for chosen in found] in ([], ["add"])
        assert [chosen.tool_kwargs for chosen in found] == [{"x": 3, "y": 4}]

    def test_predict_and_call(self, caller: Any) -> None:
        """The tool is really run."""
        assert caller.predict_and_call([ADD], user_msg=SUM).response == "7"
        assert asyncio.run(caller.apredict_and_call([ADD], user_msg=SUM)).response == "7"

    @quietly
    def test_function_agent(self, caller: Any) -> None:
        """An agent calls its tool, reads the result and answers, streaming on the way."""
        agent = FunctionAgent(tools=[ADD, WEATHER], llm=caller, streaming=True)
        events, answer = asyncio.run(run_agent(agent))
        assert [event.tool_output.raw_output for event in events if isinstance(event, ToolCallResult)] == [7]
        assert "7" in answer
        streamed = [event for event in events if isinstance(event, AgentStream)]
        assert "".join(event.delta for event in streamed).strip().endswith(answer.strip())

    @quietly
    def test_function_agent_without_streaming(self, caller: Any) -> None:
        """The same without streaming."""
        agent = FunctionAgent(tools=[ADD, WEATHER], llm=caller, streaming=False)
        _, answer = asyncio.run(run_agent(agent))
        assert "7" in answer

    @quietly
    def test_agent_workflow(self, caller: Any) -> None:
        """A workflow made of functions chooses the function-calling agent for this model."""
        workflow = AgentWorkflow.from_tools_or_functions([add], llm=caller)
        (agent,) = workflow.agents.values()
        assert isinstance(agent, FunctionAgent)
        _, answer = asyncio.run(run_agent(workflow))
        assert "7" in answer


async def run_agent(agent: Any) -> tuple[list[Any], str]:
    """Run an agent on the sum and return its events and its answer."""
    handler = agent.run(SUM)
    events = [event async for event in handler.stream_events()]
    return events, str(await handler)


def blocks_of(response: ChatResponse) -> list[Any]:
    """Return the calls in a response."""
    return [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]


def check_sum(llm: Any, response: ChatResponse) -> None:
    """Check that a response asks for the sum."""
    (call,) = llm.get_tool_calls_from_response(response)
    assert (call.tool_name, call.tool_kwargs) == ("add", {"x": 3, "y": 4})
    assert call.tool_id


def check_streamed_sum(llm: Any, responses: list[ChatResponse]) -> None:
    """Check that every response can be asked for its calls, and that a call keeps its id."""
    ids = set()
    for response in responses:
        ids |= {call.tool_id for call in llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)}
    check_sum(llm, responses[-1])
    assert len(ids) == 1
