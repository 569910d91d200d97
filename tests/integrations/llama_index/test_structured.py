"""structured_predict on each of its three ways."""

import json
from collections.abc import Callable

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel, Field, RootModel, ValidationError

from sagewire import UsageError, WireError
from sagewire.content_handlers import Capabilities, OpenAiChatHandler
from sagewire.emulator import Call, Emulator, Reply
from sagewire.integrations.llama_index import SageMakerLLM

TEMPLATE = PromptTemplate("Where is {what}?")


class Place(BaseModel):
    """A place on earth."""

    city: str = Field(description="its name")
    people: int


class ToolsOnly(OpenAiChatHandler):
    """A server that calls tools and cannot be held to a schema."""

    name = "tools_only"
    can = Capabilities(tools=True, tool_choice=True)


class WordsOnly(OpenAiChatHandler):
    """A server that can do neither."""

    name = "words_only"
    can = Capabilities()


PARIS = '{"city": "Paris on the Seine", "people": 2100000}'
WAYS = {
    "schema": ("openai_chat", PARIS, {}),
    "grammar": ("tgi", PARIS, {"prompt_format": "chatml", "max_tokens": 50}),
    "text model": ("tgi", PARIS, {"max_tokens": 50, "messages_to_prompt": lambda ms: ms[-1].content}),
    "tool": ("openai_chat", Reply(calls=[Call("Place", PARIS, "a")]), {"content_handler": ToolsOnly()}),
    "words": ("openai_chat", f"Here you are:\n```json\n{PARIS}\n```", {"content_handler": WordsOnly()}),
}


@pytest.fixture(params=WAYS)
def model(request: pytest.FixtureRequest, scripted: Callable[..., SageMakerLLM]) -> SageMakerLLM:
    dialect, said, given = WAYS[request.param]
    return scripted(dialect, said, **given)


async def test_all_four_return_the_object(model: SageMakerLLM) -> None:
    place = Place(city="Paris on the Seine", people=2_100_000)
    assert model.structured_predict(Place, TEMPLATE, what="Paris") == place
    assert await model.astructured_predict(Place, TEMPLATE, what="Paris") == place
    for growing in (
        list(model.stream_structured_predict(Place, TEMPLATE, what="Paris")),
        [each async for each in await model.astream_structured_predict(Place, TEMPLATE, what="Paris")],
    ):
        assert growing[-1] == place
        assert isinstance(growing[-1], Place)
        cities = [each.city for each in growing if each.city]
        assert all(place.city.startswith(city) for city in cities)
        assert len(set(cities)) > 1


def test_the_server_is_held_to_the_schema_where_it_can_be(scripted, emulator: Emulator) -> None:
    scripted("openai_chat", PARIS).structured_predict(Place, TEMPLATE, what="Paris")
    body = emulator.calls[-1].json
    assert body["response_format"]["json_schema"] == {"name": "Place", "schema": Place.model_json_schema()}
    assert body["messages"] == [{"role": "user", "content": "Where is Paris?"}]
    assert "tools" not in body


async def test_the_tool_is_forced_in_streams_too(scripted, emulator: Emulator) -> None:
    model = scripted("openai_chat", Reply(calls=[Call("Place", PARIS, "a")]), content_handler=ToolsOnly())
    model.structured_predict(Place, TEMPLATE, what="Paris")
    list(model.stream_structured_predict(Place, TEMPLATE, what="Paris"))
    _ = [each async for each in await model.astream_structured_predict(Place, TEMPLATE, what="Paris")]
    choices = [call.json["tool_choice"] for call in emulator.calls]
    assert choices == [{"type": "function", "function": {"name": "Place"}}] * 3


async def test_the_system_prompt_is_sent_by_all_four(scripted, emulator: Emulator) -> None:
    model = scripted("openai_chat", PARIS, system_prompt="Be right.")
    model.structured_predict(Place, TEMPLATE, what="Paris")
    await model.astructured_predict(Place, TEMPLATE, what="Paris")
    list(model.stream_structured_predict(Place, TEMPLATE, what="Paris"))
    _ = [each async for each in await model.astream_structured_predict(Place, TEMPLATE, what="Paris")]
    assert [call.json["messages"][0] for call in emulator.calls] == [{"role": "system", "content": "Be right."}] * 4


def test_nothing_that_was_given_is_changed(model: SageMakerLLM) -> None:
    chat = ChatPromptTemplate([ChatMessage(role="user", content="Where is {what}?")])
    settings = {"temperature": 0}
    model.structured_predict(Place, chat, llm_kwargs=settings, what="Paris")
    assert settings == {"temperature": 0}
    assert chat.message_templates[0].content == "Where is {what}?"
    assert chat.output_parser is None
    assert TEMPLATE.output_parser is None


def test_an_answer_that_does_not_fit_is_an_error_and_never_an_empty_object(scripted) -> None:
    model = scripted("openai_chat", '{"city": "Paris"}')
    with pytest.raises(ValidationError, match="people"):
        model.structured_predict(Place, TEMPLATE, what="Paris")
    with pytest.raises(ValidationError, match="people"):
        list(model.stream_structured_predict(Place, TEMPLATE, what="Paris"))
    model = scripted("openai_chat", "I would rather talk.", content_handler=ToolsOnly())
    with pytest.raises(WireError, match="I would rather talk"):
        list(model.stream_structured_predict(Place, TEMPLATE, what="Paris"))


def test_an_answer_cut_off_says_so(scripted) -> None:
    model = scripted("openai_chat", Reply('{"city": "Par', finish="length"))
    with pytest.raises(UsageError, match="max_tokens"):
        model.structured_predict(Place, TEMPLATE, what="Paris")


def test_other_program_modes_are_llama_indexs(scripted, emulator: Emulator) -> None:
    called = Reply(calls=[Call("Place", PARIS, "a")])
    model = scripted("openai_chat", called, pydantic_program_mode=PydanticProgramMode.FUNCTION)
    assert model.structured_predict(Place, TEMPLATE, what="Paris").people == 2_100_000
    assert "tools" in emulator.calls[-1].json
    assert list(model.stream_structured_predict(Place, TEMPLATE, what="Paris"))[-1].people == 2_100_000


async def test_a_structured_llm(scripted) -> None:
    structured = scripted("openai_chat", PARIS).as_structured_llm(Place)
    assert structured.chat([ChatMessage(content="Where?")]).raw.people == 2_100_000
    assert json.loads((await structured.acomplete("Where?")).text)["people"] == 2_100_000


class Numbers(RootModel[list[int]]):
    """Some numbers."""


def test_a_list_is_read_where_a_schema_holds_the_server_and_refused_elsewhere(scripted: Callable[..., SageMakerLLM]):
    held = scripted("openai_chat", "[1, 2]")
    assert held.structured_predict(Numbers, TEMPLATE, what="it") == Numbers([1, 2])
    for handler in ToolsOnly(), WordsOnly():
        model = scripted("openai_chat", "[1, 2]", content_handler=handler)
        with pytest.raises(UsageError, match="as a field"):
            model.structured_predict(Numbers, TEMPLATE, what="it")
