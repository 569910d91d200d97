"""What LlamaIndex messages become on the wire."""

import base64
import io
import json
from pathlib import Path

import pytest
from llama_index.core.base.llms import types
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    DocumentBlock,
    ImageBlock,
    TextBlock,
)

from sagewire import UnsupportedFeature, UsageError
from sagewire.content_handlers import OpenAiChatHandler
from sagewire.emulator import Emulator
from sagewire.integrations.llama_index import SageMakerLLM

from ...cases import each

# Releases before 0.14 keep both in `additional_kwargs`.
ThinkingBlock = getattr(types, "ThinkingBlock", None)
ToolCallBlock = getattr(types, "ToolCallBlock", None)
CitableBlock = getattr(types, "CitableBlock", None)
has_blocks = pytest.mark.skipif(ToolCallBlock is None, reason="this LlamaIndex has no such block")

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PNG_URL = "data:image/png;base64," + base64.b64encode(PNG).decode()


def sent(emulator: Emulator, *messages: ChatMessage, **given: object) -> list[dict]:
    SageMakerLLM("chat", **{"content_handler": "openai_chat", **given}).chat(list(messages))
    return emulator.calls[-1].json["messages"]


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("system", "system"),
        ("developer", "system"),
        ("user", "user"),
        ("assistant", "assistant"),
        ("chatbot", "assistant"),
        ("model", "assistant"),
    ],
)
def test_every_role_has_its_name_on_the_wire(emulator: Emulator, role: str, expected: str) -> None:
    first, *_ = sent(emulator, ChatMessage(role=role, content="x"), ChatMessage(role="user", content="hi"))
    assert first == {"role": expected, "content": "x"}


def test_text_blocks_are_lines_as_in_chat_message_content(emulator: Emulator) -> None:
    message = ChatMessage(role="user", blocks=[TextBlock(text="one"), TextBlock(text="two")])
    assert sent(emulator, message)[0]["content"] == message.content == "one\ntwo"


def test_repeated_roles_and_unicode_arrive_as_they_are(emulator: Emulator) -> None:
    messages = [ChatMessage(role="user", content="ein"), ChatMessage(role="user", content="二 🙂")]
    assert [m["content"] for m in sent(emulator, *messages)] == ["ein", "二 🙂"]


def test_images_arrive_whole_in_every_form(emulator: Emulator, tmp_path: Path) -> None:
    file = tmp_path / "dot.png"
    file.write_bytes(PNG)
    blocks = [
        TextBlock(text="look"),
        ImageBlock(image=PNG, detail="low"),
        ImageBlock(image=base64.b64encode(PNG)),
        ImageBlock(image=io.BytesIO(PNG) if ToolCallBlock else PNG),
        ImageBlock(path=file),
        ImageBlock(url=PNG_URL),
        ImageBlock(url="https://example.org/a.png"),
    ]
    text, *images = sent(emulator, ChatMessage(role="user", blocks=blocks))[0]["content"]
    assert text == {"type": "text", "text": "look"}
    assert images[0] == {"type": "image_url", "image_url": {"url": PNG_URL, "detail": "low"}}
    assert [image["image_url"]["url"] for image in images] == [PNG_URL] * 5 + ["https://example.org/a.png"]


def test_an_image_file_that_is_gone_is_the_callers_error(emulator: Emulator, tmp_path: Path) -> None:
    file = tmp_path / "dot.png"
    file.write_bytes(PNG)
    block = ImageBlock(path=file)
    file.unlink()
    with pytest.raises(UsageError, match=r"cannot be read.*dot\.png"):
        sent(emulator, ChatMessage(role="user", blocks=[block]))


@has_blocks
def test_tool_calls_and_results_go_back_as_the_wire_has_them(emulator: Emulator) -> None:
    history = [
        ChatMessage(role="user", content="add"),
        ChatMessage(
            role="assistant",
            blocks=[
                ToolCallBlock(tool_call_id="a", tool_name="add", tool_kwargs={"city": "東京"}),
                ToolCallBlock(tool_call_id="b", tool_name="add", tool_kwargs='{"x": 2}'),
            ],
        ),
        ChatMessage(role="tool", content="7", additional_kwargs={"tool_call_id": "a"}),
        ChatMessage(role="tool", content="8", additional_kwargs={"tool_call_id": "b"}),
    ]
    _, asked, first, second = sent(emulator, *history)
    calls = [(c["id"], c["function"]["name"], json.loads(c["function"]["arguments"])) for c in asked["tool_calls"]]
    assert calls == [("a", "add", {"city": "東京"}), ("b", "add", {"x": 2})]
    assert "東京" in asked["tool_calls"][0]["function"]["arguments"]
    assert (first["tool_call_id"], first["content"]) == ("a", "7")
    assert (second["tool_call_id"], second["content"]) == ("b", "8")


@has_blocks
def test_calls_of_older_integrations_are_read_once(emulator: Emulator) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    old = ChatMessage(role="assistant", content="", additional_kwargs={"tool_calls": [call]})
    both = ChatMessage(
        role="assistant",
        blocks=[ToolCallBlock(tool_call_id="a", tool_name="add", tool_kwargs="{}")],
        additional_kwargs={"tool_calls": [call]},
    )
    for message in (old, both):
        result = ChatMessage(role="tool", content="7", additional_kwargs={"tool_call_id": "a"})
        asked = sent(emulator, ChatMessage(content="q"), message, result)[1]
        assert [c["id"] for c in asked["tool_calls"]] == ["a"]


@has_blocks
def test_thinking_goes_back_only_where_the_wire_wants_it(emulator: Emulator) -> None:
    turns = [
        ChatMessage(role="user", content="q"),
        ChatMessage(role="assistant", blocks=[ThinkingBlock(content="hmm"), TextBlock(text="a")]),
        ChatMessage(role="user", content="q2"),
    ]
    assert sent(emulator, *turns)[1] == {"role": "assistant", "content": "a"}
    handler = OpenAiChatHandler(thinking_field="reasoning_content")
    assert sent(emulator, *turns, content_handler=handler)[1]["reasoning_content"] == "hmm"


def test_a_speakers_name_is_kept(emulator: Emulator) -> None:
    message = ChatMessage(role="user", content="hi", additional_kwargs={"name": "ada"})
    assert sent(emulator, message)[0]["name"] == "ada"


@pytest.mark.parametrize(
    ("block", "part"),
    [
        (
            AudioBlock(audio=b"x", format="wav"),
            {"type": "input_audio", "input_audio": {"data": "eA==", "format": "wav"}},
        ),
        (AudioBlock(url="https://e/x.wav"), {"type": "audio_url", "audio_url": {"url": "https://e/x.wav"}}),
        (
            DocumentBlock(data=b"%PDF-1.4", title="a.pdf", document_mimetype="application/pdf"),
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0xLjQ=", "filename": "a.pdf"}},
        ),
    ],
)
def test_media_travel_in_openais_shape(emulator: Emulator, block: object, part: object) -> None:
    assert sent(emulator, ChatMessage(role="user", blocks=[block]))[0]["content"] == [part]


CALL = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}]


@each(
    ("kept", "expected"),
    [
        ({"tool_calls": [{"id": "c", "name": "f", "input": {"x": 1}, "type": "tool_use"}]}, {"tool_calls": CALL}),
        ({"tool_calls": [{"toolUseId": "c", "name": "f", "input": {"x": 1}}]}, {"tool_calls": CALL}),
        ({"tool_calls": [{"id": "c", "name": "f", "args": {"x": 1}}]}, {"tool_calls": CALL}),
        ({"function_call": {"name": "f", "arguments": '{"x": 1}'}}, {"tool_calls": [{**CALL[0], "id": "call_f"}]}),
        ({"reasoning_content": "why"}, {"thinking": "why"}),
        ({"thinking": {"thinking": "why", "signature": "s"}}, {"thinking": "why"}),
        ({"refusal": "No."}, {"content": "No."}),
        ({"audio": {"id": "a", "transcript": "Yes."}}, {"content": "Yes."}),
    ],
)
def test_histories_of_other_integrations_are_continued_without_loss(emulator: Emulator, kept, expected) -> None:
    handler = OpenAiChatHandler(thinking_field="thinking")
    turns = [ChatMessage(content="q"), ChatMessage(role="assistant", additional_kwargs=kept), ChatMessage(content="q")]
    said = sent(emulator, *turns, content_handler=handler)[1]
    assert {name: said.get(name) for name in expected} == expected


def test_a_functions_result_belongs_to_its_call(emulator: Emulator) -> None:
    call = ChatMessage(role="assistant", additional_kwargs={"function_call": {"name": "f", "arguments": "{}"}})
    result = ChatMessage(role="function", content="4", additional_kwargs={"name": "f"})
    _, asked, answered = sent(emulator, ChatMessage(content="q"), call, result)
    assert asked["tool_calls"][0]["id"] == answered["tool_call_id"] == "call_f"


@pytest.mark.skipif(CitableBlock is None, reason="this LlamaIndex has no such block")
def test_a_citable_document_keeps_its_title_and_source(emulator: Emulator) -> None:
    block = CitableBlock(title="T", source="S", content=[TextBlock(text="x")])
    assert sent(emulator, ChatMessage(blocks=[block]))[0]["content"] == "T\nS\nx"


def test_hints_for_caches_are_left_out(emulator: Emulator) -> None:
    blocks = [TextBlock(text="Hi"), CachePoint(cache_control=CacheControl(type="ephemeral"))]
    assert sent(emulator, ChatMessage(role="user", blocks=blocks))[0]["content"] == "Hi"


def test_a_document_by_url_is_refused(emulator: Emulator) -> None:
    with pytest.raises(UnsupportedFeature, match="its URL"):
        sent(emulator, ChatMessage(role="user", blocks=[DocumentBlock(url="https://e/a.pdf")]))
    assert not emulator.calls


def test_an_empty_conversation_is_refused() -> None:
    with pytest.raises(UsageError, match="messages is empty"):
        SageMakerLLM("chat", content_handler="openai_chat", aws_region_name="us-east-1").chat([])


@has_blocks
def test_messages_that_make_no_sense_are_refused(emulator: Emulator) -> None:
    for role, block, said in (
        ("user", ThinkingBlock(content="x"), "role 'user' holds thinking"),
        ("user", ToolCallBlock(tool_name="x"), "role 'user' holds tool calls"),
        ("assistant", ToolCallBlock(tool_name="x", tool_kwargs={"a": object()}), "must be JSON"),
    ):
        with pytest.raises(UsageError, match=said):
            sent(emulator, ChatMessage(role=role, blocks=[block]))


def test_the_callers_messages_are_not_changed(emulator: Emulator) -> None:
    messages = [ChatMessage(role="system", content="s"), ChatMessage(role="user", blocks=[ImageBlock(image=PNG)])]
    before = [message.model_dump() for message in messages]
    sent(emulator, *messages)
    assert [message.model_dump() for message in messages] == before
