"""Configuration objects, sessions and transports show no secret to whoever looks through them."""

import copy
import dataclasses
import json
import pickle
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from botocore.config import Config

from sagewire import AsyncClient, Client
from sagewire.aws.refreshing import RefreshingCredentials
from sagewire.aws.session import static_session, web_identity_session
from sagewire.bulk.job import Job
from sagewire.client.transport_choices import Http
from sagewire.gateway.config import parse_config
from sagewire.types.secret import Secret

KEYS = {
    "aws_access_key_id": "AKIAHIDDEN",
    "aws_secret_access_key": "hidden-secret",
    "aws_session_token": "hidden-token",
}
HIDDEN = ("hidden-secret", "hidden-token", "hidden-key", "hidden-login", "aGlkZGVuLWxvZ2lu")
PROXY = Config(proxies={"https": "http://me:hidden-login@proxy.example.org:3128"})
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
    transport._sent = Secret(request)
    return client


def llama_index():
    from sagewire.integrations.llama_index import SageMakerLLM

    model = SageMakerLLM("e", content_handler="tgi", aws_region_name="us-east-1", **KEYS)
    model._clients()
    return model._made


def langchain():
    from sagewire.integrations.langchain import ChatSagemakerEndpoint

    model = ChatSagemakerEndpoint(endpoint_name="e", content_handler="openai_chat", region_name="us-east-1", **KEYS)
    assert model._clients
    return model


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
    "langchain": langchain,
    "llama_index pair": llama_index,
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
