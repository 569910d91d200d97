"""Pydantic AI, through chat completions and through the Responses API."""

import asyncio
import sys

from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, ToolOutput
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

asked = []


class City(BaseModel):
    city: str
    people: int


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    asked.append(city)
    return f"It is sunny in {city}, 21 degrees"


async def main() -> None:
    provider = OpenAIProvider(base_url=sys.argv[1], api_key="anything")
    for kind in (OpenAIChatModel, OpenAIResponsesModel):
        asked.clear()
        agent = Agent(kind("schema", provider=provider), tools=[get_weather])
        first = await agent.run("What is the weather in Paris?")
        assert "sunny" in first.output, first.output
        history = first.all_messages()
        async with agent.run_stream("What is the weather in London?", message_history=history) as second:
            text = await second.get_output()
        assert "London" in text, text
        assert asked == ["Paris", "London"], asked
        for output in (NativeOutput(City), ToolOutput(City)):
            typed = Agent(kind("schema", provider=provider), output_type=output)
            assert isinstance((await typed.run("Rome")).output, City)


asyncio.run(main())
