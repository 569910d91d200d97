"""The emulator as a program: endpoints from a file, a clean end, and a real model behind it."""

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time

import pytest
from botocore.exceptions import ClientError

from sagewire import AsyncClient, Client
from sagewire.emulator import Echo, Emulator, EndpointSpec, Upstream, load_endpoints, parse_endpoint, serve
from sagewire.errors import UsageError

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def test_endpoints_are_read_from_a_file(tmp_path):
    file = tmp_path / "endpoints.toml"
    file.write_text(
        """
        [endpoints]
        short = "tgi:extractive"

        [endpoints.long]
        dialect = "openai_chat"
        engine = "scripted=yes|no"
        faults = ["throttle:1"]
        latency = 0.5
        environment = { SM_VLLM_TOOL_CALL_PARSER = "" }

        [endpoints.many.components]
        base = "lmi:echo"
        adapter = { base = "base" }

        [endpoints.later]
        serverless = true
        payload_bytes = 6_291_456
        asynchronous = "s3://answers/out"
        failure_path = ""
        """
    )
    loaded = load_endpoints(file)
    assert (loaded["later"].serverless, loaded["later"].payload_bytes, loaded["later"].failures) == (
        True,
        6_291_456,
        "",
    )
    assert loaded["short"] == EndpointSpec("tgi", "extractive")
    assert loaded["long"].faults == ["throttle:1"]
    assert loaded["many"].components["adapter"].base == "base"
    Emulator(loaded)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "describes no endpoints"),
        ("[endpoints", "is not valid TOML"),
        ("[endpoints.a]\ndialekt = 'tgi'", "unknown key 'dialekt'; did you mean 'dialect'"),
        ("[endpoints]\na = 3", "write a table"),
        ("[endpoints.a.components]\nb = {x = 1}", "component 'b': unknown key 'x'"),
        ("[endpoints.a.models]\nb = 'tgi'", "endpoint 'a': models must be an array of strings"),
        ("[endpoints.a]\nfaults = ['timeout', 3]", "faults must be an array of strings"),
        ("[endpoints.a.environment]\nSM_NUM_GPUS = 1", "environment must be a table of strings"),
        ("[endpoints.a]\ncomponents = 'tgi'", "components must be a table"),
        ("[endpoints.a]\nlatency = '1s'", "latency must be a number"),
        ("[endpoints.a]\ncopies = true", "copies must be a whole number"),
        ("[endpoints.a]\nserverless = 'yes'", "serverless must be true or false"),
        ("[endpoints.a]\nsessions = 'yes'", "sessions must be true or false"),
        ("[endpoints.a]\ndialect = 3", "dialect must be a string"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path, text, words):
    file = tmp_path / "endpoints.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=words):
        load_endpoints(file)
    with pytest.raises(UsageError, match="cannot be read"):
        load_endpoints(tmp_path / "nothing.toml")


def test_an_endpoint_is_written_in_one_word():
    assert parse_endpoint("chat=openai_chat:upstream=http://x/v1") == (
        "chat",
        EndpointSpec("openai_chat", "upstream=http://x/v1"),
    )
    with pytest.raises(UsageError, match="NAME=DIALECT"):
        parse_endpoint("chat")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_program_cleanly(number):
    source = (
        "from sagewire.emulator import serve\n"
        "serve({'a': 'tgi'}, port=0, ready=lambda emulator: print(emulator.url, flush=True))\n"
        "print('done', flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", source], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout.readline().startswith("http://127.0.0.1:")
        program.send_signal(number)
        out, err = program.communicate(timeout=20)
    assert (out, err, program.returncode) == ("done\n", "", 0)


def test_a_taken_port_is_the_callers_error():
    with Emulator({"a": "tgi"}) as running:
        port = int(running.url.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            serve({"a": "tgi"}, port=port)


@pytest.fixture(scope="module")
def judge(make_judge):
    # The real server is an emulator, too: it speaks OpenAI's API as well as any.
    real = make_judge(
        {"model": "openai_chat:schema", "broken": EndpointSpec("openai_chat", faults=["error_mid_stream:2"])}
    )
    url = real.emulator.container_url
    return make_judge(
        {
            "chat": f"openai_chat:upstream={url('model')}/v1",
            "prompt": f"tgi:upstream={url('model')}/v1,Qwen/Qwen3-8B",
            "broken": f"openai_chat:upstream={url('broken')}/v1",
            "gone": "openai_chat:upstream=http://127.0.0.1:9/v1",
            "lost": f"openai_chat:upstream={url('model')}/v1,other-model",
        }
    )


def test_upstream_answers_what_the_other_server_answers(judge):
    body = {"messages": [{"role": "user", "content": "Weather in Paris?"}], "tools": [TOOL], "temperature": 0.5}
    message = judge.whole("chat", body)["choices"][0]["message"]
    assert json.loads(message["tool_calls"][0]["function"]["arguments"]) == {"city": "Paris"}
    prompt = {"inputs": "Hello!", "parameters": {"return_full_text": False, "max_new_tokens": 3, "details": True}}
    answer = judge.whole("prompt", prompt)[0]
    assert answer["generated_text"] == "Hello! How"
    assert answer["details"]["finish_reason"] == "length"
    parts = judge.parts("chat", {"messages": [{"role": "user", "content": "Hello!"}], "stream": True})
    assert parts[-1] == b"data: [DONE]\n\n"
    assert len(parts) > 5


def test_an_upstream_server_that_fails_is_named(judge):
    chat = {"messages": [{"role": "user", "content": "Hello!"}]}
    for endpoint, words in (("gone", "no answer from the upstream server"), ("lost", "answered 404")):
        with pytest.raises(ClientError, match=words):
            judge.invoke(endpoint, chat)
    parts = judge.parts("broken", chat | {"stream": True})
    assert b"the upstream server failed" in parts[-2]
    with pytest.raises(UsageError, match="is not an HTTP URL"):
        Upstream("localhost:11434")


def test_a_waiting_upstream_does_not_stop_the_others(make_judge):
    slow = make_judge({"model": EndpointSpec("openai_chat", "echo", latency=1.0)})
    url = slow.emulator.container_url("model")
    judge = make_judge({"slow": f"openai_chat:upstream={url}/v1", "fast": "tgi:echo"})
    waiting = threading.Thread(target=judge.invoke, args=("slow", {"messages": [{"role": "user", "content": "x"}]}))
    waiting.start()
    judge.whole("fast", {"inputs": "x"})
    assert waiting.is_alive()
    waiting.join()


def test_whoever_stops_the_emulator_does_not_wait_for_the_server_behind_it(clean_environment, monkeypatch):
    going = threading.Event()

    class Stuck(Echo):
        blocking = True

        def generate(self, *arguments, **named):
            going.wait(20)
            return super().generate(*arguments, **named)

    began = time.monotonic()
    with Emulator({"stuck": EndpointSpec("openai_chat", engine=Stuck()), "other": "tgi:echo"}) as emulator:
        for name, value in emulator.environ().items():
            monkeypatch.setenv(name, value)

        async def leave():
            async with AsyncClient("stuck", handler="openai_chat") as client:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await asyncio.gather(*(client.chat("Hi") for _ in range(8)))

        asyncio.run(leave())
        assert Client("other").describe().serving
    assert time.monotonic() - began < 10
    going.set()
