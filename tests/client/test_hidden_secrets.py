"""Configuration objects, sessions and transports show no secret to whoever looks through them."""

import copy
import dataclasses
import importlib
import json
import pickle
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial

import orjson
import pytest
from botocore.config import Config

from sagewire import AsyncClient, Client, UsageError
from sagewire.aws.refreshing import RefreshingCredentials
from sagewire.aws.session import static_session, web_identity_session
from sagewire.bulk.job import Job
from sagewire.client.transport_choices import Http
from sagewire.gateway.config import parse_config
from sagewire.types import Invocation
from sagewire.types.secret import Secret

from ..cases import each

KEYS = {
    "aws_access_key_id": "AKIAHIDDEN",
    "aws_secret_access_key": "hidden-secret",
    "aws_session_token": "hidden-token",
}
HIDDEN = ("hidden-secret", "hidden-token", "hidden-key", "hidden-login", "aGlkZGVuLWxvZ2lu")
PROXY = Config(proxies={"https": "http://me:hidden-login@proxy.example.org:3128"})
WITH_KEY = "https://llm.example.org/v1?api-version=2024-10-21&code=hidden-key"
LANGCHAIN = (
    ("ChatSagemakerEndpoint", "SagemakerEndpoint", "SagemakerEndpointEmbeddings", "SagemakerRerank"),
    ("ChatHuggingFaceEndpoint", "HuggingFaceEndpoint", "HuggingFaceEndpointEmbeddings", "HuggingFaceRerank"),
)
LLAMA_INDEX = (
    ("SageMakerLLM", "SageMakerEmbedding", "SageMakerRerank"),
    ("HuggingFaceEndpointLLM", "HuggingFaceEndpointEmbedding", "HuggingFaceEndpointRerank"),
)
GATEWAY = """
models:
  m:
    deployments:
      - {url: https://llm.example.org, token: hidden-token, headers: {X-Key: hidden-key}}
      - {endpoint: e, region: us-east-1, aws_access_key_id: AKIAHIDDEN, aws_secret_access_key: hidden-secret,
         aws_session_token: hidden-token}
keys: [{name: bob, key: sk-hidden-key-0123456789}]
server: {master_key: sk-hidden-key-9876543210, database_url: "postgresql://me:hidden-login@db/x"}
environment: {OTHER: hidden-key}
"""


def refreshing():
    credentials = RefreshingCredentials(
        lambda: ("AKIAHIDDEN", "hidden-secret", "hidden-token", (datetime.now(UTC) + timedelta(hours=1)).timestamp()),
        "assume-role",
    )
    assert credentials.secret_key == "hidden-secret"
    return credentials


def opened(client):
    """Return a client that has its transport and has signed."""
    transport = client._connect()
    target = transport._target
    source = transport._source
    request = target.request(
        client._prepare(client._chat("Hi", None, None, None, {}, False), {}).invocation,
        source.get() if source else None,
        stream=False,
    )
    transport._sent.note(request)
    return client


def llama_index(kind, **arguments):
    module = importlib.import_module("sagewire.integrations.llama_index")
    return getattr(module, kind)(**arguments)


def llama_index_on_sagemaker(kind):
    handler = {"SageMakerEmbedding": "tei", "SageMakerRerank": "tei_rerank"}.get(kind, "tgi")
    return llama_index(kind, endpoint_name="e", content_handler=handler, aws_region_name="us-east-1", **KEYS)


def llama_index_on_http(kind):
    headers = {"headers": {"X-Key": "hidden-key"}, "cookies": {"sid": "hidden-login"}}
    handlers = {"HuggingFaceEndpointEmbedding": "openai_embeddings", "HuggingFaceEndpointRerank": "vllm_rerank"}
    handler = handlers.get(kind, "openai_chat")
    return llama_index(kind, url=WITH_KEY, token="hidden-token", content_handler=handler, **headers)


def langchain(kind, **arguments):
    module = importlib.import_module("sagewire.integrations.langchain")
    made = getattr(module, kind)(**arguments)
    assert made._clients
    return made


def langchain_on_sagemaker(kind):
    return langchain(kind, endpoint_name="e", region_name="us-east-1", config=PROXY, **KEYS)


def langchain_on_http(kind):
    headers = {"additional_headers": {"X-Key": "hidden-key"}, "server_kwargs": {"headers": {"X-Two": "hidden-login"}}}
    return langchain(kind, endpoint_url=WITH_KEY, token="hidden-token", **headers)


MADE = {
    "client": lambda: opened(Client("e", handler="openai_chat", region_name="us-east-1", config=PROXY, **KEYS)),
    "async client": lambda: opened(AsyncClient("e", handler="openai_chat", region_name="us-east-1", **KEYS)),
    "config": lambda: Client("e", **KEYS)._settings,
    "url": lambda: opened(Client(url="https://llm.example.org", token="hidden-token", handler="openai_chat")),
    "http": lambda: Http("https://llm.example.org", "hidden-token", {"X-Key": "hidden-key"}),
    "headers": lambda: opened(
        AsyncClient(transport=Http("https://x.example.org", None, {"X-Key": "hidden-key"}), handler="openai_chat")
    ),
    "session": lambda: static_session(*KEYS.values(), region_name="us-east-1"),
    "source": lambda: static_session(*KEYS.values(), region_name="us-east-1").source,
    "web identity": lambda: web_identity_session("arn:aws:iam::222222222222:role/a", token="hidden-token"),
    "refreshing": refreshing,
    "job": lambda: Job("in.csv", "sagemaker/e", "out.csv", client_arguments=KEYS),
    "gateway": lambda: parse_config(GATEWAY, environment={}),
    "url with a key": lambda: opened(Client(url=WITH_KEY, handler="openai_chat")),
    "proxy": lambda: opened(Client("e", handler="openai_chat", region_name="us-east-1", config=PROXY, **KEYS)),
    "job with a key": lambda: Job("in.csv", WITH_KEY, "out.csv"),
    "pair": lambda: llama_index_on_sagemaker("SageMakerLLM")._made,
    **{kind: partial(langchain_on_sagemaker, kind) for kind in LANGCHAIN[0]},
    **{kind: partial(langchain_on_http, kind) for kind in LANGCHAIN[1]},
    **{kind: partial(llama_index_on_sagemaker, kind) for kind in LLAMA_INDEX[0]},
    **{kind: partial(llama_index_on_http, kind) for kind in LLAMA_INDEX[1]},
}


@pytest.fixture(params=MADE)
def made(request):
    return MADE[request.param]()


def everything(value, seen, depth=0):
    """Yield the texts in an object: attributes, slots, items and fields, as a debugger finds them."""
    if isinstance(value, str | bytes):
        yield value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        return
    if id(value) in seen or depth > 12 or type(value).__module__.split(".")[0] not in ("builtins", "sagewire"):
        # What others' objects show is theirs to decide.
        if type(value).__module__.split(".")[0] not in ("builtins", "sagewire"):
            yield repr(value)
        return
    seen[id(value)] = value
    if isinstance(value, Mapping):
        inside = [*value, *value.values()]
    elif isinstance(value, list | tuple | set | frozenset):
        inside = list(value)
    elif isinstance(value, type) or callable(value):
        inside = []
    else:
        names = (
            {name for kind in type(value).__mro__ for name in vars(kind).get("__slots__", ())}
            if not (isinstance(value, Secret) or type(value).__name__ == "Credentials")
            else set()
        )
        inside = [*getattr(value, "__dict__", {}).values()]
        inside += [getattr(value, name) for name in names if name != "__weakref__" and hasattr(value, name)]
    for item in inside:
        yield from everything(item, seen, depth + 1)


def attributes(value):
    """Return the attributes of sagewire's objects; what others' objects have is theirs to hide."""
    return vars(value) if type(value).__module__.startswith("sagewire.") and hasattr(value, "__dict__") else str(value)


def shown(value):
    """Yield what the usual ways to look at an object show."""
    yield repr(value), str(value), f"{value}"
    yield from everything(value, {})
    ways = [
        dataclasses.asdict,
        dataclasses.astuple,
        vars,
        copy.copy,
        copy.deepcopy,
        pickle.dumps,
        orjson.dumps,
        lambda each: json.dumps(each, default=str),
        lambda each: json.dumps(each, default=attributes),
        lambda each: each.model_dump(),
        lambda each: each.model_dump_json(),
        lambda each: each.to_dict(),
        lambda each: each.to_json(),
        lambda each: vars(each.model_copy()),
        lambda each: each.metadata,
        lambda each: each._identifying_params,
        lambda each: each.__getstate__(),
        lambda each: each.__reduce_ex__(4),
    ]
    for way in ways:
        with suppress(Exception):
            found = way(value)
            yield found.decode("latin-1") if isinstance(found, bytes) else repr(found)


def test_no_usual_way_to_look_at_an_object_shows_a_secret(made):
    for text in shown(made):
        for hidden in HIDDEN:
            assert hidden not in str(text)


def test_a_secret_is_shown_by_one_method_only():
    secret = Secret("hidden-secret")
    assert secret.reveal() == "hidden-secret"
    assert (secret, hash(secret)) == (Secret("hidden-secret"), hash(Secret("hidden-secret")))
    assert secret != "hidden-secret"
    assert secret
    assert not Secret("")
    assert copy.deepcopy(secret) is copy.copy(secret) is secret
    with pytest.raises(TypeError):
        vars(secret)


def test_what_is_wrapped_is_still_used():
    with_keys = dataclasses.replace(Client("e", **KEYS)._settings, probe=True)
    keys = with_keys.credentials().source.get()
    assert (keys.access_key, keys.secret_key, keys.token) == tuple(KEYS.values())
    again = dataclasses.replace(Http("https://x.example.org", "hidden-token", {"X-Key": "k"}), verify=False)
    assert (again.token.reveal(), again.headers["X-Key"].reveal()) == ("hidden-token", "k")


def test_fields_of_frameworks_are_used_as_they_were_given():
    model = llama_index_on_http("HuggingFaceEndpointLLM")
    transport = model._client._connect()
    call = Invocation(b"{}", path="/v1/chat/completions")
    request = transport._target.request(call, None, stream=False)
    told = ("Authorization", "X-Key", "Cookie")
    assert [request.headers[name] for name in told] == ["Bearer hidden-token", "hidden-key", "sid=hidden-login"]
    assert request.path == "/v1/chat/completions?api-version=2024-10-21&code=hidden-key"
    keys = llama_index_on_sagemaker("SageMakerEmbedding")._client._settings.credentials().source.get()
    assert (keys.access_key, keys.secret_key, keys.token) == tuple(KEYS.values())
    chat = langchain_on_http("ChatHuggingFaceEndpoint")
    request = chat._clients.client._connect()._target.request(call, None, stream=False)
    assert (request.headers["X-Key"], request.headers["X-Two"]) == ("hidden-key", "hidden-login")
    assert chat.endpoint_url == Secret(WITH_KEY)


@each(
    "make",
    [
        lambda url: Client(url=url, handler="openai_chat"),
        lambda url: Client("e", endpoint_url=url, region_name="us-east-1"),
        lambda url: Job("in.csv", url, "out.csv"),
        lambda url: Job("in.csv", f"huggingface/{url}", "out.csv"),
        lambda url: langchain("ChatHuggingFaceEndpoint", endpoint_url=url),
        lambda url: langchain("ChatSagemakerEndpoint", endpoint_name="e", endpoint_url=url, region_name="us-east-1"),
        lambda url: llama_index("HuggingFaceEndpointLLM", url=url),
        lambda url: llama_index("SageMakerLLM", endpoint_name="e", endpoint_url=url, aws_region_name="us-east-1"),
    ],
)
def test_a_url_with_a_password_is_refused_at_once_and_not_shown(make):
    with pytest.raises(ValueError, match=r"user name or .*password") as caught:
        make("https://me:hidden-login@llm.example.org/v1?code=hidden-key")
    assert not any(hidden in f"{caught.value!r} {caught.value}" for hidden in HIDDEN)


def test_a_url_without_a_key_stays_text():
    url = "https://llm.example.org/v1?api-version=2024-10-21&v=2"
    assert Http(url).url == url
    assert pickle.loads(pickle.dumps(Http(url))) == Http(url)
    assert Job("in.csv", url, "out.csv").model == url


def test_the_password_of_a_proxy_is_not_pickled():
    with pytest.raises(UsageError, match="HTTPS_PROXY"):
        pickle.dumps(Client("e", handler="tgi", region_name="us-east-1", config=PROXY))


ON_HTTP = [
    *((llama_index_on_http, kind, "url") for kind in LLAMA_INDEX[1]),
    *((langchain_on_http, kind, "endpoint_url") for kind in LANGCHAIN[1]),
]


@each(("make", "kind", "name"), ON_HTTP)
def test_a_url_that_was_written_without_its_key_is_not_read(make, kind, name):
    model = make(kind)
    written = model.model_dump(mode="json")[name]
    assert written.endswith("code=***")
    for url in (written, written.replace("***", "%2A%2A%2A"), "https://h/v1?***", "https://me:***@h/v1"):
        with pytest.raises(ValueError, match="give the URL again"):
            type(model)(**{name: url, "content_handler": model.content_handler})


@each(("make", "kind", "name"), ON_HTTP)
def test_a_url_that_is_assigned_later_is_hidden_too(make, kind, name):
    made = make(kind)
    handler = {"content_handler": made.content_handler} if made.content_handler else {}
    model = type(made)(**{name: "https://llm.example.org"}, **handler)
    assert "llm.example.org" in repr(model)
    setattr(model, name, WITH_KEY)
    assert "hidden-key" not in f"{model!r} {model}"
    with pytest.raises(UsageError, match=f"{name} is a secret"):
        pickle.dumps(model)


ON_SAGEMAKER = [("langchain", kind) for kind in LANGCHAIN[0]] + [("llama_index", kind) for kind in LLAMA_INDEX[0]]


@each(("package", "kind"), ON_SAGEMAKER)
def test_a_url_of_sagemaker_that_holds_a_key_is_shown_without_it(package, kind):
    """It is refused, but one that is assigned only by the first call."""
    made = getattr(importlib.import_module(f"sagewire.integrations.{package}"), kind)
    named = {"endpoint_name": "e", "content_handler": "openai_chat" if "LLM" in kind else None}
    model = made(**{name: value for name, value in named.items() if value})
    model.endpoint_url = WITH_KEY
    built = made.model_construct(**named, endpoint_url=WITH_KEY)
    copied = made(**{name: value for name, value in named.items() if value}).model_copy(
        update={"endpoint_url": WITH_KEY}
    )
    for each_one in (model, built, copied):
        shown = f"{each_one.model_dump()} {each_one.model_dump_json()} {getattr(each_one, '_identifying_params', '')}"
        shown += json.dumps(each_one.to_json(), default=str) if package == "langchain" and "Chat" in kind else ""
        assert "hidden-key" not in shown
        assert "code=***" in shown


@each("make", [
    lambda: llama_index("HuggingFaceEndpointLLM", url="https://h", content_handler="tgi", cookies={"a": None}),
    lambda: llama_index("HuggingFaceEndpointLLM", url="https://h", content_handler="tgi", headers={"a": None}),
    lambda: langchain("HuggingFaceEndpoint", endpoint_url="https://h", additional_headers={"a": None}),
    lambda: langchain("HuggingFaceEndpoint", endpoint_url="https://h", server_kwargs={"headers": {"a": None}}),
])  # fmt: skip
def test_a_header_or_a_cookie_without_a_value_is_refused(make):
    with pytest.raises(ValueError, match="'a' is None"):
        make()
