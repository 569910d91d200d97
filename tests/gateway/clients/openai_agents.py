"""The `agents` package of OpenAI, through the Responses API and through chat completions."""

import asyncio
import sys

from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from pydantic import BaseModel

asked = []


class City(BaseModel):
    city: str
    people: int


@function_tool
def get_weather(city: str) -> str:
    """Get the weather in a city."""
    asked.append(city)
    return f"It is sunny in {city}, 21 degrees"


async def main() -> None:
    set_tracing_disabled(True)
    client = AsyncOpenAI(base_url=sys.argv[1], api_key="anything", max_retries=0)
    for kind in (OpenAIResponsesModel, OpenAIChatCompletionsModel):
        asked.clear()
        settings = ModelSettings(store=False)
        agent = Agent("weather", model=kind("schema", client), tools=[get_weather], model_settings=settings)
        first = await Runner.run(agent, "What is the weather in Paris?")
        assert "sunny" in first.final_output, first.final_output
        follow = [*first.to_input_list(), {"role": "user", "content": "What is the weather in London?"}]
        second = Runner.run_streamed(agent, follow)
        async for _ in second.stream_events():
            pass
        assert "London" in second.final_output, second.final_output
        assert asked == ["Paris", "London"], asked
        typed = Agent("typed", model=kind("schema", client), output_type=City, model_settings=settings)
        assert isinstance((await Runner.run(typed, "Rome")).final_output, City)


async def stored() -> None:
    """Two turns that go on from stored answers, as the package does it by itself."""
    client = AsyncOpenAI(base_url=sys.argv[2], api_key="anything", max_retries=0)
    asked.clear()
    agent = Agent("weather", model=OpenAIResponsesModel("schema", client), tools=[get_weather])
    first = await Runner.run(agent, "What is the weather in Paris?", auto_previous_response_id=True)
    assert "sunny" in first.final_output, first.final_output
    second = Runner.run_streamed(agent, "What is the weather in London?", previous_response_id=first.last_response_id)
    async for _ in second.stream_events():
        pass
    assert "London" in second.final_output, second.final_output
    assert asked == ["Paris", "London"], asked


asyncio.run(main())
asyncio.run(stored())
