"""Instructor: structured answers by tools, by JSON schema and streamed, and two turns with a tool."""

import sys

import instructor
from openai import OpenAI
from pydantic import BaseModel


class City(BaseModel):
    """A city and its people."""

    city: str
    people: int


class GetWeather(BaseModel):
    """Get the weather in a city."""

    city: str


plain = OpenAI(base_url=sys.argv[1], api_key="anything", max_retries=0)
hello = [{"role": "user", "content": "Rome"}]
for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA):
    client = instructor.from_openai(plain, mode=mode)
    found, completion = client.chat.completions.create_with_completion(
        model="schema", response_model=City, messages=hello, max_retries=0
    )
    assert isinstance(found, City), mode
    assert completion.usage.completion_tokens > 0, mode

client = instructor.from_openai(plain, mode=instructor.Mode.TOOLS)
parts = list(client.chat.completions.create_partial(model="schema", response_model=City, messages=hello, max_retries=0))
assert isinstance(parts[-1].people, int)
messages = []
for city in ("Paris", "London"):
    messages.append({"role": "user", "content": f"What is the weather in {city}?"})
    wanted, completion = client.chat.completions.create_with_completion(
        model="schema", response_model=GetWeather, messages=messages, max_retries=0
    )
    assert wanted.city == city, wanted
    call = completion.choices[0].message
    result = {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": f"It is sunny in {city}, 21 degrees"}
    messages += [call.model_dump(exclude_none=True) | {"content": call.content}, result]
    answer = plain.chat.completions.create(model="schema", messages=messages).choices[0].message.content
    assert "sunny" in answer, answer
    messages.append({"role": "assistant", "content": answer})
