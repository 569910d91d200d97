"""Templates as model folders carry them, against the reference conversations and against transformers itself."""

import hashlib
import json
from datetime import datetime
from pathlib import Path

import pytest

from sagewire.errors import UsageError
from sagewire.prompt_formats.chat_template import load_format

from ...cases import each

VECTORS = Path(__file__).parents[2] / "vectors"
TEMPLATES = VECTORS / "hub_templates"

FAMILIES = {path.stem: json.loads(path.read_text("utf-8")) for path in (VECTORS / "prompt_formats").glob("*.json")}
SOURCES = {
    file: Path(source["vectors"]).stem for file, source in json.loads((TEMPLATES / "SOURCES.json").read_text()).items()
}
NOW = datetime(2025, 1, 15, 12)


def sources(file):
    """The templates of a hub file, by name."""
    path = TEMPLATES / file
    if path.is_dir():
        return {"default": (path / "chat_template.jinja").read_text("utf-8")}
    template = json.loads(path.read_text("utf-8"))["chat_template"]
    if isinstance(template, str):
        return {"default": template}
    return {entry["name"]: entry["template"] for entry in template}


def cases():
    for file, family in SOURCES.items():
        sha = hashlib.sha256(sources(file)["default"].encode()).hexdigest()
        assert FAMILIES[family]["template_sha256"] == sha
        for other, data in FAMILIES.items():
            for case in data["cases"] if data.get("template_sha256") == sha else ():
                # Which template is used for tools: command_r_plus names another one than the file at hand.
                if not (case["tools"] and "tool_use" in sources(file)):
                    yield file, other == family, data, case


def load(file, **options):
    return load_format(TEMPLATES / file, special_tokens="allow", strict=False, **options)


def arguments(case):
    return {
        "tools": case["tools"],
        "add_generation_prompt": case["add_generation_prompt"],
        "continue_final_message": case.get("continue_final_message", False),
        **(case.get("template_kwargs") or {}),
        **({"date_string": case["date_string"]} if case.get("date_string") and not case.get("date_format") else {}),
    }


@each(("file", "own", "data", "case"), list(cases()))
def test_vector(file, own, data, case):
    # Families that share a template differ in their tokens.
    config = {"chat_template": sources(file)["default"], **{key: data[key] for key in ("bos_token", "eos_token")}}
    fmt = load(file) if own else load_format(config, special_tokens="allow", strict=False)
    if case["error"] is not None:
        with pytest.raises(UsageError) as raised:
            fmt.render(case["messages"], now=NOW, **arguments(case))
        assert str(raised.value) == case["error"]
    else:
        assert fmt.render(case["messages"], now=NOW, **arguments(case)) == case["expected"]


@pytest.fixture(scope="module")
def judge():
    return pytest.importorskip("transformers.utils.chat_template_utils").render_jinja_template


def render_judge(judge, source, tokens, case):
    options = arguments(case)
    tools = options.pop("tools")
    rendered, _ = judge([case["messages"]], tools=tools, chat_template=source, **tokens, **options)
    return rendered[0]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("file", SOURCES)
@pytest.mark.parametrize("name", ["default", "tool_use"])
def test_equal_to_transformers(judge, file, name):
    if name not in sources(file):
        pytest.skip("no such template")
    fmt, compared = load(file, template_name=name), 0
    data = FAMILIES[SOURCES[file] if name == "default" else "command_r_plus"]
    tokens = {key: data[key] for key in ("bos_token", "eos_token") if data[key] is not None}
    for case in data["cases"]:
        if case.get("date_format"):
            continue
        try:
            expected = render_judge(judge, sources(file)[name], tokens, case)
        except Exception:
            with pytest.raises(UsageError):
                fmt.render(case["messages"], now=NOW, **arguments(case))
            continue
        assert fmt.render(case["messages"], now=NOW, **arguments(case)) == expected
        compared += 1
    assert compared > 10


@pytest.mark.parametrize(
    ("file", "style"),
    [
        ("command_r_tokenizer_config.json", "command_r"),
        ("gemma3_split/", "plain"),
        ("llama2_tokenizer_config.json", "plain"),
        ("llama3_1_tokenizer_config.json", "llama3_json"),
        ("mistral_7b_v0_3_tokenizer_config.json", "mistral"),
        ("qwen2_5_tokenizer_config.json", "hermes"),
        ("zephyr_tokenizer_config.json", "plain"),
    ],
)
def test_the_reader_and_the_stops_are_guessed(file, style):
    fmt = load(file)
    assert fmt.output_parser == style
    assert FAMILIES[SOURCES[file]]["eos_token"] in fmt.stops


@pytest.mark.parametrize("file", SOURCES)
def test_injections_are_neutralised(file):
    fmt = load_format(TEMPLATES / file, strict=False)
    for case in FAMILIES[SOURCES[file]]["cases"]:
        if case.get("injection") and case["expected"]:
            plain = load(file).render(case["messages"], now=NOW, **arguments(case))
            guarded = fmt.render(case["messages"], now=NOW, **arguments(case))
            harmless = [{**message, "content": "x"} for message in case["messages"]]
            tokens = [token for token in fmt.special_tokens if token in plain]
            without = fmt.render(harmless, now=NOW, **arguments(case))
            if not any(message.get("tool_calls") for message in case["messages"]):
                assert [guarded.count(token) for token in tokens] == [without.count(token) for token in tokens]
