"""Keys over HTTP, with the master key, as LiteLLM's clients manage them."""

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
        {"soft_budget": 5},
        {"models": ["unknown"]},
        {"duration": "soon"},
        {"rpm_limit": 0},
        {"blocked": True},
    ):
        assert gateway.post("/key/generate", body, **MASTER).status == 400
    assert gateway.post("/key/generate", {"key_alias": "a"}, **MASTER).status == 200
    assert gateway.post("/key/generate", {"key_alias": "a"}, **MASTER).status == 400


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


def test_models_as_litellms_clients_read_them(start) -> None:
    found = start(LOCKED).get("/model/info", authorization="Bearer sk-team").json()["data"]
    assert [one["model_name"] for one in found] == ["chat", "tgi"]
