"""A small distribution of somebody else's, installed and reached from everywhere a name is taken."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sagewire import AsyncClient, Client, Message, UnsupportedFeature, UsageError, _plugins, get_format, get_handler
from sagewire.bulk import run as run_job
from sagewire.cli import app
from sagewire.content_handlers import get_embedding_handler, get_rerank_handler

ANSWERS = {
    "/nimbus/chat": lambda body: {"out": f"heard {body['turns'][-1][1]}"},
    "/nimbus/text": lambda body: {"out": f"read {body['text']}"},
    "/nimbus/vectors": lambda body: {"rows": [[1.0, float(len(text))] for text in body["texts"]]},
    "/nimbus/ranks": lambda body: {"scores": [float(len(text)) for text in body["texts"]]},
}


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the distribution, as a user would, into a folder of its own."""
    target = tmp_path_factory.mktemp("site")
    flags = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    source = tmp_path_factory.mktemp("source") / "nimbus"
    source.symlink_to(Path(__file__).parent / "nimbus")
    subprocess.run([sys.executable, "-m", "pip", "install", *flags, "--target", target, source], check=True)
    return target


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(site)
    _plugins.refresh()
    yield
    _plugins.refresh()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    class Nimbus(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = json.dumps(ANSWERS[self.path](body)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Nimbus) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.mark.parametrize("name", ["nimbus", "nimbus_sagewire:NimbusHandler"])
@pytest.mark.usefixtures("installed")
async def test_clients(server: str, name: str) -> None:
    assert Client(url=server, handler=name).chat("Hi", max_tokens=3).text == "heard Hi"
    assert (await AsyncClient(url=server, handler=name).chat("Hi")).text == "heard Hi"
    with pytest.raises(UnsupportedFeature, match="'top_p'"):
        Client(url=server, handler=name).chat("Hi", top_p=0.5)


@pytest.mark.parametrize("name", ["nimbus", "nimbus_sagewire:FORMAT", "nimbus_sagewire:write_turns"])
@pytest.mark.usefixtures("installed")
def test_prompt_formats(server: str, name: str) -> None:
    client = Client(url=server, handler="nimbus_text", format=name)
    assert client.chat("Hi").text == "read <user>Hi<assistant>"
    assert get_format(name).render([Message("user", "Hi")]) == "<user>Hi<assistant>"


@pytest.mark.usefixtures("installed")
def test_embeddings_and_rerankers(server: str) -> None:
    for name in ("nimbus_vectors", "nimbus_sagewire:NimbusVectors"):
        assert Client(url=server, handler=name).embed(["ab"]).vectors == [[1.0, 2.0]]
    for name in ("nimbus_ranks", "nimbus_sagewire:NimbusRanks"):
        assert Client(url=server, handler=name).rerank("q", ["a", "abc"]).results[0].index == 1


@pytest.mark.usefixtures("installed")
def test_frameworks(server: str) -> None:
    from llama_index.core.llms import ChatMessage

    from sagewire.integrations.langchain import ChatHuggingFaceEndpoint, HuggingFaceEndpointEmbeddings
    from sagewire.integrations.llama_index import HuggingFaceEndpointLLM

    assert ChatHuggingFaceEndpoint(endpoint_url=server, content_handler="nimbus").invoke("Hi").content == "heard Hi"
    vectors = HuggingFaceEndpointEmbeddings(endpoint_url=server, content_handler="nimbus_sagewire:NimbusVectors")
    assert vectors.embed_query("abc") == [1.0, 3.0]
    llm = HuggingFaceEndpointLLM(url=server, content_handler="nimbus_text", prompt_format="nimbus")
    assert llm.chat([ChatMessage("Hi")]).message.content == "read <user>Hi<assistant>"


@pytest.mark.usefixtures("installed", "clean_environment")
def test_command_line(server: str) -> None:
    asked = CliRunner().invoke(app, ["ask", server, "--handler", "nimbus", "Hi"])
    assert (asked.exit_code, asked.stdout) == (0, "heard Hi\n")
    named = CliRunner().invoke(app, ["ask", server, "--handler", "nimbus_sagewire:NimbusHandler", "Hi"])
    assert named.stdout == "heard Hi\n"
    rows = {row["name"]: row for row in json.loads(CliRunner().invoke(app, ["handlers", "--json"]).stdout)}
    assert rows["nimbus"]["about"] == "Nimbus chat: turns in, `out` out."
    assert [rows[name]["takes"] for name in ("nimbus_text", "nimbus_vectors", "tei")] == ["prompt", "texts", "texts"]
    assert "nimbus-sagewire 1.0 (nimbus_sagewire.missing:Handler) cannot be loaded" in rows["nimbus_broken"]["about"]
    formats = [row["name"] for row in json.loads(CliRunner().invoke(app, ["formats", "--json"]).stdout)]
    assert "nimbus" in formats


@pytest.mark.usefixtures("installed", "clean_environment")
def test_gateway_configuration(server: str, tmp_path: Path) -> None:
    from starlette.testclient import TestClient

    from sagewire.gateway.accounting.database import open_store
    from sagewire.gateway.config import parse_config
    from sagewire.gateway.gateway import Gateway
    from sagewire.gateway.server.app import create_app

    config = f"""
    models:
      named: {{url: {server}, handler: nimbus, embedding_handler: nimbus_vectors, rerank_handler: nimbus_ranks}}
      path: {{url: {server}, handler: "nimbus_sagewire:NimbusTextHandler", format: "nimbus_sagewire:FORMAT"}}
    """
    store = open_store("sqlite://")
    with closing(store), TestClient(create_app(Gateway(parse_config(config), store))) as gateway:

        def chat(model: str) -> Any:
            asked = {"model": model, "messages": [{"role": "user", "content": "Hi"}]}
            return gateway.post("/v1/chat/completions", json=asked).json()["choices"][0]["message"]["content"]

        assert chat("named") == "heard Hi"
        assert chat("path") == "read <user>Hi<assistant>"
        vectors = gateway.post("/v1/embeddings", json={"model": "named", "input": ["ab"]}).json()
        assert vectors["data"][0]["embedding"] == [1.0, 2.0]


@pytest.mark.parametrize("name", ["nimbus", "nimbus_sagewire:NimbusHandler"])
@pytest.mark.usefixtures("installed")
def test_bulk_jobs(server: str, tmp_path: Path, name: str) -> None:
    (tmp_path / "in.jsonl").write_text('{"prompt": "Hi"}\n')
    output = tmp_path / "out.jsonl"
    report = run_job(
        str(tmp_path / "in.jsonl"), server, str(output), template="{prompt}", client_arguments={"handler": name}
    )
    assert (report.failed, "heard Hi" in output.read_text()) == (0, True)


@pytest.mark.usefixtures("installed")
def test_mistakes_are_said() -> None:
    with pytest.raises(UsageError, match=r"nimbus-sagewire 1.0 .* cannot be loaded: ModuleNotFoundError"):
        get_handler("nimbus_broken")
    with pytest.raises(UsageError, match=r"'nimbus_vectors' is not a valid handler"):
        get_handler("nimbus_vectors")
    with pytest.raises(UsageError, match="'nimbus' is not a valid embedding handler"):
        get_embedding_handler("nimbus")
    with pytest.raises(UsageError, match="'nimbus_sagewire:FORMAT' is not a valid rerank handler"):
        get_rerank_handler("nimbus_sagewire:FORMAT")
    with pytest.raises(UsageError, match=r"did you mean 'nimbus'"):
        get_handler("nimbu")
    with pytest.raises(UsageError, match="nimbus_sagewire has no Handler"):
        get_handler("nimbus_sagewire:Handler")
    with pytest.raises(UsageError, match="cannot import no_such_module"):
        get_format("no_such_module:FORMAT")
    with pytest.raises(UsageError, match="'sys:path' is not a prompt format"):
        get_format("sys:path")


def distribution(folder: Path, name: str, points: str) -> None:
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(points)


@pytest.mark.parametrize(
    ("ask", "sources"),
    [
        ("get_handler('tgi')", "'tgi' is offered by sagewire itself and by greedy 1.0 (greedy:Tgi)"),
        ("get_embedding_handler('tei')", "'tei' is offered by sagewire itself and by greedy 1.0 (greedy:Tei)"),
        ("get_format('llama3')", "'llama3' is offered by sagewire itself and by greedy 1.0 (greedy:LLAMA)"),
        ("get_handler('both')", "'both' is offered by greedy 1.0 (greedy:Both) and by other 1.0 (other:Both)"),
    ],
)
def test_a_name_of_two_sources_is_refused_and_both_are_named(tmp_path: Path, ask: str, sources: str) -> None:
    handlers = "[sagewire.content_handlers]\nboth = {0}:Both\n"
    taken = "tgi = greedy:Tgi\ntei = greedy:Tei\n[sagewire.prompt_formats]\nllama3 = greedy:LLAMA\n"
    distribution(tmp_path, "greedy", handlers.format("greedy") + taken)
    distribution(tmp_path, "other", handlers.format("other"))
    code = (
        "from sagewire import UsageError, get_format, get_handler\n"
        "from sagewire.content_handlers import get_embedding_handler\n"
        f"try:\n    {ask}\nexcept UsageError as error:\n    print(error)"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert sources in done.stdout.replace("other 1.0 (other:Both) and by greedy 1.0 (greedy:Both)", sources[19:])
