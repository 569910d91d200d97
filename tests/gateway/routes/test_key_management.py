"""Keys over HTTP, with the master key, as LiteLLM's clients manage them."""

from typing import Any

import pytest
import urllib3

from sagewire.gateway.keys import Key, digest_of
from sagewire.gateway.server import app
from tests.cases import each

TEXT = "models: {chat: {endpoint: chat, handler: openai_chat}, tgi: {endpoint: tgi, handler: tgi, format: chatml}}\n"
LOCKED = TEXT + "server: {master_key: sk-master-key}\nkeys: [{name: team, key: sk-team}]\n"
MASTER = {"authorization": "Bearer sk-master-key"}
HELLO = [{"role": "user", "content": "Hello"}]


def ask(gateway, key: str, model: str = "chat") -> int:
    body = {"model": model, "messages": HELLO}
    return int(gateway.post("/v1/chat/completions", body, authorization=f"Bearer {key}").status)


def test_the_life_of_a_key(start) -> None:
    gateway = start(LOCKED)
    wanted = {"key_alias": "alice", "models": ["chat"], "duration": "30d", "rpm_limit": 50, "metadata": {"a": 1}}
    made = gateway.post("/key/generate", wanted, **MASTER).json()
    secret = made["key"]
    assert (made["key_alias"], made["models"], made["rpm_limit"]) == ("alice", ["chat"], 50)
    assert (ask(gateway, secret), ask(gateway, secret, "tgi")) == (200, 403)
    info = gateway.get(f"/key/info?key={secret}", **MASTER).json()["info"]
    assert (info["key_alias"], secret in str(info)) == ("alice", False)
    listed = gateway.get("/key/list", **MASTER).json()["keys"]
    assert [(one["key_alias"], one["in_configuration_file"]) for one in listed] == [("team", True), ("alice", False)]
    # Those of the file are changed there; everybody may look at their own.
    assert gateway.post("/key/delete", {"keys": ["team"]}, **MASTER).status == 400
    own = gateway.get(f"/key/info?key={secret}", authorization="Bearer sk-team").json()["info"]
    assert own["key_alias"] == "team"
    assert gateway.post("/key/update", {"key": secret, "spend": 0}, **MASTER).status == 400
    gateway.post("/key/update", {"key": secret, "models": ["tgi"]}, **MASTER)
    assert (ask(gateway, secret), ask(gateway, secret, "tgi")) == (403, 200)
    assert gateway.post("/key/delete", {"keys": [secret]}, **MASTER).json() == {"deleted_keys": [secret]}
    assert ask(gateway, secret) == 401
    assert gateway.get(f"/key/info?key={secret}", **MASTER).status == 404


def test_only_the_master_key_manages_keys(start) -> None:
    gateway = start(LOCKED)
    for headers, status in (({}, 401), ({"authorization": "Bearer sk-team"}, 403)):
        assert gateway.post("/key/generate", {}, **headers).status == status
        assert gateway.get("/key/list", **headers).status == status
    # Without keys nobody has a master key, and nobody may make one.
    assert start(TEXT).post("/key/generate", {}).status == 403


def test_what_would_allow_more_than_asked_is_refused(start) -> None:
    gateway = start(LOCKED)
    for body in (
        {"models": ["unknown"]},
        {"models": ["chat", 5]},
        {"duration": "soon"},
        {"rpm_limit": 0},
        {"blocked": "yes"},
        {"max_parallel_requests": 0},
        {"max_parallel_requests": True},
        {"rpm_limit": 2**31},
        {"rpm_limit": ""},
        {"tpm_limit": "many"},
        {"tpm_limit": "nan"},
        {"tpm_limit": 1.5},
        {"model_tpm_limit": {"unknown": 1}},
        {"model_rpm_limit": {"chat": 0}},
        {"model_rpm_limit": ["chat"]},
        {"model_itpm_limit": {"chat": 1}},
        {"metadata": ["a"]},
        {"metadata": {"a": "b" * 20_000}},
        {"metadata": {"max_iterations": 3}},
        {"user_id": 5},
        {"soft_budget": "x"},
        {"tags": "a"},
        {"key_alias": "a" * 201},
        {"key_alias": "a\nb"},
        {"key": "sk two"},
        {"key": "sk-schlüssel"},
        {"key": "sk-master-key"},
        {"key": "sk-team"},
        {"tpd_limit": 0},
        {"aliases": {"tgi": "chat"}},
        {"budget_limits": [{"budget_duration": "1d", "max_budget": 1}]},
        {"key_type": "read_only"},
        {"key_type": "management"},
        {"allowed_routes": ["/chat/completions"]},
        {"auto_rotate": True, "rotation_interval": "30d"},
        {"object_permission": {"mcp_servers": ["a"]}},
        {"model_max_budget": {"chat": 0}},
        {"metadata": {"model_rpm_limit": {"chat": 1}}},
        {"metadata": {"owner": "me", "guardrails": ["pii"]}},
        {"metadata": {"enforced_params": ["user"]}},
        {"team_id": "t"},
        {"team_id": "t", "models": []},
    ):
        made = gateway.post("/key/generate", body, **MASTER)
        assert made.status == 400, body
    assert gateway.get("/key/list", **MASTER).json()["total_count"] == 1
    assert gateway.post("/key/generate", {"key_alias": "a"}, **MASTER).status == 200
    assert gateway.post("/key/generate", {"key_alias": "a"}, **MASTER).status == 400


@each(
    ("body", "described"),
    [
        ({"models": ["all-proxy-models"]}, {"models": []}),
        ({"models": ["chat", "*"]}, {"models": []}),
        ({"duration": "-1"}, {"expires": None}),
        ({"budget_duration": "daily", "max_budget": 1}, {"budget_duration": "24h"}),
        ({"team_id": "t", "models": ["chat"], "user_id": "u", "tags": ["a"], "soft_budget": 5}, {"models": ["chat"]}),
        ({"metadata": {"owner": "me", "tags": ["a"], "guardrails": []}, "spend": 0}, {"spend": 0.0}),
        ({"metadata": {"a": [{"b": None}]}, "tags": ["t"]}, {"metadata": {"a": [{"b": None}], "tags": ["t"]}}),
        ({"user_id": "u", "send_invite_email": True}, {"user_id": "u", "fields_without_effect": ["send_invite_email"]}),
        ({"permissions": {"a": True}}, {"permissions": {"a": True}, "fields_without_effect": ["permissions"]}),
        (
            {"rpm_limit": "5", "tpm_limit": 7.0, "max_budget": "0.5"},
            {"rpm_limit": 5, "tpm_limit": 7, "max_budget": 0.5},
        ),
        ({"max_budget": "", "metadata": None, "blocked": None}, {"max_budget": None, "metadata": {}, "blocked": False}),
        ({"object_permission": {"mcp_servers": [], "agents": None}, "auto_rotate": False}, {"blocked": False}),
        ({"rotation_interval": "30d", "auto_rotate": False}, {"fields_without_effect": ["rotation_interval"]}),
        ({"model_rpm_limit": {"chat": 3}}, {"model_rpm_limit": {"chat": 3}, "model_tpm_limit": {}}),
        ({"key_type": "llm_api", "allowed_routes": ["llm_api_routes"], "permissions": {"pii": False}}, {}),
    ],
)
def test_what_litellms_clients_send_and_nothing_here_depends_on(locked, body, described) -> None:
    made = locked.post("/key/generate", body, **MASTER)
    assert made.status == 200, made.json()
    assert described.items() <= made.json().items()


def test_limits_that_the_workers_cannot_count_are_refused_when_the_key_is_made(start) -> None:
    gateway = start(LOCKED, workers=2)
    refused = gateway.post("/key/generate", {"rpm_limit": 5}, **MASTER)
    assert refused.status == 400
    assert refused.json()["error"]["code"] == "limits_not_shared"
    assert "server.redis_url" in refused.json()["error"]["message"]
    made = gateway.post("/key/generate", {"key_alias": "a", "max_budget": 5}, **MASTER).json()
    refused = gateway.post("/key/update", {"key": made["key"], "tpm_limit": 5}, **MASTER)
    assert refused.json()["error"]["code"] == "limits_not_shared"
    assert ask(gateway, made["key"]) == 200


def test_paths_of_azures_clients_and_of_coheres(start, upstream) -> None:
    gateway = start(LOCKED)
    team = {"api-key": "sk-team"}
    body = {"messages": HELLO}
    for path in ("/openai/deployments/chat/chat/completions?api-version=2025-01-01", "/engines/chat/chat/completions"):
        assert gateway.post(path, body, **team).json()["model"] == "chat"
        # The SDK has a name in both places; that of the path counts.
        assert gateway.post(path, body | {"model": "none"}, **team).json()["model"] == "chat"
    assert gateway.post("/openai/deployments/chat/completions", {"prompt": "Hello"}, **team).status == 200
    assert gateway.post("/openai/deployments/none/chat/completions", body, **team).status == 404
    assert gateway.post("/openai/deployments/chat/chat/completions", body).status == 401
    assert gateway.post("/v2/rerank", {"model": "none", "query": "q", "documents": ["a"]}, **team).status == 404


def test_models_as_litellms_clients_read_them(start) -> None:
    found = start(LOCKED).get("/model/info", authorization="Bearer sk-team").json()["data"]
    assert [one["model_name"] for one in found] == ["chat", "tgi"]


@each(
    ("query", "names", "pages"),
    [
        ("", ["file", "one", "three", "two"], 1),
        ("key_alias=one", ["one"], 1),
        ("key_alias=nobody", [], 1),
        ("team_id=t", [], 1),
        ("user_id=u&key_alias=one", [], 1),
        ("page=2&size=3", ["two"], 2),
        ("page=9&size=3", [], 2),
        ("page=2", [], 1),
        ("search=ON", ["one"], 1),
        ("status=active&sort_by=key_alias", ["two", "three", "one", "file"], 1),
        ("status=revoked", [], 1),
        ("expires=expired", [], 1),
        ("key_alias=T&substring_matching=true&sort_by=created_at&sort_order=asc", ["two", "three"], 1),
        ("sort_by=spend&size=1&expand=user", ["file"], 4),
    ],
)
def test_a_list_has_what_was_asked_for(gateway_of_four, query: str, names: list[str], pages: int) -> None:
    found = gateway_of_four.get(f"/key/list?{query}", **MASTER).json()
    assert ([one["key_alias"] for one in found["keys"]], found["total_pages"]) == (names, pages)


@pytest.fixture
def locked(start):
    return start(LOCKED)


@pytest.fixture
def gateway_of_four(start):
    gateway = start(
        "models: {m: {url: 'http://127.0.0.1:1', handler: openai_chat}}\n"
        "server: {master_key: sk-master-key}\nkeys: [{name: file, key: sk-of-file}]\n"
    )
    for name in ("one", "two", "three"):
        assert gateway.post("/key/generate", {"key_alias": name, "key": f"sk-{name}"}, **MASTER).status == 200
    return gateway


def test_a_key_that_may_use_nothing_is_not_listed_as_one_for_all(start) -> None:
    gateway = start(LOCKED.replace("sk-team}", "sk-team}, {name: none, key: sk-none, models: []}"))
    found = {one["key_alias"]: one["models"] for one in gateway.get("/key/list", **MASTER).json()["keys"]}
    assert found == {"team": [], "none": ["no-default-models"]}


def test_a_list_of_hashes(gateway_of_four) -> None:
    found = gateway_of_four.get("/key/list?return_full_object=false&key_alias=one", **MASTER).json()
    assert found["keys"] == [digest_of("sk-one")]
    assert gateway_of_four.get("/key/aliases?return_full_object=false&search=one", **MASTER).json()["aliases"] == [
        "one"
    ]


def test_a_key_is_found_by_itself_before_one_with_its_text_as_a_name(gateway_of_four) -> None:
    made = gateway_of_four.post("/key/generate", {"key_alias": "sk-two", "key": "sk-a"}, **MASTER)
    assert made.status == 200
    assert gateway_of_four.get("/key/info?key=sk-two", **MASTER).json()["info"]["key_alias"] == "two"
    named = {"key_alias": "file", "key": "sk-one"}
    assert gateway_of_four.post("/key/update", named, **MASTER).status == 400
    taken = gateway_of_four.post("/key/update", {"key_alias": "three", "key": "sk-one"}, **MASTER)
    assert (taken.status, "already" in taken.json()["error"]["message"]) == (400, True)
    again = gateway_of_four.post("/key/generate", {"key_alias": "new", "key": "sk-one"}, **MASTER)
    assert (again.status, "kept already" in again.json()["error"]["message"]) == (400, True)


def test_a_blocked_key(start) -> None:
    gateway = start(LOCKED)
    secret = gateway.post("/key/generate", {"key_alias": "a", "metadata": {"b": 1}}, **MASTER).json()["key"]
    assert ask(gateway, secret) == 200
    assert gateway.post("/key/block", {"key": secret}, **MASTER).json()["blocked"] is True
    refused = gateway.get("/v1/models", authorization=f"Bearer {secret}")
    assert (refused.status, refused.json()["error"]["code"]) == (401, "key_blocked")
    # Other changes leave it blocked.
    changed = gateway.post("/key/update", {"key_alias": "a", "rpm_limit": 5}, **MASTER).json()
    assert (changed["blocked"], changed["rpm_limit"], changed["metadata"]) == (True, 5, {"b": 1})
    assert ask(gateway, secret) == 401
    gateway.post("/key/unblock", {"key": changed["token"]}, **MASTER)
    assert ask(gateway, secret) == 200
    gateway.post("/key/update", {"key": secret, "blocked": True, "metadata": None}, **MASTER)
    info = gateway.get(f"/key/info?key={secret}", **MASTER).json()["info"]
    assert (info["blocked"], info["metadata"]) == (True, {})
    for body, status in (({"key": "team"}, 400), ({"key": "sk-nobody"}, 404), ({}, 400), ([], 400)):
        assert gateway.post("/key/block", body, **MASTER).status == status
    assert gateway.post("/key/block", {"key": secret}, authorization="Bearer sk-team").status == 403


def test_a_key_gets_a_new_secret(start) -> None:
    gateway = start(LOCKED)
    old = gateway.post("/key/generate", {"key_alias": "a", "models": ["chat"], "tags": ["b"]}, **MASTER).json()
    made = gateway.post("/key/regenerate", {"key": old["key"], "rpm_limit": 9}, **MASTER).json()
    assert made["key"] != old["key"]
    assert (made["key_alias"], made["models"], made["rpm_limit"]) == ("a", ["chat"], 9)
    assert (made["metadata"], made["created_at"]) == ({"tags": ["b"]}, old["created_at"])
    assert (ask(gateway, old["key"]), ask(gateway, made["key"])) == (401, 200)
    chosen = gateway.post(f"/key/{made['token']}/regenerate", {"new_key": "sk-chosen"}, **MASTER).json()
    assert (chosen["key"], ask(gateway, "sk-chosen"), ask(gateway, made["key"])) == ("sk-chosen", 200, 401)
    for body, status in (
        ({"key": "a", "grace_period": "1d"}, 400),
        ({"key": "a", "new_master_key": "sk-x"}, 400),
        ({"key": "a", "new_key": "sk-team"}, 400),
        ({"key": "team"}, 400),
        ({"key": "nobody"}, 404),
        ({}, 400),
    ):
        assert gateway.post("/key/regenerate", body, **MASTER).status == status, body
    other = gateway.post("/key/generate", {"key_alias": "b", "key": "sk-b"}, **MASTER).json()
    taken = gateway.post("/key/regenerate", {"key": "a", "new_key": "sk-b"}, **MASTER)
    assert (taken.status, taken.json()["error"]["param"]) == (400, "new_key")
    assert "this key is kept already" in taken.json()["error"]["message"]
    assert gateway.post("/key/a/regenerate", {"key": other["key"]}, **MASTER).status == 400
    assert gateway.post("/key/a/regenerate", {}, authorization="Bearer sk-chosen").status == 403
    assert ask(gateway, "sk-chosen") == 200
    # As in LiteLLM the body may be left out, where the path names the key.
    bare = urllib3.request("POST", f"{gateway.url}/key/b/regenerate", headers=MASTER, retries=False)
    assert (bare.status, ask(gateway, "sk-b"), ask(gateway, bare.json()["key"])) == (200, 401, 200)
    assert urllib3.request("POST", f"{gateway.url}/key/regenerate", headers=MASTER, retries=False).status == 400


def test_a_key_in_a_path_is_not_logged(locked, until, monkeypatch: pytest.MonkeyPatch) -> None:
    paths: list[str] = []
    monkeypatch.setattr(app, "write_access_log", lambda log: paths.append(log.as_log()["path"]))
    for path in ("/key/sk-a/reset_spend", "/key/sk-a/b/regenerate", "/key/sk-a/other", "/key/sk-a", "/key/block"):
        assert "sk-a" not in locked.post(path, {}, **MASTER).data.decode()
    until(lambda: len(paths) == 5)
    named = [f"/key/{{key}}/{action}" for action in ("regenerate", "reset_spend")]
    assert sorted(paths) == ["/key/block", *["/key/{key}"] * 2, *named]


def test_one_key_is_looked_up_without_reading_all_of_them(gateway_of_four, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_of_four.gateway.store, "all_keys", lambda *_, **__: pytest.fail("all were read"))
    info = gateway_of_four.get("/key/info", authorization="Bearer sk-one").json()["info"]
    for named in ("sk-one", info["token"], "one"):
        assert gateway_of_four.get(f"/key/info?key={named}", **MASTER).json()["info"]["token"] == info["token"]
        assert gateway_of_four.post("/key/block", {"key": named}, **MASTER).json()["blocked"] is True
    assert gateway_of_four.get("/key/info?key=a%00b", **MASTER).status == 404
    assert gateway_of_four.post("/key/delete", {"keys": ["one"]}, **MASTER).status == 200


def test_metadata_that_no_answer_could_hold_is_refused(locked) -> None:
    for depth, status in ((200, 200), (255, 400), (900, 400)):
        deep: Any = "end"
        for _ in range(depth):
            deep = [deep]
        made = locked.post("/key/generate", {"metadata": {"a": deep}}, **MASTER)
        assert (made.status, locked.get("/key/list", **MASTER).status) == (status, 200), depth


def test_several_keys_at_once_and_their_names(gateway_of_four) -> None:
    named = gateway_of_four.get("/key/aliases", **MASTER).json()
    assert (named["aliases"], named["total_count"]) == (["file", "one", "three", "two"], 4)
    found = gateway_of_four.post("/v2/key/info", {"keys": ["sk-one", "file"]}, **MASTER).json()
    assert [one["key_alias"] for one in found["info"]] == ["one", "file"]
    assert gateway_of_four.post("/v2/key/info", {"keys": ["sk-other"]}, **MASTER).status == 404
    assert gateway_of_four.post("/v2/key/info", {"keys": ["x"] * 101}, **MASTER).status == 400
    stranger = {"authorization": "Bearer sk-one"}
    assert gateway_of_four.post("/v2/key/info", {"keys": ["sk-two"]}, **stranger).status == 403
    assert gateway_of_four.get("/key/aliases", **stranger).status == 403


@each(
    "query",
    ["page=0", "page=x", "size=0", "size=-1", "page=1.5", "status=x", "sort_by=x", "owner=me", "return_full_object=x"],
)
def test_pages_that_are_none(gateway_of_four, query: str) -> None:
    assert gateway_of_four.get(f"/key/list?{query}", **MASTER).status == 400


def test_a_key_sees_itself_and_not_one_of_the_same_name(gateway_of_four) -> None:
    body = {"key_alias": "file", "key": "sk-other", "rpm_limit": 7}
    assert gateway_of_four.post("/key/generate", body, **MASTER).status == 400
    # As `sagewire keys add` makes it, which knows no file.
    gateway_of_four.gateway.store.add_key(Key("file", digest_of("sk-other"), requests_per_minute=7))
    for key, limit in (("sk-of-file", None), ("sk-other", 7)):
        info = gateway_of_four.get("/key/info", authorization=f"Bearer {key}").json()["info"]
        assert info["rpm_limit"] == limit
    # Of a key that is in both places, what the file says counts.
    gateway_of_four.gateway.store.add_key(Key("both", digest_of("sk-of-file"), requests_per_minute=9))
    info = gateway_of_four.get("/key/info", authorization="Bearer sk-of-file").json()["info"]
    assert (info["key_alias"], info["rpm_limit"]) == ("file", None)


@each(
    ("method", "path", "status", "says"),
    [
        ("GET", "/spend/logs", 404, "/status/usage"),
        ("GET", "/global/spend/report", 404, "/status/usage"),
        ("POST", "/key/bulk_update", 404, "/key/regenerate"),
        ("POST", "/model/new", 404, "configuration file"),
        ("GET", "/health/services", 404, "/health/ready"),
        ("POST", "/v1/messages", 404, "/v1/chat/completions"),
        ("PUT", "/key/update", 405, "/key/update takes POST"),
        ("GET", "/health/liveness", 200, "alive"),
    ],
)
def test_what_other_proxies_have(gateway_of_four, method: str, path: str, status: int, says: str) -> None:
    found = urllib3.request(method, gateway_of_four.url + path, headers=MASTER, retries=False)
    assert found.status == status
    assert says in (found.json() if status == 200 else found.json()["error"])["status" if status == 200 else "message"]
