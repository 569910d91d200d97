"""LiteLLM's flat options as sessions."""

import http.server
import json
import threading

import botocore.client
import pytest

from sagewire.aws import credential_providers as recipes
from sagewire.aws.identity_tokens import github_token, token_reader
from sagewire.aws.options import options_session
from sagewire.errors import AccessDenied, UsageError

ROLE = "arn:aws:iam::222222222222:role/endpoints"


def test_keys():
    session = options_session(aws_access_key_id="AKIA", aws_secret_access_key="s", aws_session_token="t")
    assert session.source.get().token == "t"


def test_profile_and_region():
    session = options_session(aws_profile_name="dev", aws_region_name="eu-west-1", aws_role_name=None)
    assert session.recipe == recipes.Profile("dev", region_name="eu-west-1")


def test_nothing_is_the_default_chain():
    assert options_session().recipe == recipes.DefaultChain()


def test_a_role_on_top_of_keys(sts):
    session = options_session(
        aws_access_key_id="AKIA",
        aws_secret_access_key="s",
        aws_role_name=ROLE,
        aws_session_name="tester",
        aws_external_id="x-1",
        aws_region_name="eu-west-1",
        aws_sts_endpoint=sts,
    )
    assert session.region_name == "eu-west-1"
    assert session.recipe.external_id == "x-1"
    assert session.client("sts").get_caller_identity()["Arn"].endswith("assumed-role/endpoints/tester")


@pytest.mark.parametrize("tags", [{"team": "search"}, [{"Key": "team", "Value": "search"}]], ids=["mapping", "list"])
def test_session_tags(tags):
    given = {"aws_access_key_id": "AKIA", "aws_secret_access_key": "s", "aws_role_name": ROLE, "aws_session_tags": tags}
    assert options_session(**given).recipe.tags == (("team", "search"),)


def test_session_tags_arrive_at_sts(monkeypatch, sts):
    asked = []
    make = botocore.client.BaseClient._make_api_call

    def spy(client, operation, parameters):
        asked.append((operation, parameters))
        return make(client, operation, parameters)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", spy)
    session = options_session(
        aws_role_name=ROLE, aws_session_tags=[{"Key": "team", "Value": "search"}], aws_region_name="us-east-1"
    )
    assert session.source.get().token
    assert [given["Tags"] for name, given in asked if name == "AssumeRole"] == [[{"Key": "team", "Value": "search"}]]


@pytest.mark.parametrize(
    "tags", ["team=search", ["team"], [{"Key": "team"}], {"team": 1}, [{"Key": "a", "Value": "b", "More": "c"}]]
)
def test_session_tags_of_another_shape(tags):
    with pytest.raises(UsageError, match="aws_session_tags must be"):
        options_session(aws_role_name=ROLE, aws_session_tags=tags)


def test_session_tags_that_repeat_a_key():
    with pytest.raises(UsageError, match="twice"):
        options_session(aws_role_name=ROLE, aws_session_tags=[{"Key": "a", "Value": "b"}, {"Key": "a", "Value": "c"}])


@pytest.mark.parametrize("how", ["value", "file", "oidc/file", "oidc/env", "oidc/env_path"])
def test_a_web_identity_token(sts, monkeypatch, tmp_path, how):
    file = tmp_path / "token"
    file.write_text("the-token\n")
    monkeypatch.setenv("TOKEN", "the-token")
    monkeypatch.setenv("TOKEN_FILE", str(file))
    value = {
        "value": "the-token",
        "file": str(file),
        "oidc/file": f"oidc/file/{file}",
        "oidc/env": "oidc/env/TOKEN",
        "oidc/env_path": "oidc/env_path/TOKEN_FILE",
    }[how]
    read = token_reader(value)
    assert (read if isinstance(read, str) else read()) == "the-token"
    session = options_session(aws_web_identity_token=value, aws_role_name=ROLE, aws_session_name="tester")
    assert session.client("sts").get_caller_identity()["Arn"].endswith("assumed-role/endpoints/tester")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"aws_region": "x"}, "did you mean 'aws_region_name'"),
        ({"aws_access_key_id": "AKIA"}, "both"),
        ({"aws_session_token": "t"}, "both"),
        ({"aws_profile_name": "p", "aws_access_key_id": "AKIA", "aws_secret_access_key": "s"}, "contradict"),
        ({"aws_web_identity_token": "t"}, "needs aws_role_name"),
        ({"aws_external_id": "x"}, "need aws_role_name"),
        ({"aws_session_tags": {"a": "b"}}, "need aws_role_name"),
        ({"aws_web_identity_token": "t", "aws_role_name": ROLE, "aws_session_tags": {"a": "b"}}, "not part of"),
        ({"aws_web_identity_token": "oidc/azure/x", "aws_role_name": ROLE}, "oidc/github"),
        ({"aws_web_identity_token": "t", "aws_role_name": ROLE, "aws_external_id": "x"}, "not part of"),
    ],
)
def test_contradictions(options, said):
    with pytest.raises(UsageError, match=said):
        options_session(**options)


def test_a_variable_that_is_not_set():
    with pytest.raises(AccessDenied, match="NO_SUCH_TOKEN"):
        token_reader("oidc/env/NO_SUCH_TOKEN")()


@pytest.mark.parametrize("status", [200, 403])
def test_github_actions(monkeypatch, status):
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers["Authorization"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps({"value": "the-token"}).encode())

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"http://127.0.0.1:{server.server_port}/token?v=1")
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "bearer-secret")
        if status == 200:
            assert token_reader("oidc/github/sts.amazonaws.com")() == "the-token"
        else:
            with pytest.raises(AccessDenied, match="403") as caught:
                github_token()
            assert "bearer-secret" not in str(caught.value)
        server.shutdown()
        thread.join()
    path, bearer = asked[0]
    assert path == "/token?v=1&audience=sts.amazonaws.com"
    assert bearer == "Bearer bearer-secret"


def test_no_github_actions(monkeypatch):
    monkeypatch.delenv("ACTIONS_ID_TOKEN_REQUEST_URL", raising=False)
    with pytest.raises(UsageError, match="id-token"):
        github_token()
