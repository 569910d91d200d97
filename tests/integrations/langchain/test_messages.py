"""Every shape in which LangChain carries a turn, as sagewire's messages."""

import base64
import datetime

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

from sagewire import ImagePart, Message, TextPart, ToolCall, UnsupportedFeature, UsageError
from sagewire.integrations.langchain._messages import to_messages

from ...cases import each

PIXEL = b"\x89PNG pixel"
ENCODED = base64.b64encode(PIXEL).decode()


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (SystemMessage("Be brief."), Message("system", "Be brief.")),
        (HumanMessage("Hi", name="ada"), Message("user", "Hi", name="ada")),
        (HumanMessageChunk("Hi"), Message("user", "Hi")),
        (HumanMessage(""), Message("user", "")),
        (HumanMessage(["a", {"type": "text", "text": "b"}]), Message("user", (TextPart("a"), TextPart("b")))),
        (AIMessage("Yes"), Message("assistant", "Yes")),
        (AIMessage(["Y", {"type": "text", "text": "es"}]), Message("assistant", "Yes")),
        (AIMessage([{"type": "output_text", "text": "Yes", "annotations": []}]), Message("assistant", "Yes")),
        (HumanMessage([{"type": "input_text", "text": "Hi"}]), Message("user", "Hi")),
        (ChatMessage("Hi", role="developer"), Message("system", "Hi")),
        (ChatMessage("Hi", role="human"), Message("user", "Hi")),
        (FunctionMessage("42", name="add"), Message("tool", "42", tool_call_id="call_add", name="add")),
        (
            ToolMessage("42", tool_call_id="c1", name="add", status="error"),
            Message("tool", "42", tool_call_id="c1", name="add"),
        ),
        (
            AIMessage("", tool_calls=[{"name": "add", "args": {"city": "東京"}, "id": "c1"}]),
            Message("assistant", "", tool_calls=(ToolCall("c1", "add", '{"city": "東京"}'),)),
        ),
        (
            AIMessage("", invalid_tool_calls=[{"name": "add", "args": "{", "id": "c1", "error": "broken"}]),
            Message("assistant", "", tool_calls=(ToolCall("c1", "add", "{"),)),
        ),
        (
            AIMessage("4", additional_kwargs={"reasoning_content": "2+2"}),
            Message("assistant", "4", thinking="2+2"),
        ),
    ],
)
def test_one_message(message, expected):
    assert to_messages([message]) == [expected]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "base64": ENCODED, "mime_type": "image/png"},
        {"type": "image", "source_type": "base64", "data": ENCODED, "mime_type": "image/png"},
        {"type": "image", "source": {"type": "base64", "data": ENCODED, "media_type": "image/png"}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{ENCODED}"}},
        {"type": "image_url", "image_url": f"data:image/png;base64,{ENCODED}"},
        {"type": "image", "url": f"data:image/png;base64,{ENCODED}"},
        {"type": "image", "base64": f"data:image/png;charset=utf-8;base64,{ENCODED}"},
        {"type": "image", "image": f"data:image/png;base64,{ENCODED}"},
        {"type": "image", "image": {"format": "png", "source": {"bytes": PIXEL}}},
        {"image": {"format": "png", "source": {"bytes": PIXEL}}},
        {"image_url": f"data:image/png;base64,{ENCODED}"},
        {"type": "media", "mime_type": "image/png", "data": PIXEL},
        {"type": "non_standard", "value": {"type": "image", "base64": ENCODED, "mime_type": "image/png"}},
    ],
)
def test_an_image_in_every_dialect(block):
    [message] = to_messages([HumanMessage([{"type": "text", "text": "Look"}, block])])
    assert message.content == (TextPart("Look"), ImagePart(data=PIXEL, media_type="image/png"))


def test_an_image_by_its_url_keeps_its_detail():
    block = {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}}
    [message] = to_messages([HumanMessage([block])])
    assert message.content == (ImagePart(url="https://example.org/a.png", detail="low"),)


def test_standard_blocks_of_an_assistant_come_back_as_one_turn():
    content = [
        {"type": "reasoning", "reasoning": "hm"},
        {"type": "text", "text": "Calling."},
        {"type": "tool_call", "id": "c1", "name": "add", "args": {"a": 1}},
        {"type": "tool_call", "id": "c2", "name": "add", "args": {"a": 2}},
    ]
    calls = [{"name": "add", "args": {"a": n}, "id": f"c{n}"} for n in (1, 2)]
    [message] = to_messages([AIMessage(content, tool_calls=calls)])
    assert message == Message(
        "assistant",
        "Calling.",
        tool_calls=(ToolCall("c1", "add", '{"a": 1}'), ToolCall("c2", "add", '{"a": 2}')),
        thinking="hm",
    )


def test_anthropic_blocks_are_read():
    asked = AIMessage(
        [
            {"type": "thinking", "thinking": "hm", "signature": "x"},
            {"type": "redacted_thinking", "data": "x"},
            {"type": "tool_use", "id": "t1", "name": "add", "input": {"a": 1}},
        ]
    )
    answered = HumanMessage(
        [
            {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "2"}]},
            {"type": "text", "text": "Go on."},
        ]
    )
    assert to_messages([asked, answered]) == [
        Message("assistant", "", tool_calls=(ToolCall("t1", "add", '{"a": 1}'),), thinking="hm"),
        Message("tool", "2", tool_call_id="t1"),
        Message("user", "Go on."),
    ]


def test_tool_results_alone_leave_no_empty_turn():
    message = HumanMessage([{"type": "tool_result", "tool_use_id": "t1", "content": "2"}])
    assert to_messages([message]) == [Message("tool", "2", tool_call_id="t1")]


def test_summaries_of_the_responses_api_are_thinking():
    block = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "a"}, "b"]}
    [message] = to_messages([AIMessage([block, {"type": "text", "text": "c"}])])
    assert (message.thinking, message.text) == ("ab", "c")


def test_roles_may_repeat_and_a_system_turn_may_stand_anywhere():
    turns = [
        HumanMessage("a"),
        SystemMessage("b"),
        HumanMessage("c"),
        HumanMessage("d"),
        AIMessage("e"),
        AIMessage("f"),
    ]
    assert [(m.role, m.text) for m in to_messages(turns)] == [
        ("user", "a"), ("system", "b"), ("user", "c"), ("user", "d"), ("assistant", "e"), ("assistant", "f"),
    ]  # fmt: skip


def test_chunks_of_a_stream_can_be_sent_back():
    chunk = AIMessageChunk(
        content="x",
        tool_call_chunks=[{"name": "add", "args": '{"a": 1}', "id": "c1", "index": 0}],
        chunk_position="last",
    )
    assert to_messages([chunk]) == [Message("assistant", "x", tool_calls=(ToolCall("c1", "add", '{"a": 1}'),))]


PDF_URL = f"data:application/pdf;base64,{ENCODED}"


@pytest.mark.parametrize(
    ("block", "kind", "value"),
    [
        ({"type": "audio", "base64": ENCODED, "mime_type": "audio/mpeg"}, "input_audio", ("mp3", ENCODED)),
        ({"type": "input_audio", "input_audio": {"data": ENCODED, "format": "wav"}}, "input_audio", ("wav", ENCODED)),
        ({"type": "audio", "url": "https://e/x.wav"}, "audio_url", ("https://e/x.wav",)),
        ({"type": "audio_url", "audio_url": {"url": "https://e/x.wav"}}, "audio_url", ("https://e/x.wav",)),
        ({"type": "video", "url": "https://e/x.mp4"}, "video_url", ("https://e/x.mp4",)),
        ({"type": "video", "base64": ENCODED}, "video_url", (f"data:video/mp4;base64,{ENCODED}",)),
        ({"type": "media", "mime_type": "video/webm", "data": ENCODED}, "video_url",
         (f"data:video/webm;base64,{ENCODED}",)),
        ({"type": "file", "base64": ENCODED, "mime_type": "application/pdf", "extras": {"filename": "a.pdf"}}, "file",
         ("a.pdf", PDF_URL)),
        ({"type": "file", "source_type": "base64", "data": ENCODED, "mime_type": "application/pdf"}, "file",
         ("file.pdf", PDF_URL)),
        ({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": ENCODED}}, "file",
         ("file.pdf", PDF_URL)),
        ({"type": "file", "url": f"data:application/pdf;name=x.pdf;base64,{ENCODED}"}, "file", ("file.pdf", PDF_URL)),
        ({"type": "document", "document": {"format": "pdf", "name": "n", "source": {"bytes": PIXEL}}}, "file",
         ("n", PDF_URL)),
        ({"type": "video", "video": {"format": "mov", "source": {"bytes": PIXEL}}}, "video_url",
         (f"data:video/quicktime;base64,{ENCODED}",)),
        ({"type": "video", "video": "https://e/x.mp4"}, "video_url", ("https://e/x.mp4",)),
        ({"type": "media", "mime_type": "audio/mp3", "data": PIXEL}, "input_audio", ("mp3", ENCODED)),
        ({"type": "file", "file": {"file_id": "file-1"}}, "file", ("file-1",)),
        ({"type": "file", "file_id": "file-1"}, "file", ("file-1",)),
    ],
)  # fmt: skip
def test_media_travel_in_openais_shape(block, kind, value):
    (part,) = to_messages([HumanMessage([block])])[0].content
    assert (part.kind, tuple(sorted(part.value.values()))) == (kind, tuple(sorted(value)))


def test_blocks_of_other_providers_servers_do_not_end_a_conversation():
    blocks = [
        {"type": "text", "text": "It rains."},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "rain"}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
        {"type": "server_tool_call", "id": "s", "name": "web_search", "args": {}},
        {"type": "server_tool_result", "tool_call_id": "s", "status": "success"},
        {"type": "non_standard", "value": {"type": "executable_code", "code": "1"}},
    ]
    assert to_messages([AIMessage(blocks)]) == [Message("assistant", "It rains.")]
    with pytest.raises(UsageError, match="unknown content part"):
        to_messages([HumanMessage([{"type": "executable_code"}])])


@each(
    ("content", "expected"),
    [
        ([{"city": "Bergen"}], '[{"city": "Bergen"}]'),
        ([{"type": "Feature", "text": "Bergen"}], '[{"type": "Feature", "text": "Bergen"}]'),
        ([{"type": "text", "value": "x"}], '[{"type": "text", "value": "x"}]'),
        ([{"type": "server_tool_result", "output": "x"}], '[{"type": "server_tool_result", "output": "x"}]'),
        ([], "[]"),
        ([{"type": "json", "json": {"a": 1}}], '{"a": 1}'),
        ([{"type": "text", "text": "x"}, {"rain": 3}], (TextPart("x"), TextPart('{"rain": 3}'))),
        ([{"type": "tool_result", "tool_use_id": "a", "content": "inner"}], "inner"),
        ([{"type": "search_result", "source": "https://e", "title": "T", "content": [{"type": "text", "text": "x"}]}],
         "T\nhttps://e\nx"),
    ],
)  # fmt: skip
def test_what_a_tool_returned_may_be_data(content, expected):
    (turn,) = to_messages([ToolMessage(content, tool_call_id="a")])
    assert turn.content == expected


@each(
    ("message", "expected"),
    [
        (AIMessage("", additional_kwargs={"function_call": {"name": "f", "arguments": "{}"}}),
         Message("assistant", tool_calls=(ToolCall("call_f", "f", "{}"),))),
        (AIMessage("", additional_kwargs={"refusal": "No."}), Message("assistant", "No.")),
        (AIMessage("", additional_kwargs={"audio": {"id": "a", "transcript": "Yes."}}), Message("assistant", "Yes.")),
        (AIMessage("x", additional_kwargs={"reasoning": {"id": "r", "summary": [{"text": "why"}]}}),
         Message("assistant", "x", thinking="why")),
        (AIMessage("x", additional_kwargs={"thinking": "why"}), Message("assistant", "x", thinking="why")),
        (AIMessage("x", additional_kwargs={"reasoning_details": [{"type": "reasoning.text", "text": "why"}]}),
         Message("assistant", "x", thinking="why")),
        (AIMessage([{"type": "output_text", "text": "x"}]), Message("assistant", "x")),
        (AIMessage([{"type": "custom_tool_call", "id": "b", "call_id": "c", "name": "f", "input": "raw"}]),
         Message("assistant", tool_calls=(ToolCall("c", "f", '{"input": "raw"}'),))),
        (AIMessage([{"type": "tool_use", "id": "c", "name": "f", "input": {}, "partial_json": '{"x": 1}'}]),
         Message("assistant", tool_calls=(ToolCall("c", "f", '{"x": 1}'),))),
        (AIMessage([{"type": "tool_call_chunk", "id": "c", "name": "f", "args": '{"x"'},
                    {"type": "tool_call_chunk", "id": None, "name": None, "args": ": 1}"}]),
         Message("assistant", tool_calls=(ToolCall("c", "f", '{"x": 1}'),))),
        (AIMessage([{"type": "thinking", "thinking": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]),
         Message("assistant", thinking="ab")),
        (AIMessage([{"type": "citations_content", "citations_content": {"content": [{"text": "x"}]}}]),
         Message("assistant", "x")),
        (AIMessage([{"type": "reasoning_content", "reasoning_content": {"text": "why", "signature": "s"}}]),
         Message("assistant", thinking="why")),
        (ChatMessage("x", role="assistant", additional_kwargs={"tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}),
         Message("assistant", "x", tool_calls=(ToolCall("c", "f", "{}"),))),
        (HumanMessage([{"type": "input_text", "text": "x"}]), Message("user", "x")),
        (HumanMessage("x", additional_kwargs={"name": "ada"}), Message("user", "x", name="ada")),
        (SystemMessage([{"type": "text", "text": "s"}, {"cachePoint": {"type": "default"}}]), Message("system", "s")),
        (HumanMessage([{"guardContent": {"text": {"text": "x"}}}]), Message("user", "x")),
        (HumanMessage([{"document": {"format": "txt", "name": "n", "source": {"text": "x"}}}]),
         Message("user", "n\nx")),
        (HumanMessage([{"type": "document", "source": {"type": "text", "data": "x"}, "title": "T", "context": "C"}]),
         Message("user", "T\nC\nx")),
        (HumanMessage([
            {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "x"}]}}]),
         Message("user", "x")),
        (HumanMessage([{"type": "file", "source_type": "text", "text": "x", "mime_type": "text/plain"}]),
         Message("user", "x")),
    ],
)  # fmt: skip
def test_histories_of_other_providers_are_continued_without_loss(message, expected):
    assert to_messages([message]) == [expected]


def test_arguments_that_json_lacks_are_written_as_text():
    call = {"name": "f", "args": {"day": datetime.date(2020, 1, 2)}, "id": "c"}
    assert to_messages([AIMessage("", tool_calls=[call])])[0].tool_calls[0].arguments == '{"day": "2020-01-02"}'


def test_what_a_message_keeps_beside_its_content_is_left_out_and_told_of_once(caplog, monkeypatch):
    monkeypatch.setattr("sagewire.types.content.left_out._SAID", set())
    with caplog.at_level("INFO", logger="sagewire"):
        for _ in range(2):
            to_messages([HumanMessage("x", additional_kwargs={"timestamp": 5, "empty": None})])
    assert [record.getMessage() for record in caplog.records] == [
        "additional_kwargs of messages that are not sent on are left out: ['timestamp']"
    ]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "audio", "mime_type": "audio/wav"},
        {"type": "file", "url": "https://example.org/a.pdf"},
        {"type": "image", "file_id": "file-1"},
        {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://b/k"}}}},
        {"type": "document", "source": {"type": "content", "content": [{"type": "image"}]}},
        {"type": "text-plain", "url": "https://example.org/a.txt"},
    ],
)
def test_what_no_container_takes_is_refused_by_name(block):
    with pytest.raises(UnsupportedFeature, match="cannot express"):
        to_messages([HumanMessage([block])])


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [RemoveMessage(id="x")],
        [HumanMessage([{"type": "hologram"}])],
        [HumanMessage([{"type": "text", "content": "x"}])],
        [HumanMessage([{"type": "container_upload", "file_id": "f"}])],
        [HumanMessage([{"type": "image", "base64": "###", "mime_type": "image/png"}])],
        [ChatMessage("x", role="narrator")],
        [HumanMessage([{"type": "tool_use", "id": "t", "name": "f", "input": {}}])],
    ],
)
def test_nonsense_is_a_usage_error(messages):
    with pytest.raises(UsageError):
        to_messages(messages)


def test_plain_documents_are_text():
    [message] = to_messages(
        [HumanMessage([{"type": "text-plain", "text": "a", "mime_type": "text/plain"},
                       {"type": "text-plain", "base64": base64.b64encode("ß".encode()).decode()}])]
    )  # fmt: skip
    assert message.text == "aß"
