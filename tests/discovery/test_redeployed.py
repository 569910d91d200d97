"""Discovery serves the call: what was found holds while nothing can be asked, and a change is noticed."""

import pytest

from sagewire import Client
from sagewire.errors import ToolCallMissing

from ..transports.conftest import Server


class Changing:
    """A server that is TGI, then vLLM, and may be silent about what it is."""

    def __init__(self, server):
        self.tgi, self.silent, self.asked = True, False, 0
        server.script = self

    def __call__(self, peer, seen):
        if seen.path in ("/info", "/v1/models"):
            self.asked += seen.path == "/info"
            if self.silent:
                peer.answer(b'{"error": "throttled"}', 401)
                return
        tgi = {"/info": b'{"model_id":"m","version":"1.3.0","max_total_tokens":9}', "/": b'{"generated_text":"tgi"}'}
        tgi["/generate"] = tgi["/"]
        vllm = {
            "/v1/models": b'{"data":[{"id":"m","owned_by":"vllm"}]}',
            "/v1/completions": b'{"choices":[{"index":0,"text":"vllm","finish_reason":"stop"}]}',
            "/v1/embeddings": b'{"data":[{"index":0,"embedding":[1.0]}]}',
        }
        answer = (tgi if self.tgi else vllm).get(seen.path)
        peer.answer(answer or b'{"detail":"Not Found"}', 200 if answer else 404)


@pytest.fixture
def changing():
    server = Server()
    client = Client(url=server.url, retries=1)
    yield Changing(server), client
    client.close()
    server.close()


def test_a_container_that_changed_is_noticed_by_a_refusal(changing):
    server, client = changing
    assert client.complete("x").text == "tgi"
    server.tgi = False
    assert client.complete("x").text == "vllm"


def test_the_last_finding_holds_while_nothing_can_be_asked(changing):
    server, client = changing
    assert client.complete("x").text == "tgi"
    client._resolver.forget()
    server.silent = True
    assert client.complete("x").text == "tgi"


def test_an_answer_that_lacks_a_tool_call_is_no_reason_to_ask_again(changing):
    server, client = changing
    tool = {"type": "function", "function": {"name": "get", "parameters": {"type": "object", "properties": {}}}}
    client = Client(url=client.target, format="llama3_1", retries=1)
    for _ in range(3):
        with pytest.raises(ToolCallMissing):
            client.chat("x", tools=[tool], tool_choice="required")
    assert server.asked == 1
