"""Several batches in flight: order kept, fewer for a server that has too many, progress on demand."""

import asyncio
import os
import sys
import threading
from contextlib import nullcontext, suppress
from types import ModuleType, SimpleNamespace

import pytest

from sagewire import AsyncClient, Client
from sagewire.errors import EndpointError, Throttled, UsageError
from sagewire.transports.base import Body
from sagewire.types import ResponseInfo


class Crowded:
    """A transport of both kinds that answers `most` calls at once and refuses the others."""

    def __init__(self, most=100, refusal=None):
        self.most = most
        self.refusal = refusal or Throttled("too many", code="busy", retry_safe=True, retry_after=0.001)
        self.now = self.peak = self.calls = 0
        self.lock = threading.Lock()
        self.full = threading.Event()

    def _enter(self):
        with self.lock:
            self.now += 1
            self.calls += 1
            self.peak = max(self.peak, self.now)
            if self.now > self.most:
                self.now -= 1
                raise self.refusal

    def _answer(self, call):
        import orjson

        with self.lock:
            self.now -= 1
        texts = orjson.loads(call.body)["inputs"]
        vectors = [[float(text.split()[1]), 1.0] for text in texts]
        return Body(orjson.dumps(vectors), ResponseInfo(content_type="application/json"))

    def invoke(self, call):
        self._enter()
        self.full.wait(0.01)
        return self._answer(call)


class AsyncCrowded(Crowded):
    async def invoke(self, call):
        self._enter()
        await asyncio.sleep(0.01)
        return self._answer(call)

    async def close(self):
        pass


@pytest.fixture(params=["sync", "async"])
def embed(request):
    def run(crowd, count=1000, **options):
        texts = [f"text {number}" for number in range(count)]
        if request.param == "sync":
            return Client(transport=crowd, handler="tei").embed(texts, **options)
        return asyncio.run(AsyncClient(transport=crowd, handler="tei").embed(texts, **options))

    run.crowd = Crowded if request.param == "sync" else AsyncCrowded
    return run


def test_the_order_of_the_texts_is_kept(embed):
    crowd = embed.crowd()
    vectors = embed(crowd, count=1000).vectors
    assert [vector[0] for vector in vectors] == list(range(1000))
    assert 8 <= crowd.peak <= 16


@pytest.mark.parametrize("most", [1, 3])
def test_never_more_than_allowed(embed, most):
    crowd = embed.crowd()
    embed(crowd, max_concurrency=most)
    assert crowd.peak == most


def test_a_server_that_has_too_many_gets_fewer(embed):
    crowd = embed.crowd(3)
    vectors = embed(crowd, count=1000).vectors
    assert [vector[0] for vector in vectors] == list(range(1000))


def test_a_failure_ends_it(embed):
    crowd = embed.crowd(2, EndpointError("broken", code="broken"))
    with pytest.raises(EndpointError, match="broken"):
        embed(crowd)
    assert crowd.calls < 32


def test_two_texts_that_are_too_large_together_are_sent_apart(embed):
    crowd = embed.crowd()
    answer = crowd._answer

    def limited(call):
        import orjson

        if len(orjson.loads(call.body)["inputs"]) > 1:
            raise EndpointError("batch size 2 > maximum allowed batch size 1", status=422, code="validation")
        return answer(call)

    crowd._answer = limited
    assert [vector[0] for vector in embed(crowd, count=2).vectors] == [0, 1]


def test_throttling_that_never_ends(embed):
    crowd = embed.crowd(0)
    with pytest.raises(Throttled):
        embed(crowd, max_concurrency=4)


def test_progress_is_told(embed):
    told = []
    embed(embed.crowd(), count=100, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (100, 100)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def read_all(terminal, pieces):
    # The end of a terminal whose other side is closed is an error.
    with suppress(OSError):
        while piece := os.read(terminal, 65_536):
            pieces.append(piece)


def test_a_terminal_shows_a_bar(embed, monkeypatch, capsys):
    ours, theirs = os.openpty()
    pieces = []
    reader = threading.Thread(target=read_all, args=(ours, pieces))
    reader.start()
    monkeypatch.setenv("TERM", "xterm")
    with open(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        embed(embed.crowd(), count=100, progress=True)
    reader.join()
    os.close(ours)
    seen = b"".join(pieces).decode()
    assert "Embedding" in seen
    assert "100/100" in seen
    assert "\x1b[" in seen
    assert capsys.readouterr().out == ""


def test_a_pipe_gets_the_bar_once_and_no_control_characters(embed, capsys):
    embed(embed.crowd(), count=100, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("100/100") == 1
    assert "\x1b" not in err


class Notebook(ModuleType):
    """IPython in a notebook, as far as it displays something."""

    def __init__(self):
        super().__init__("IPython")
        self.pictures = []

    def get_ipython(self):
        return SimpleNamespace(kernel=object())

    def display(self, data, *, raw, display_id=None):
        assert raw
        self.pictures.append(data["text/plain"])
        return SimpleNamespace(update=self.display)


@pytest.mark.parametrize("fails", [False, True])
def test_a_notebook_shows_a_bar(embed, monkeypatch, capsys, fails):
    notebook = Notebook()
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    monkeypatch.setitem(sys.modules, "IPython.display", notebook)
    crowd = embed.crowd(0) if fails else embed.crowd()
    with pytest.raises(Throttled) if fails else nullcontext():
        embed(crowd, count=100, progress=True, max_concurrency=4)
    assert notebook.pictures[0].startswith("Embedding ░")
    assert ("0% 0/" if fails else "100% 100/100") in notebook.pictures[-1]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("value", [0, -1, 1.5, True])
def test_a_concurrency_that_is_none(embed, value):
    with pytest.raises(UsageError, match="max_concurrency"):
        embed(embed.crowd(), max_concurrency=value)
