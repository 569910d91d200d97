"""A text model, as LlamaIndex's published SageMaker class is one: what it sends, and what it makes of the answer."""

import json
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ImageBlock
from llama_index.core.llms.llm import LLM
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate

from sagewire import UnsupportedFeature, UsageError
from sagewire.content_handlers import TgiHandler
from sagewire.emulator import Emulator
from sagewire.integrations.llama_index import BaseIOHandler, SageMakerLLM

VECTORS = Path(__file__).parents[2] / "vectors" / "prompt_formats" / "llama_index_llama2.json"


class Handler(BaseIOHandler):
    """As people write them: for a container that echoes the prompt and streams when it is told to."""

    content_type: str = "application/json"
    accept: str = "application/json"

    def serialize_input(self, request: str, model_kwargs: dict) -> bytes:
        stream = model_kwargs.pop("stream", False)
        return json.dumps({"inputs": request, "parameters": model_kwargs, "stream": stream}).encode()

    def deserialize_output(self, response: Any) -> str:
        return json.load(response)[0]["generated_text"]

    def deserialize_streaming_output(self, response: bytes) -> str:
        token = json.loads(response.decode().removeprefix("data:"))["token"]
        return "" if token["special"] else token["text"]

    def remove_prefix(self, response: str, prompt: str) -> str:
        return response[len(prompt) :]


class PublishedHandler(Handler):
    """Like the published default: it never asks for a stream, and gets the whole answer in one event."""

    def deserialize_streaming_output(self, response: bytes) -> str:
        return json.loads(response.decode("utf-8"))[0]["generated_text"]


class FoldingHandler(Handler):
    """Cleans more than an echo."""

    def remove_prefix(self, response: str, prompt: str) -> str:
        return response.removeprefix(prompt).replace("ß", "ss").lower()


def prompts(emulator: Emulator) -> list[str]:
    return [call.json["inputs"] for call in emulator.calls]


def test_the_defaults_are_llama_2s_prompt_as_published(scripted, emulator: Emulator) -> None:
    llm = scripted("tgi")
    assert not llm.metadata.is_chat_model
    turns = [
        ChatMessage(role="system", content="Be brief."),
        ChatMessage(role="user", content="Hi"),
        ChatMessage(role="assistant", content="Hello"),
        ChatMessage(role="user", content="Bye"),
    ]
    # Without the first beginning-of-text token, which TGI's tokenizer adds.
    llm.chat(turns)
    llm.complete("Hi")
    short = llm.model_copy(update={"system_prompt": "Be brief."})
    short.complete("Hi")
    short.complete("as it is", formatted=True)
    chat, complete, with_system, formatted = prompts(emulator)
    assert chat == (
        " [INST] <<SYS>>\n Be brief. \n<</SYS>>\n\n Hi [/INST] Hello </s><s> [INST] Bye [/INST]"
    )  # fmt: skip
    assert complete.startswith(" [INST] <<SYS>>\n You are a helpful, respectful and honest assistant. Always")
    assert complete.endswith("\n<</SYS>>\n\n Hi [/INST]")
    assert with_system == " [INST] <<SYS>>\n Be brief. \n<</SYS>>\n\n Hi [/INST]"
    assert formatted == "as it is"


def test_the_published_prompts_are_reproduced(scripted, emulator: Emulator) -> None:
    llm = scripted("tgi")
    compared = 0
    for case in json.loads(VECTORS.read_text("utf-8"))["cases"]:
        if case["injection"] or case["error"] or not case["expected"]:
            continue
        emulator.clear()
        if case["messages"] is None:
            llm.system_prompt = case.get("system_prompt")
            llm.complete(case["prompt"])
        else:
            llm.chat([ChatMessage(role=m["role"], content=m["content"]) for m in case["messages"]])
        assert prompts(emulator) == [case["expected"].removeprefix("<s>")], case["name"]
        compared += 1
    assert compared > 15


async def test_a_tutorials_handler_works_unchanged_in_all_eight_methods(scripted, emulator: Emulator) -> None:
    llm = scripted(
        "tgi", "Tea time! ☕", content_handler=Handler(), model_kwargs={"max_new_tokens": 9}, temperature=0.1
    )
    hello = [ChatMessage(role="user", content="Hi")]
    assert llm.complete("Hi").text == "Tea time! ☕"
    assert emulator.calls[-1].json["parameters"] == {"temperature": 0.1, "max_new_tokens": 9}
    assert llm.chat(hello).message.content == "Tea time! ☕"
    assert (await llm.acomplete("Hi")).text == "Tea time! ☕"
    assert (await llm.achat(hello)).message.content == "Tea time! ☕"
    for responses in (
        list(llm.stream_complete("Hi", stream=True)),
        [r async for r in await llm.astream_complete("Hi", stream=True)],
    ):
        assert "".join(r.delta for r in responses) == responses[-1].text == "Tea time! ☕"
        assert len(responses) > 3
    for chats in (
        list(llm.stream_chat(hello, stream=True)),
        [r async for r in await llm.astream_chat(hello, stream=True)],
    ):
        assert "".join(r.delta for r in chats) == chats[-1].message.content == "Tea time! ☕"


@pytest.mark.parametrize("echo", [True, False])
def test_an_echoed_prompt_goes_and_an_answer_stays(scripted, echo: bool) -> None:
    # The published class cuts as many characters as the prompt has, echoed or not.
    llm = scripted("tgi", "Forty-two.", content_handler=Handler(), model_kwargs={"return_full_text": echo})
    assert llm.complete("What is six times seven?", formatted=True).text == "Forty-two."


async def test_what_else_remove_prefix_does_is_done(scripted) -> None:
    llm = scripted("tgi", "GROSS und Süß", content_handler=FoldingHandler())
    assert llm.complete("x").text == "gross und süss"
    assert [r async for r in await llm.astream_complete("x", stream=True)][-1].text == "gross und süss"


@pytest.mark.parametrize("echo", [True, False])
def test_a_whole_answer_on_the_streaming_route(scripted, echo: bool) -> None:
    llm = scripted("tgi", "tea time", content_handler=PublishedHandler(), model_kwargs={"return_full_text": echo})
    assert [r.text for r in llm.stream_complete("Hi")][-1] == "tea time"


def test_a_handler_need_not_inherit(scripted) -> None:
    class Bare:
        content_type = accept = "application/json"
        serialize_input = Handler.serialize_input
        deserialize_output = Handler.deserialize_output
        deserialize_streaming_output = Handler.deserialize_streaming_output
        remove_prefix = Handler.remove_prefix

    assert scripted("tgi", "yes", content_handler=Bare()).complete("x").text == "yes"


def test_the_base_class_is_abstract() -> None:
    with pytest.raises(TypeError, match="abstract"):
        BaseIOHandler(content_type="application/json", accept="application/json")


def test_own_functions_write_the_prompts(scripted, emulator: Emulator) -> None:
    seen: list[Any] = []

    def messages_to_prompt(messages: Any) -> str:
        seen.append(messages)
        return "|".join(f"{m.role.value}={m.content}" for m in messages)

    def completion_to_prompt(prompt: str, system_prompt: str | None = None) -> str:
        return f"<{system_prompt}>{prompt}"

    llm = scripted(
        "tgi",
        messages_to_prompt=messages_to_prompt,
        completion_to_prompt=completion_to_prompt,
        system_prompt="sys",
    )
    llm.chat([ChatMessage(role="user", content="a"), ChatMessage(role="user", content="b")])
    llm.complete("c")
    llm.complete("d", formatted=True)
    list(llm.stream_chat([ChatMessage(role="user", content="e")]))
    assert prompts(emulator) == ["user=a|user=b", "<sys>c", "d", "user=e"]
    assert all(isinstance(message, ChatMessage) for messages in seen for message in messages)
    llm.completion_to_prompt = lambda prompt: f"[{prompt}]"
    llm.complete("f")
    assert prompts(emulator)[-1] == "[sys\n\nf]"


def test_llama_indexs_generic_function_counts_when_it_is_given(scripted, emulator: Emulator) -> None:
    from llama_index.core.base.llms.generic_utils import messages_to_prompt

    llm = scripted("tgi", messages_to_prompt=messages_to_prompt)
    llm.chat([ChatMessage(role="user", content="Hi")])
    assert prompts(emulator) == ["user: Hi\nassistant: "]


def test_predict_formats_prompts_like_complete(scripted, emulator: Emulator) -> None:
    llm = scripted("tgi", "yes", system_prompt="Be brief.")
    template = PromptTemplate("Say {word}")
    assert llm.predict(template, word="hi") == "yes"
    assert "".join(llm.stream(template, word="hi")) == "yes"
    llm.predict(ChatPromptTemplate([ChatMessage(role="user", content="Say {word}")]), word="hi")
    assert prompts(emulator) == [" [INST] <<SYS>>\n Be brief. \n<</SYS>>\n\n Say hi [/INST]"] * 3


def test_what_text_cannot_carry_is_refused(scripted) -> None:
    llm = scripted("tgi")
    assert not llm.metadata.is_function_calling_model
    with pytest.raises(UnsupportedFeature, match=r"tools.*prompt_format"):
        llm.chat([ChatMessage(content="x")], tools=[{"type": "function", "function": {"name": "f"}}])
    with pytest.raises(UnsupportedFeature, match="image"):
        llm.chat([ChatMessage(role="user", blocks=[ImageBlock(url="https://example.org/a.png")])])
    with pytest.raises(UsageError, match="take turns"):
        llm.chat([ChatMessage(role="user", content="a"), ChatMessage(role="user", content="b")])


def test_settings_go_to_the_container_under_their_own_names(scripted, emulator: Emulator) -> None:
    llm = scripted("tgi", content_handler=TgiHandler(), model_kwargs={"max_new_tokens": 50, "watermark": True})
    llm.complete("x", max_tokens=7, temperature=0)
    parameters = emulator.calls[-1].json["parameters"]
    assert parameters["max_new_tokens"] == 7
    assert parameters["watermark"] is True
    assert "temperature" not in parameters


def test_it_is_a_llama_index_llm() -> None:
    assert LLM in SageMakerLLM.__mro__
    assert SageMakerLLM.class_name() == "SageMakerLLM"
