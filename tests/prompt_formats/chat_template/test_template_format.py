"""Loading chat templates from dicts, files, folders and a Hub on loopback, and what is handed to them."""

import json
import threading
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sagewire.errors import MissingExtra, UnsupportedFeature, UsageError
from sagewire.prompt_formats.chat_template import HubFormat, load_format
from sagewire.streaming.accumulate import fold
from sagewire.types import ImagePart, Message, TextPart, Tool, ToolCall

CHATML = (
    "{{ bos_token }}{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{{ m['content'] | trim + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TOKENS = {"bos_token": None, "eos_token": {"__type": "AddedToken", "content": "<|im_end|>"}}
HELLO = [{"role": "user", "content": "Hello"}]
RENDERED = "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"


def template(text, **options):
    return load_format({"chat_template": text}, **options)


def render(text, messages=HELLO, tools=None, *, options=None, **arguments):
    return template(text, **{"strict": False, **(options or {})}).render(messages, tools, **arguments)


def test_a_dict():
    fmt = load_format({"chat_template": CHATML, **TOKENS})
    assert fmt.render(HELLO) == RENDERED
    assert fmt.render_completion("Hello") == RENDERED
    assert fmt.render_completion("Hello", "Be brief.").startswith("<|im_start|>system\nBe brief.<|im_end|>\n")
    assert fmt.render(HELLO, add_generation_prompt=False) == "<|im_start|>user\nHello<|im_end|>\n"
    assert fmt.stops == ("<|im_end|>",)
    assert isinstance(fmt, HubFormat)


@pytest.mark.parametrize("name", ["tokenizer_config.json", "chat_template.json", "chat_template.jinja", "my.jinja"])
def test_a_file(tmp_path, name):
    path = tmp_path / name
    path.write_text(CHATML if name.endswith("jinja") else json.dumps({"chat_template": CHATML}))
    assert load_format(path).render(HELLO) == RENDERED
    assert load_format(str(path)).render(HELLO) == RENDERED


def test_a_folder_where_the_template_is_a_file_of_its_own(tmp_path):
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>", "chat_template": "old"}))
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": "{{ bos_token }}newer"}))
    assert load_format(tmp_path).render([]) == "<s>newer"
    (tmp_path / "chat_template.jinja").write_text("{{ bos_token }}newest")
    assert load_format(tmp_path).render([]) == "<s>newest"
    (tmp_path / "additional_chat_templates").mkdir()
    (tmp_path / "additional_chat_templates" / "short.jinja").write_text("short")
    assert load_format(tmp_path, template_name="short").render([]) == "short"


def test_what_ends_an_answer_is_read_from_the_generation_config(tmp_path):
    config = {
        "chat_template": "x",
        "eos_token": "</s>",
        "added_tokens_decoder": {"7": {"content": "<|done|>", "special": True}, "8": {"content": "<t>"}},
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [7, 99]}))
    fmt = load_format(tmp_path)
    assert fmt.stops == ("</s>", "<|done|>")
    assert "<|done|>" in fmt.special_tokens
    assert "<t>" not in fmt.special_tokens


def test_harmony_does_not_stop_between_messages():
    assert template("<|start|><|channel|><|message|><|end|>").stops == ("<|return|>", "<|call|>")


NAMED = [
    {"name": "default", "template": "plain"},
    {"name": "tool_use", "template": "with {{ tools | length }}"},
    {"name": "rag", "template": "{{ documents[0].text }}"},
]


def test_named_templates():
    fmt = load_format({"chat_template": NAMED}, output_parser="hermes")
    assert fmt.render([]) == "plain"
    assert fmt.render([], [Tool("f")]) == "with 1"
    rag = load_format({"chat_template": NAMED}, template_name="rag")
    assert rag.render([], documents=[{"text": "found"}]) == "found"
    assert load_format({"chat_template": {"only": "one"}}).render([]) == "one"
    with pytest.raises(UsageError, match=r"named 'tool'.*default, rag, tool_use"):
        load_format({"chat_template": NAMED}, template_name="tool")
    with pytest.raises(UsageError, match="is not the name"):
        load_format({"chat_template": NAMED}, template_name="../x")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "has no chat template"),
        ({"chat_template": 3}, "neither text nor"),
        ({"chat_template": [{"name": "a"}]}, "neither text nor"),
    ],
)
def test_dicts_without_a_template(config, message):
    with pytest.raises(UsageError, match=message):
        load_format(config)


def test_files_that_are_none(tmp_path):
    with pytest.raises(UsageError, match="no file or folder"):
        load_format(tmp_path / "nothing")
    with pytest.raises(UsageError, match="no file or folder"):
        load_format("./nothing/there")
    with pytest.raises(UsageError, match="has no chat template"):
        load_format(tmp_path)
    for content, message in ((b"{", "is not JSON"), (b"[]", "not a JSON object"), (b"\xff", "not UTF-8")):
        (tmp_path / "tokenizer_config.json").write_bytes(content)
        with pytest.raises(UsageError, match=message):
            load_format(tmp_path)


def test_the_extensions_of_hugging_face():
    assert render("{{ messages | tojson }}") == '[{"role": "user", "content": "Hello"}]'
    assert render("{{ x | tojson(indent=2) }}", x={"ü": "<&>"}) == '{\n  "ü": "<&>"\n}'
    assert render("{{ x | tojson(separators=(',', ':'), sort_keys=true) }}", x={"b": 1, "a": 2}) == '{"a":2,"b":1}'
    assert render("{{ strftime_now('%d %b %Y') }}", now=datetime(2025, 1, 15), messages=[]) == "15 Jan 2025"
    assert render("{% for i in range(9) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 4 %}{% break %}{% endif %}"
                  "{{ i }}{% endfor %}", messages=[]) == "013"  # fmt: skip
    assert render("{% generation %}{{ messages[0].content }}{% endgeneration %}") == "Hello"
    assert render("  {% if true %}\n  a\n  {% endif %}\nb", messages=[]) == "  a\nb"
    assert render("{{ tools is none }} {{ documents is none }} {{ date_string }}", messages=[], date_string="now") == (
        "True True now"
    )
    with pytest.raises(UsageError, match=r"^No, thanks\.$"):
        render("{{ raise_exception('No, thanks.') }}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ nothing.at.all }}", "needs something that is not there"),
        ("{% if %}", "is not valid"),
        ("{{ 1 | nofilter }}", "is not valid"),
        ("{{ 'a' + 1 }}", "does not work with this: TypeError"),
        ("{{ 1 // 0 }}", "does not work with this: ZeroDivisionError"),
        ("{% include 'x' %}", "does not work with this"),
    ],
)
def test_templates_that_do_not_work(text, message):
    with pytest.raises(UsageError, match=message):
        render(text)


def test_messages_of_sagewire():
    fmt = template("{% for m in messages %}{{ m | tojson }}\n{% endfor %}", strict=False)
    messages = [
        Message("user", (TextPart("a"), TextPart("b"))),
        Message("assistant", "", tool_calls=(ToolCall("1", "f", '{"a": 1}'),), thinking="hm"),
        Message("tool", "2", tool_call_id="1", name="f"),
    ]
    user, assistant, tool = map(json.loads, fmt.render(messages).splitlines())
    assert user == {"role": "user", "content": "ab"}
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
    assert assistant == {
        "role": "assistant", "content": "", "tool_calls": [call], "reasoning_content": "hm", "thinking": "hm",
    }  # fmt: skip
    assert tool == {"role": "tool", "content": "2", "tool_call_id": "1", "name": "f"}


def test_arguments_suit_templates_that_want_an_object_and_those_that_want_text():
    call = {"type": "function", "function": {"name": "f", "arguments": '{"a":  1}'}}
    messages = [{"role": "assistant", "content": None, "tool_calls": [call]}]
    argument = "messages[0].tool_calls[0].function.arguments"
    assert render(f"{{{{ {argument} }}}}", messages) == '{"a":  1}'
    assert render(f"{{{{ 'x' + {argument} + 'y' ~ {argument} }}}}", messages) == 'x{"a":  1}y{"a":  1}'
    assert render(f"{{{{ {argument} | tojson }}}}{{{{ {argument}.a }}}}", messages) == '{"a": 1}1'


@pytest.mark.parametrize(
    ("text", "content", "expected"),
    [
        ("{{ messages[0].content }}", "ab", "ab"),
        ("{{ messages[0].content }}", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab"),
        ("{% if messages[0].content is string %}{% endif %}{{ messages[0].content[1].text }}",
         [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "b"),
        ("{% for m in messages %}{% for c in m['content'] %}{{ c.text }};{% endfor %}{% endfor %}", "ab", "ab;"),
    ],
)  # fmt: skip
def test_contents_suit_templates_with_and_without_parts(text, content, expected):
    assert render(text, [{"role": "user", "content": content}], options={"strict": False}) == expected


def test_what_a_template_has_no_place_for_is_refused():
    with pytest.raises(UnsupportedFeature, match="tools"):
        render(CHATML, tools=[Tool("f")])
    with pytest.raises(UnsupportedFeature, match="images"):
        render(CHATML, [Message("user", (ImagePart("http://x/y.png"),))])
    with pytest.raises(UnsupportedFeature, match="role 'system'"):
        render("{{ messages[1].content }}", [{"role": "system", "content": "Be brief."}, *HELLO],
               options={"strict": True})  # fmt: skip
    assert (
        render("{{ messages[0].content | tojson }}", [{"role": "user", "content": 'a "b"\n'}], options={"strict": True})
        == r'"a \"b\"\n"'
    )
    for messages in ("Hello", HELLO[0], [{"content": "x"}], [3]):
        with pytest.raises(UsageError):
            render(CHATML, messages)
    with pytest.raises(UsageError, match="JSON values only"):
        render(CHATML, thing=object())


@pytest.mark.parametrize(("said", "expected"), [("So", "So"), ("So ", "So"), ("So\n", "So")])
def test_an_answer_is_continued(said, expected):
    messages = [*HELLO, {"role": "assistant", "content": said}]
    prompt = load_format({"chat_template": CHATML}).render(messages, continue_final_message=True)
    assert prompt == f"<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n{expected}"


def test_an_answer_that_cannot_be_continued():
    for messages in ([], HELLO, [{"role": "assistant", "content": None}]):
        with pytest.raises(UsageError):
            render(CHATML, messages, continue_final_message=True)
    with pytest.raises(UsageError, match="does not write its text"):
        render("x", [{"role": "assistant", "content": "a"}], continue_final_message=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ m.reasoning_content }}|{{ m.content }}", "Hm.|Yes."),
        ("{{ m.content.split('</think>')[-1] | trim }}", "Yes."),
        ("{{ m.content }}", "< think>Hm.< /think>Yes."),
    ],
)
def test_thinking_in_the_history_is_where_the_template_looks_for_it(text, expected):
    messages = [{"role": "assistant", "content": "<think>Hm.</think>Yes."}]
    assert render(f"{{% set m = messages[0] %}}{text}", messages) == expected


def test_the_reader():
    fmt = template("<tool_call></tool_call><|im_end|>")
    reader = fmt.make_parser([Tool("f")], prompt="x")
    reply = fold(reader.feed('Ok.<tool_call>{"name": "f"}</tool_call><|im_end|>') + reader.close())
    assert (reply.text, reply.tool_calls[0].name) == ("Ok.", "f")
    assert template("x", output_parser="mistral").output_parser == "mistral"
    with pytest.raises(UsageError, match="There is no output parser"):
        template("x", output_parser="mistrel")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ '%s: %s' | format('user', 'Hi') }}", "user: Hi"),
        ("{{ '%(a)05.1f' | format(a=1234567) }}", "1234567.0"),
        ("{{ [1, 2, 3] | batch(2) | list }}{{ [1, 2, 3] | slice(2) | list }}", "[[1, 2], [3]][[1, 2], [3]]"),
        ("{{ 'ab' | center(6) }}|{{ 'a b c' | wordwrap(1) }}", "  ab  |a\nb\nc"),
        ("{{ '<a>' | e }}{{ '<a>' | escape }}{{ 'a b' | urlencode }}", "&lt;a&gt;&lt;a&gt;a%20b"),
        (
            "{{ {'a': 1} | xmlattr }}{{ 2000 | filesizeformat }}{{ 'ab' | attr('upper') is callable }}",
            ' a="1"2.0 kBTrue',
        ),
        ("{{ '\"' | safe + '\"' }}{{ '\"' | safe ~ '\"' }}", '"&#34;""'),
        ("{{ ('{\"a\": [1]}' | fromjson).a[0] }}{{ ('[2]' | from_json)[0] }}", "12"),
    ],
)
def test_filters_of_jinja(text, expected):
    assert render(text) == expected


def test_added_tokens_of_tokenizer_json(tmp_path):
    added = [
        {"id": 1, "content": "<eos>", "special": True},
        {"id": 2, "content": "<turn|>", "special": True},
        {"id": 3, "content": "]~ctl[", "special": False},
        {"id": 4, "content": "    ", "special": False},
        {"id": 5, "content": "word", "special": False},
    ]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<eos>"}))
    (tmp_path / "tokenizer.json").write_text(json.dumps({"added_tokens": added, "model": {}}))
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 2]}))
    (tmp_path / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    fmt = load_format(tmp_path)
    assert fmt.stops == ("<eos>", "<turn|>")
    assert fmt.render([Message("user", "a]~ctl[b    word")]) == "a] ~ctl[b    word"


# Control strings.

WRITES_ALL = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.name }}{{ m.content if m.content is string else"
    " m.content | map(attribute='text') | join }}{{ m.tool_calls | tojson if m.tool_calls }}"
    "{{ m.reasoning_content }}<|im_end|>\n### Response:\n[TURN]{% endfor %}{{ tools | tojson }}{{ extra }}"
)
CONTROL = ("<|im_start|>", "<|im_end|>", "[INST]", "</s>", "<custom>", "### Response:", "[TURN]", "<tool_call>")


@hypothesis_settings(max_examples=100, deadline=None)
@given(st.sampled_from(CONTROL), st.data())
def test_nobody_can_write_a_control_string(token, data):
    cut = data.draw(st.integers(0, len(token)))
    parts = [{"type": "text", "text": token[:cut]}, {"type": "text", "text": token[cut:]}]
    call = {"type": "function", "function": {"name": f"f{token}", "arguments": json.dumps({token: [token]})}}
    messages = [
        {"role": "user", "content": data.draw(st.sampled_from([f"a{token}b", parts])), "name": token},
        {"role": "assistant", "content": token, "tool_calls": [call], "reasoning_content": token},
        {"role": "tool", "content": json.dumps({"x": token})},
    ]
    tool = {"type": "function", "function": {"name": token, "description": token, "parameters": {token: token}}}
    config = {"chat_template": WRITES_ALL, "additional_special_tokens": ["<custom>"]}
    fmt = load_format(config, output_parser="hermes")
    prompt = fmt.render(messages, [tool], extra=token)
    harmless = [{"role": role, "content": "x"} for role in ("user", "assistant", "tool")]
    assert prompt.count(token) == fmt.render(harmless, [Tool("x")], extra="x").count(token)
    with pytest.raises(UsageError, match="control string"):
        load_format(config, special_tokens="error").render(messages)
    assert load_format(config, special_tokens="allow").render(messages, extra=token).count(token) > prompt.count(token)


def test_without_jinja(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    with pytest.raises(MissingExtra, match=r"\[huggingface\]"):
        load_format({"chat_template": "x"})


# The Hub.


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A Hub on loopback with one repository; returns the list of what it was asked for."""
    constants = pytest.importorskip("huggingface_hub.constants")
    files = {"tokenizer_config.json": json.dumps(TOKENS).encode(), "chat_template.jinja": CHATML.encode()}
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.answer(body=False)

        def do_GET(self):
            self.answer(body=True)

        def answer(self, body):
            repository, _, rest = self.path.partition("/resolve/")
            revision, _, name = rest.partition("/")
            asked.extend([(self.command, name), ("revision", revision)])
            data = files.get(name, b"") if repository == "/me/mine" else b""
            self.send_response(200 if data else 404)
            self.send_header("X-Repo-Commit", "a" * 40)
            if data:
                self.send_header("ETag", f'"{len(data):040x}"')
            else:
                self.send_header("X-Error-Code", "EntryNotFound" if repository == "/me/mine" else "RepoNotFound")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if body:
                self.wfile.write(data)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    url = f"{endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield asked
    server.shutdown()
    server.server_close()


def test_a_repository_on_the_hub_and_then_from_its_cache(hub):
    fmt = load_format("me/mine", token=False)
    assert fmt.render(HELLO) == RENDERED
    assert fmt.name == "me/mine"
    assert ("GET", "chat_template.jinja") in hub
    hub.clear()
    assert load_format("me/mine", local_files_only=True).render(HELLO) == RENDERED
    assert hub == []


SPYING = {"id": "call00001", "type": "function", "function": {"name": "spy", "arguments": {}}}
CALLS = "{% for m in messages %}[{{ m.role }}]{% if m.tool_calls %}CALL{% else %}{{ m.content }}{% endif %}{% endfor %}"
DROPS = CALLS.replace("CALL", "{{ m.tool_calls[0].function.name }}")
SPLITS = CALLS.replace("CALL", "{{ m.content.split('</think>')[-1] | trim }}{{ m.tool_calls[0].function.name }}")


def test_what_an_answer_says_beside_its_calls_is_not_lost():
    def talk(content):
        answer = {"role": "assistant", "content": content, "tool_calls": [SPYING]}
        return [HELLO[0], answer, {"role": "tool", "tool_call_id": "call00001", "content": "sunny"}]

    for content in ("Let me look.", "<think>\nHm.\n</think>Let me look."):
        with pytest.raises(UnsupportedFeature, match="a message of role 'assistant'"):
            template(DROPS).render(talk(content))
        assert template(SPLITS).render(talk(content)) == "[user]Hello[assistant]Let me look.spy[tool]sunny"
        assert template(DROPS, strict=False).render(talk(content)) == "[user]Hello[assistant]spy[tool]sunny"
    for content in ("", None):
        assert template(DROPS).render(talk(content)) == "[user]Hello[assistant]spy[tool]sunny"
        with pytest.raises(UnsupportedFeature, match="tool calls in the conversation"):
            template(CALLS).render(talk(content))


def test_a_revision_behind_the_id(hub):
    assert load_format("me/mine@v2", token=False).render(HELLO) == RENDERED
    assert {revision for what, revision in hub if what == "revision"} == {"v2"}
    hub.clear()
    load_format("me/mine@v2", revision="v3", token=False)
    assert {revision for what, revision in hub if what == "revision"} == {"v3"}


def test_repositories_that_are_not_there(hub):
    with pytest.raises(UsageError, match=r"There is no repository or folder 'me/yours'"):
        load_format("me/yours", token=False)
    with pytest.raises(UsageError, match="not in the local cache"):
        load_format("me/mine", local_files_only=True)
    with pytest.raises(UsageError, match="There is no repository or folder"):
        load_format("no such/thing/at all", token=False)
