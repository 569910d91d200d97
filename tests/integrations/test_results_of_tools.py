"""What tools return reaches the model whole, though a record of theirs may look like a content block."""

import base64
import json

from langchain_core.messages import FunctionMessage, ToolMessage
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock

from sagewire import ImagePart, MediaPart, Message, TextPart
from sagewire.integrations.langchain._messages import to_messages
from sagewire.integrations.llama_index._messages import as_sagewire_messages
from sagewire.types import as_message

from ..cases import each

PIXEL = b"\x89PNG pixel"
ENCODED = base64.b64encode(PIXEL).decode()
PNG = {"type": "image", "base64": ENCODED, "mime_type": "image/png"}
PICTURE = ImagePart(data=PIXEL, media_type="image/png")
WAV = MediaPart("input_audio", {"data": ENCODED, "format": "wav"})

DATA = [
    [{"type": "search_result", "title": "T", "url": "https://u", "snippet": "The answer is 42"}],
    [{"type": "search_result", "title": "T", "content": "x", "score": 0.5}],
    [{"type": "search_result", "title": 3, "content": "x"}],
    [{"type": "search_result", "content": [{"text": "x", "page": 3}]}],
    [{"type": "citations_content", "content": [{"text": "x"}], "citations": [{"title": "T"}]}],
    [{"type": "json", "path": "a.json", "size": 3}],
    [{"type": "json", "json": {"a": 1}, "path": "a.json"}],
    [{"type": "tool_call", "name": "f", "args": {"x": 1}, "id": "c"}],
    [{"type": "tool_use", "name": "f", "input": {"x": 1}, "id": "c"}],
    [{"type": "function_call", "name": "f", "arguments": "{}"}],
    [{"type": "reasoning", "reasoning": "because"}],
    [{"type": "thinking", "thinking": "because"}],
    [{"type": "redacted_thinking", "data": "x"}],
    [{"type": "refusal", "refusal": "no"}],
    [{"type": "cache_point", "lat": 60.4}],
    [{"type": "tool_result", "tool": "f", "score": 3}],
    [{"type": "tool_result", "content": "x", "score": 3}],
    [{"type": "non_standard", "value": {"type": "image", "name": "a"}}],
    [{"type": "non_standard", "value": 3}],
    [{"type": "text-plain", "url": "https://e/a.txt"}],
    [{"type": "guard_content", "text": {"text": "x", "score": 1}}],
    [{"type": "file", "name": "a.py"}, {"n": 1}],
    [{"type": "file", "name": "a.py"}, "text", 3, None],
    [{"type": "file", "path": "a", "size": 3, "url": "https://e/a", "content": "aGk=", "encoding": "base64"}],
    [{"type": "file", "file": "a.py"}],
    [{"type": "file", "file": {"path": "a.py"}}],
    [{"type": "file", "url": "src/a.py"}],
    [{"type": "file", "data": "hello world"}],
    [{"type": "document", "source": "wiki", "page": 3}],
    [{"type": "document", "text": "x"}],
    [{"type": "image", "url": "https://e/a.png", "title": "A cat"}],
    [{"type": "image", "url": "https://e/a.png", "data": {"width": 3}}],
    [{"type": "image", "source": {"url": "https://e/a.png", "width": 3}}],
    [{"type": "video", "url": "https://e/a.mp4", "views": 0}],
    [{"type": "audio", "title": "Song"}],
    [{"type": "media", "outlet": "BBC"}],
    [{"type": "text", "text": "x", "score": 0.5}],
    [{"type": "text", "text": "x", "id": "doc-7"}],
    [{"type": "text", "text": "x", "annotations": [{"label": "person"}]}],
    [{"type": "text", "text": None}],
    [{"type": ["string", "null"], "text": "x"}],
]  # fmt: skip

BLOCKS = [
    ([{"type": "text", "text": "x", "id": "lc_1", "annotations": [], "_meta": {"a": 1}}], "x"),
    ([{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}], "x"),
    ([{"type": "input_text", "text": "x"}, "y"], (TextPart("x"), TextPart("y"))),
    ([{"type": "guard_content", "text": {"text": "x", "qualifiers": ["query"]}}], "x"),
    ([{"type": "json", "json": {"a": 1}}], '{"a": 1}'),
    ([{"type": "text-plain", "text": "x", "mime_type": "text/plain", "title": "T"}], "T\nx"),
    ([{"type": "search_result", "source": "https://e", "title": "T", "content": ["x", {"type": "text", "text": "y"}],
       "citations": {"enabled": True}}], "T\nhttps://e\nxy"),
    ([{"type": "citations_content", "citations_content": {"content": [{"text": "x"}]}}], "x"),
    ([{"type": "tool_result", "tool_use_id": "a", "content": "x"},
      {"type": "tool_result", "tool_use_id": "b", "content": [{"type": "text", "text": "y"}]}],
     (TextPart("x"), TextPart("y"))),
    ([{"type": "text", "text": "x"}, {"type": "tool_result", "tool_use_id": "a", "content": "y"}, {"n": 1}],
     (TextPart("x"), TextPart("y"), TextPart('{"n": 1}'))),
    ([{"type": "function_call_output", "id": "fc_1", "call_id": "a", "output": {"n": 1}}], '{"n": 1}'),
    ([{"type": "tool_result", "content": [PNG]}, {"cachePoint": {"type": "default"}}],
     (PICTURE, TextPart('{"cachePoint": {"type": "default"}}'))),
    ([{"type": "text", "text": "x"}, {"type": "cache_point"}], "x"),
    ([{"type": "text", "text": "x"}, {"type": "thinking", "thinking": "y"}],
     (TextPart("x"), TextPart('{"type": "thinking", "thinking": "y"}'))),
    ([PNG], (PICTURE,)),
    ([{"type": "non_standard", "value": PNG}], (PICTURE,)),
    ([{"type": "image", "data": ENCODED, "mimeType": "image/png", "annotations": {"audience": ["user"]}}], (PICTURE,)),
    ([{"type": "image", "source": {"type": "base64", "data": ENCODED, "media_type": "image/png"}}], (PICTURE,)),
    ([{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{ENCODED}", "detail": None}}], (PICTURE,)),
    ([{"type": "input_image", "image_url": "https://e/a.png"}], (ImagePart(url="https://e/a.png"),)),
    ([{"type": "image", "url": "https://e/a.png"}], (ImagePart(url="https://e/a.png"),)),
    ([{**PNG, "name": "plot.png", "size": 0}], (TextPart('{"name": "plot.png", "size": 0}'), PICTURE)),
    ([{**PNG, "url": "https://e/a.png"}], (TextPart('{"url": "https://e/a.png"}'), PICTURE)),
    ([{"type": "image", "source": {"type": "base64", "data": ENCODED, "media_type": "image/png", "width": 3}}],
     (TextPart('{"source": {"width": 3}}'), PICTURE)),
    ([{"type": "audio", "base64": ENCODED, "mime_type": "audio/wav"}], (WAV,)),
    ([{"type": "input_audio", "input_audio": {"data": ENCODED, "format": "wav"}}], (WAV,)),
    ([{"type": "video", "url": "https://e/a.mp4"}], (MediaPart("video_url", {"url": "https://e/a.mp4"}),)),
    ([{"type": "file", "file_id": "file-1"}], (MediaPart("file", {"file_id": "file-1"}),)),
    ([{"type": "file", "file": {"file_id": "file-1"}}], (MediaPart("file", {"file_id": "file-1"}),)),
    ([{"type": "file", "base64": ENCODED, "mime_type": "application/pdf", "extras": {"filename": "a.pdf"}}],
     (MediaPart("file", {"file_data": f"data:application/pdf;base64,{ENCODED}", "filename": "a.pdf"}),)),
    ([{"type": "file", "source_type": "text", "text": "x", "mime_type": "text/plain"}], "x"),
    ([{"type": "document", "source": {"type": "text", "data": "x"}, "title": "T", "context": "C"}], "T\nC\nx"),
    ([{"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "x"}]}}], "x"),
    ([{"type": "document", "document": {"format": "txt", "name": "n", "source": {"bytes": b"x"}}}],
     (MediaPart("file", {"file_data": "data:text/plain;base64,eA==", "filename": "n"}),)),
]  # fmt: skip


def read_everywhere(content):
    """Return what a plain message, Anthropic's block in a user's message, and LangChain's two messages send."""
    block = {"type": "tool_result", "tool_use_id": "c", "content": content}
    read = [
        as_message({"role": "tool", "tool_call_id": "c", "content": content}),
        as_message({"role": "user", "content": [block]}),
        as_message({"role": "function", "name": "f", "content": content}),
    ]
    if all(isinstance(item, str | dict) for item in content):
        read += to_messages([ToolMessage(content, tool_call_id="c"), FunctionMessage(content, name="f")])
    return [message.content for message in read]


@each("content", DATA)
def test_records_are_sent_whole_as_json(content):
    for text in read_everywhere(content):
        assert isinstance(text, str)
        assert json.loads(text) == content


@each(("content", "expected"), BLOCKS)
def test_blocks_are_parts_in_their_order(content, expected):
    for said in read_everywhere(content):
        assert said == expected


@each(
    ("content", "expected"),
    [("42", "42"), ([{"a": 1}], '[{"a": 1}]'), ([PNG], (PICTURE,)), (["x", PNG], (TextPart("x"), PICTURE))],
)
def test_a_function_message_keeps_what_is_not_text(content, expected):
    [message] = to_messages([FunctionMessage(content, name="f")])
    assert message == Message("tool", expected, tool_call_id="call_f", name="f")


@each("content", DATA)
def test_llama_index_sends_records_as_its_tools_write_them(content):
    for role, kept in (("tool", {"tool_call_id": "call_f"}), ("function", {"name": "f"})):
        blocks = [TextBlock(text=json.dumps(content)), ImageBlock(image=PIXEL, image_mimetype="image/png")]
        text, both = as_sagewire_messages(
            [
                ChatMessage(role=role, content=json.dumps(content), additional_kwargs=kept),
                ChatMessage(role=role, blocks=blocks, additional_kwargs=kept),
            ]
        )
        assert (text.content, text.tool_call_id) == (json.dumps(content), "call_f")
        assert both.content == (TextPart(json.dumps(content)), PICTURE)
