"""The command line, as a user types it, against the emulator."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from sagewire.cli import app
from sagewire.emulator import Emulator, EndpointSpec
from tests.cases import each


@pytest.fixture(scope="module")
def emulated():
    endpoints = {
        "vllm": "openai_chat:echo",
        "tgi": "tgi_1:extractive",
        "tei": "tei",
        "tei-rerank": "tei_rerank",
        "shared": EndpointSpec(components={"talks": "openai_chat:echo", "embeds": "tei"}),
        "own": EndpointSpec("tgi", image="123456789012.dkr.ecr.us-east-1.amazonaws.com/my-own:1"),
        "young": EndpointSpec("tgi", status="Creating"),
        "theirs": EndpointSpec("openai_chat", engine="echo", account="444455556666"),
    }
    with Emulator(endpoints) as emulator:
        yield emulator


@pytest.fixture
def run(emulated, clean_environment, monkeypatch):
    for name, value in {**emulated.environ(), "NO_COLOR": "1", "COLUMNS": "200"}.items():
        monkeypatch.setenv(name, value)

    def invoke(*arguments, input=None):
        return CliRunner().invoke(app, [str(argument) for argument in arguments], input=input)

    return invoke


def test_ask_streams_an_answer(run):
    done = run("ask", "vllm", "Hello there")
    assert (done.exit_code, done.stdout) == (0, "Hello there\n")


def test_ask_reads_what_is_piped_in_and_prints_json(run):
    done = run("ask", "vllm", "--json", "--system", "Be brief", input="Hello pipe")
    told = json.loads(done.stdout)
    assert (told["text"], told["finish_reason"]) == ("Hello pipe", "stop")
    assert told["usage"]["completion_tokens"] > 0


def test_ask_any_http_server(run, emulated):
    assert run("ask", emulated.container_url("vllm"), "Hello").stdout == "Hello\n"


def test_every_command_takes_an_inference_component(run):
    assert "give --component, one of: embeds, talks" in run("ask", "shared", "Hello").stderr
    assert run("ask", "shared", "Hello", "--component", "talks").stdout == "Hello\n"
    assert json.loads(run("embed", "shared", "Hello", "--component", "embeds").stdout)["text"] == "Hello"
    assert json.loads(run("inspect", "shared", "--component", "embeds", "--json").stdout)["embed"] == "tei"
    checked = run("gateway", "--endpoint", "shared", "--component", "talks", "--check", "--insecure")
    assert checked.exit_code == 0, checked.output


def test_ask_an_endpoint_of_another_account(run, emulated):
    assert run("ask", "theirs", "Hello").exit_code == 1
    done = run("ask", "theirs", "Hello", "--role-arn", emulated.role_arn, "--region", "us-east-1")
    assert done.stdout == "Hello\n"


def test_ask_takes_its_question_in_parts(run):
    assert run("ask", "vllm", "Sum up:", "-", input="a report\n").stdout == "Sum up:\n\na report\n"


@pytest.mark.parametrize(("text", "says"), [("", "empty"), (" \n", "empty"), (b"\xff", "not text")])
def test_ask_refuses_what_is_no_question(run, text, says):
    done = run("ask", "vllm", input=text)
    assert done.exit_code == 2
    assert says in done.stderr


def test_an_answer_that_was_cut_off_says_so_beside_it(run):
    done = run("ask", "vllm", "one two three four five six seven eight", "--max-tokens", 2)
    assert done.exit_code == 0
    assert "--max-tokens" in done.stderr
    assert "--max-tokens" not in done.stdout


def test_chat_keeps_the_conversation(run, emulated):
    emulated.clear()
    done = run(
        "chat", "vllm", "--system", "Be brief", input="one\n/help\n/nonsense\ntwo\n/system Be long\nthree\n/quit\n"
    )
    assert done.exit_code == 0
    assert "/clear" in done.stdout
    assert "no command /nonsense" in done.stdout
    assert "you>" not in done.stdout
    sent = [
        [message["content"] for message in call.json["messages"]] for call in emulated.calls if call.method == "POST"
    ]
    assert sent == [["Be brief", "one"], ["Be brief", "one", "one", "two"], ["Be long", "three"]]


def test_a_failed_turn_is_taken_back(run, emulated):
    done = run("chat", "vllm--too-many-requests-9", "--handler", "openai_chat", input="one\n/history\n")
    assert done.exit_code == 1
    assert "one" not in done.stdout


def test_embed_prints_a_line_a_text(run):
    lines = run("embed", "tei", input="first\n\nsecond\n").stdout.splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["first", "second"]
    assert len(json.loads(lines[0])["embedding"]) == 64


def test_rerank(run):
    arguments = ("rerank", "tei-rerank", "bronze gears", "blue sky", "bronze gears turn", "--handler", "tei_rerank")
    assert run(*arguments).stdout.splitlines()[1].strip().endswith("bronze gears turn")
    assert [row["index"] for row in json.loads(run(*arguments, "--json", "--top", 1).stdout)] == [1]


def test_inspect_shows_what_was_found_and_why(run):
    shown = run("inspect", "vllm").stdout
    assert "openai_chat" in shown
    assert "Qwen/Qwen3-8B" in shown
    facts = json.loads(run("inspect", "tgi", "--json").stdout)
    assert (facts["chat"], facts["status"]) == ("tgi", "InService")
    assert any("tgi1.4.0" in reason for reason in facts["because"])
    assert (facts["format"], facts["streaming"]) == ("mistral_v3", True)


def test_doctor_says_what_is_wrong(run, monkeypatch):
    assert run("doctor", "vllm").exit_code == 0
    checks = {check["check"]: check for check in json.loads(run("doctor", "young", "--json").stdout)}
    assert (checks["credentials"]["ok"], checks["endpoint"]["ok"]) == (True, False)
    assert "Creating" in checks["endpoint"]["says"]
    checks = {check["check"]: check for check in json.loads(run("doctor", "--region", "us-esat-1", "--json").stdout)}
    assert not checks["region"]["ok"]
    assert "us-east-1" in checks["region"]["says"].partition("did you mean")[2]
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    done = run("doctor", "nowhere")
    assert done.exit_code == 1
    assert "wrong  credentials" in done.stdout


def test_inspect_and_doctor_take_the_url_of_a_server(run, emulated, monkeypatch):
    url = emulated.container_url("vllm")
    facts = json.loads(run("inspect", url, "--json").stdout)
    assert (facts["server"], facts["chat"]) == (url, "openai_chat")
    # No AWS is needed for a server of one's own, and none is asked for.
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    done = run("doctor", url, "--call")
    assert (done.exit_code, done.stdout.count("ok")) == (0, 3)
    done = run("doctor", "http://127.0.0.1:9")
    assert done.exit_code == 1
    assert "cannot connect" in done.stdout


@pytest.mark.parametrize("endpoint", ["vllm", "tei", "tei-rerank"])
def test_doctor_calls_on_request(run, emulated, endpoint):
    emulated.clear()
    assert "it answered" in run("doctor", endpoint, "--call").stdout
    assert 1 <= len([call for call in emulated.calls if call.method == "POST"]) <= 2
    assert run("doctor", "--call").exit_code == 2


def test_long_values_are_not_cut_off(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    shown = "".join(run("inspect", "vllm").stdout.split())
    assert json.loads(run("inspect", "vllm", "--json").stdout)["image"] in shown
    assert "…" not in run("handlers").stdout + run("formats").stdout


@pytest.mark.parametrize("command", [("ask", "vlm", "Hi"), ("inspect", "vlm"), ("doctor", "vlm")])
def test_a_wrong_endpoint_name_is_answered_with_close_ones(run, command):
    done = run(*command)
    assert done.exit_code == 1
    assert "Did you mean vllm?" in done.output
    # Who runs the command already is not told to run it.
    assert ("sagewire doctor vlm" in done.output) == (command[0] != "doctor")


def test_messages_name_options_and_not_arguments(run, monkeypatch):
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    done = run("ask", "vllm", "Hi")
    assert done.exit_code in (1, 2)
    assert "pass --region or set AWS_REGION" in done.stderr


def test_aws_options_of_a_url_are_refused(run, emulated):
    done = run("ask", emulated.container_url("vllm"), "Hi", "--role-arn", emulated.role_arn)
    assert done.exit_code == 2
    assert "--role-arn" in done.stderr


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("sagewire ren", "render"),
        ("sagewire render llama3_", "llama3_1"),
        ("sagewire ask x --handler openai_c", "openai_chat"),
        ("sagewire embed x --handler te", "tei"),
        ("sagewire ask x --format chat", "chatml"),
    ],
)
def test_the_shell_completes_names(typed, found):
    variables = {"_SAGEWIRE_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    done = CliRunner().invoke(app, prog_name="sagewire", env=variables)
    assert found in done.stdout.split()


def test_lists(run):
    assert "openai_chat" in run("handlers").stdout
    assert {row["name"] for row in json.loads(run("handlers", "--json").stdout)} >= {"tgi", "lmi", "openai_chat"}
    listed = run("formats").stdout
    assert "llama3_1" in listed
    assert "meta-llama/Llama-3.1-8B-Instruct" in listed
    rows = {row["name"]: row for row in json.loads(run("formats", "--json").stdout)}
    assert rows.keys() >= {"chatml", "llama2"}
    assert (rows["qwen3"]["family"], rows["qwen3"]["tools"]) == ("Qwen", True)


def test_render_prints_the_exact_prompt(run):
    done = run("render", "chatml", "Hi", "--system", "Be brief")
    assert (
        done.stdout == "<|im_start|>system\nBe brief<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )
    assert "(answer)" in run("render", "llama2", "one", "two").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("ask", "nowhere", "Hi"), 1, "nowhere"),
        (("ask", "vllm", "Hi", "--handler", "lim"), 2, "lmi"),
        (("render", "lama2", "Hi"), 2, "llama2"),
        (("inspect", "own"), 2, "for example --handler 'openai_chat'"),
        (("emulator", "--endpoint", "nonsense"), 2, "NAME=DIALECT"),
        (("embed", "vllm", "x"), 2, "vLLM"),
    ],
)
def test_errors_are_one_line_and_an_exit_code(run, arguments, code, says):
    done = run(*arguments)
    assert done.exit_code == code
    assert says in done.stderr
    assert "Traceback" not in done.output


def test_the_emulator_command_serves_and_ends_cleanly(clean_environment):
    command = [sys.executable, "-m", "sagewire", "emulator", "-e", "x=openai_chat:echo", "--port", "0"]
    command += ["--region", "eu-west-1"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    ) as process:
        variables = {}
        for line in process.stdout:
            if line.startswith("  export "):
                name, _, value = line.removeprefix("  export ").strip().partition("=")
                variables[name] = value
            if line.startswith("Ctrl-C"):
                break
        asked = subprocess.run(
            [sys.executable, "-m", "sagewire", "ask", "x", "Hello"],
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    assert (asked.returncode, asked.stdout, asked.stderr) == (0, "Hello\n", "")


def test_without_typer_one_sentence_says_what_to_install():
    code = "import sys; sys.modules['typer'] = None; from sagewire.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    # From where this sagewire came from: a name on a package index could be somebody else's.
    assert re.fullmatch(
        r"sagewire: this needs typer, which is not installed: pip install (?:-e )?'/.*\[cli\]'\n", done.stderr
    )


def test_options_of_other_libraries_name_their_place():
    from sagewire import Client, UsageError
    from sagewire.testing import FakeTransport

    client = Client(transport=FakeTransport(b"[]"), handler="tgi", format="llama3_1")
    for name, cure in (
        ("stream", "client.stream"),
        ("timeout", "Client(..., timeout"),
        ("region_name", "region_name="),
    ):
        with pytest.raises(UsageError) as caught:
            client.chat("Hi", **{name: 1})
        assert cure in str(caught.value)


def test_every_command_has_an_example():
    import typer

    command = typer.main.get_command(app)
    for name in (
        "ask",
        "chat",
        "demo",
        "doctor",
        "embed",
        "emulator",
        "formats",
        "handlers",
        "inspect",
        "render",
        "rerank",
    ):
        assert "Example: sagewire" in command.commands[name].help, name


def test_handlers_of_every_task_are_listed(run):
    rows = json.loads(run("handlers", "--json").stdout)
    assert {row["task"] for row in rows} == {"generate", "embed", "rerank"}
    assert {"tei", "tei_rerank", "openai_chat"} <= {row["name"] for row in rows}


def test_tools_are_rendered(run, tmp_path):
    tools = [
        {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}
    ]
    (tmp_path / "tools.json").write_text(json.dumps(tools))
    assert '"get_weather"' in run("render", "qwen2_5", "Hi", "--tools", str(tmp_path / "tools.json")).output
    (tmp_path / "tools.json").write_text("[")
    assert run("render", "qwen2_5", "Hi", "--tools", str(tmp_path / "tools.json")).exit_code == 2


def _commands(command, path=()):
    yield " ".join(path), command
    for name, sub in getattr(command, "commands", {}).items():
        yield from _commands(sub, (*path, name))


def test_every_command_shows_an_example():
    groups = {"", "bulk", "keys"}
    without = [
        path
        for path, command in _commands(typer.main.get_command(app))
        if path not in groups and "Example: sagewire " not in (command.help or "")
    ]
    assert not without


@each(
    ("arguments", "told"),
    [
        (("describe", "a"), "Did you mean 'inspect'?"),
        (("aks", "a"), "Did you mean 'ask'?"),
        (("embed", "a"), "standard input is empty"),
        (("rerank", "a", "query"), "standard input is empty"),
        (("ask", "localhost:8000", "Hi"), "did you mean the URL http://localhost:8000?"),
        (("ask", "a", "Hi", "--role-arn", "me"), "--role-arn 'me' is not a role's ARN"),
        (("ask", "a", "Hi", "--region", "Ireland"), "did you mean 'eu-west-1'?"),
    ],
)
def test_first_mistakes(run, arguments, told):
    done = run(*arguments)
    assert done.exit_code == 2
    assert told in done.output


def test_an_endpoint_is_named_in_one_way(run):
    assert run("ask", "sagemaker/vllm", "Hello").stdout == run("ask", "vllm", "Hello").stdout == "Hello\n"
