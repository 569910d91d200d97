"""Session factories against moto's STS over HTTP."""

import asyncio
import copy
import logging
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

import boto3
import botocore.session
import pytest
from botocore.credentials import RefreshableCredentials

from sagewire.aws import credential_providers as recipes
from sagewire.aws import refreshing
from sagewire.aws.credential_cache import BotocoreSource
from sagewire.aws.refreshing import RefreshingCredentials
from sagewire.aws.session import (
    as_session,
    assume_role_session,
    default_session,
    profile_session,
    static_session,
    web_identity_session,
)
from sagewire.emulator import Emulator, EndpointSpec, Role
from sagewire.errors import AccessDenied, CredentialsExpired, SagewireError, UsageError

ROLE = "arn:aws:iam::222222222222:role/endpoints"
OTHER = "arn:aws:iam::333333333333:role/deeper"


class Clock:
    """time.time, moved by hand."""

    def __init__(self):
        self.ahead = 0.0

    def __call__(self):
        return time.monotonic() + self.start + self.ahead

    start = time.time() - time.monotonic()


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(refreshing.time, "time", clock)
    return clock


@pytest.fixture
def asked(monkeypatch):
    """Every request made to STS for a role, in order; moto's keys all look alike, so each gets a number."""
    seen = []
    real = recipes.AssumeRole._ask

    def ask(self, request):
        answer = real(self, request)
        seen.append(request)
        expires = answer["Credentials"]["Expiration"].timestamp() + (clock_ahead() - 0.0)
        return {"Credentials": {**answer["Credentials"], "AccessKeyId": f"ASIA{len(seen)}", "Expiration": expires}}

    def clock_ahead():
        return getattr(refreshing.time.time, "ahead", 0.0)

    monkeypatch.setattr(recipes.AssumeRole, "_ask", ask)
    return seen


def who(session, url):
    return session.client("sts", endpoint_url=url).get_caller_identity()["Arn"]


def test_a_role_of_another_account(sts):
    session = assume_role_session(ROLE, region_name="eu-west-1", session_name="tester", external_id="x-1")
    assert session.region_name == "eu-west-1"
    assert who(session, sts) == "arn:aws:sts::222222222222:assumed-role/endpoints/tester"
    credentials = session.source.get()
    assert credentials.access_key.startswith("ASIA")
    assert credentials.token


def test_everything_asked_of_sts_arrives(sts, asked):
    assume_role_session(
        ROLE,
        external_id="x-1",
        session_name="tester",
        duration=900,
        policy={"Version": "2012-10-17", "Statement": []},
        tags={"team": "ml"},
        mfa_serial="arn:aws:iam::1:mfa/me",
        mfa=lambda: "123456",
    ).source.get()
    assert asked == [
        {
            "RoleArn": ROLE,
            "RoleSessionName": "tester",
            "DurationSeconds": 900,
            "Policy": '{"Version": "2012-10-17", "Statement": []}',
            "ExternalId": "x-1",
            "Tags": [{"Key": "team", "Value": "ml"}],
            "SerialNumber": "arn:aws:iam::1:mfa/me",
            "TokenCode": "123456",
        }
    ]


def test_the_session_serves_boto3(sts):
    session = assume_role_session(ROLE, region_name="eu-west-1", session_name="tester")
    boto = boto3.Session(botocore_session=session)
    assert boto.region_name == "eu-west-1"
    arn = boto.client("sts").get_caller_identity()["Arn"]
    assert arn == "arn:aws:sts::222222222222:assumed-role/endpoints/tester"


def test_roles_can_be_chained(sts):
    first = assume_role_session(ROLE, session_name="first")
    second = assume_role_session(OTHER, session_name="second", source=first)
    assert who(second, sts) == "arn:aws:sts::333333333333:assumed-role/deeper/second"


def test_a_chain_asks_for_each_link_once(sts, asked):
    first = assume_role_session(ROLE, session_name="first")
    assume_role_session(OTHER, session_name="second", source=first).source.get()
    assert [request["RoleArn"] for request in asked] == [ROLE, OTHER]
    assume_role_session(OTHER, session_name="third", source=first).source.get()
    assert [request["RoleArn"] for request in asked] == [ROLE, OTHER, OTHER], "what the first fetched is used again"


@pytest.mark.parametrize("source", ["boto3", "botocore", "profile", "sagewire"])
def test_any_session_can_be_the_source(sts, monkeypatch, tmp_path, source):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    (tmp_path / "credentials").write_text("[dev]\naws_access_key_id=AKIADEV\naws_secret_access_key=s\n")
    sources = {
        "boto3": lambda: boto3.Session(aws_access_key_id="AKIA1", aws_secret_access_key="s"),
        "botocore": lambda: botocore.session.Session(profile="dev"),
        "profile": lambda: "dev",
        "sagewire": lambda: static_session("AKIA2", "s"),
    }
    session = assume_role_session(ROLE, session_name="tester", source=sources[source]())
    assert who(session, sts).endswith("endpoints/tester")


def test_web_identity_from_a_file_that_is_read_again(sts, tmp_path, clock):
    token = tmp_path / "token"
    token.write_text("first\n")
    session = web_identity_session(ROLE, token_file=str(token), session_name="pod")
    assert who(session, sts).endswith("assumed-role/endpoints/pod")
    token.unlink()
    clock.ahead += 3600
    with pytest.raises(AccessDenied, match="cannot be read"):
        session.source.get()


def test_web_identity_from_a_value_or_a_callable(sts):
    calls = []

    def current():
        calls.append(1)
        return "token"

    assert web_identity_session(ROLE, token="token").source.get().token
    assert web_identity_session(ROLE, token=current).source.get().token
    assert calls == [1]


def test_profile_with_role_and_source_profile(sts, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    (tmp_path / "credentials").write_text("[base]\naws_access_key_id=AKIABASE\naws_secret_access_key=s\n")
    (tmp_path / "config").write_text(
        f"[profile team]\nrole_arn={ROLE}\nsource_profile=base\nregion=eu-north-1\nrole_session_name=me\n"
    )
    session = profile_session("team")
    assert session.region_name == "eu-north-1"
    assert who(session, sts) == "arn:aws:sts::222222222222:assumed-role/endpoints/me"
    assert session.source.get().access_key.startswith("ASIA")


def test_a_profile_that_does_not_exist():
    with pytest.raises(UsageError, match="nope"):
        profile_session("nope").source.get()


def test_no_credentials_anywhere():
    with pytest.raises(AccessDenied, match="aws configure") as caught:
        default_session().source.get()
    assert caught.value.code == "NoCredentials"


def test_sts_that_says_no_is_access_denied(monkeypatch, sts):
    from botocore.exceptions import ClientError

    def refuse(self, request):
        response = {
            "Error": {"Code": "AccessDenied", "Message": "not authorized to perform sts:AssumeRole"},
            "ResponseMetadata": {"HTTPStatusCode": 403, "RequestId": "r-1"},
        }
        raise ClientError(response, "AssumeRole")

    monkeypatch.setattr(recipes.AssumeRole, "_ask", refuse)
    with pytest.raises(AccessDenied, match=rf"{ROLE}.*not authorized") as caught:
        assume_role_session(ROLE).source.get()
    assert caught.value.request_id == "r-1"
    assert not caught.value.retry_safe


def test_expired_source_credentials_are_their_own_error(monkeypatch, sts):
    from botocore.exceptions import ClientError

    def refuse(self, request):
        raise ClientError({"Error": {"Code": "ExpiredToken", "Message": "expired"}}, "AssumeRole")

    monkeypatch.setattr(recipes.AssumeRole, "_ask", refuse)
    with pytest.raises(CredentialsExpired):
        assume_role_session(ROLE).source.get()


def test_sts_out_of_reach(monkeypatch, sts):
    session = assume_role_session(ROLE, region_name="us-east-1", sts_endpoint="http://127.0.0.1:1")
    with pytest.raises(SagewireError, match="assuming the role") as caught:
        session.source.get()
    assert caught.value.retry_safe


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"role_arn": "endpoints"}, "role's ARN"),
        ({"role_arn": ROLE, "duration": 60}, "900"),
        ({"role_arn": ROLE, "session_name": "x"}, "2 to 64"),
        ({"role_arn": ROLE, "mfa": lambda: "1"}, "mfa_serial"),
        ({"role_arn": ROLE, "source": 7}, "not a session"),
    ],
)
def test_impossible_arguments(arguments, said):
    with pytest.raises(UsageError, match=said):
        assume_role_session(**arguments).source.get()


def renewed(source):
    """Return the key's id once a refresh that goes on beside the calls is over."""
    source.get()
    refresh = source._refresh
    if refresh is not None:
        refresh.result(10)
    return source.get().access_key


def test_refreshed_ahead_of_expiry_and_not_before(sts, asked, clock):
    session = assume_role_session(ROLE, duration=900)
    keys = []
    for _ in range(12):
        keys.append(session.source.get().access_key)
        clock.ahead += 60
    # 900 s of life; the last quarter is for refreshing: at 0 s, then from 675 s on.
    assert keys == ["ASIA1"] * 12
    clock.ahead += 30
    # Nobody waits for it: the old ones are still valid.
    assert session.source.get().access_key == "ASIA1"
    assert renewed(session.source) == "ASIA2"
    assert len(asked) == 2


def test_a_failed_early_refresh_is_not_the_callers_problem(sts, asked, clock, monkeypatch, caplog):
    session = assume_role_session(ROLE, duration=900)
    session.source.get()
    good = recipes.AssumeRole._ask
    failures = []

    def fail(self, request):
        failures.append(1)
        raise ConnectionError("sts is away, and key hunter2 too")

    monkeypatch.setattr(recipes.AssumeRole, "_ask", fail)
    clock.ahead += 700
    with caplog.at_level(logging.INFO, "sagewire"):
        assert [renewed(session.source) for _ in range(5)] == ["ASIA1"] * 5
    assert len(failures) == 1, "it is not tried again at every call"
    assert "hunter2" not in caplog.text
    clock.ahead += 190
    with pytest.raises(ConnectionError):
        session.source.get()
    monkeypatch.setattr(recipes.AssumeRole, "_ask", good)
    assert session.source.get().access_key == "ASIA2"


class Botocores:
    """Credentials as botocore refreshes them, with a service that takes as long as the test wants."""

    def __init__(self, seconds, refresh):
        self.calls, self.going = 0, threading.Event()

        def fetch():
            self.calls += 1
            self.going.wait(10)
            return refresh()

        until = datetime.now(UTC) + timedelta(seconds=seconds)
        self.found = RefreshableCredentials("OLD", "s", "t", until, fetch, "test")
        self.source = BotocoreSource(lambda: self.found, lambda: self.found)


def keys_for(seconds):
    until = datetime.now(UTC) + timedelta(seconds=seconds)
    return {"access_key": "NEW", "secret_key": "s", "token": "t", "expiry_time": until.isoformat()}


def test_nobody_waits_for_new_keys_while_the_old_ones_are_valid():
    credentials = Botocores(3600, partial(keys_for, 3600))
    source = credentials.source
    assert source.get().access_key == "OLD"
    credentials.found._expiry_time = datetime.now(UTC) + timedelta(seconds=800)
    assert [source.get().access_key for _ in range(5)] == ["OLD"] * 5
    assert asyncio.run(source.get_async()).access_key == "OLD"
    credentials.going.set()
    assert renewed(source) == "NEW"
    assert credentials.calls == 1


def test_a_refresh_ahead_of_time_that_fails_is_not_made_again_at_once():
    def away():
        raise ConnectionError("away")

    credentials = Botocores(3600, away)
    credentials.source.get()
    credentials.found._expiry_time = datetime.now(UTC) + timedelta(seconds=800)
    credentials.going.set()
    assert [renewed(credentials.source) for _ in range(5)] == ["OLD"] * 5
    assert credentials.calls == 1
    # In the last minutes they are not used without one.
    credentials.found._expiry_time = datetime.now(UTC) + timedelta(seconds=300)
    with pytest.raises(ConnectionError):
        credentials.source.get()


def test_a_clock_by_which_new_keys_have_expired(caplog):
    credentials = Botocores(-5, partial(keys_for, -3600))
    credentials.going.set()
    with pytest.raises(CredentialsExpired, match="machine's clock"):
        credentials.source.get()
    # STS is not asked for every call, for the service that is called may know better.
    fetched = []

    def fetch():
        fetched.append(1)
        return "A", "s", "t", time.time() - 3600

    made = RefreshingCredentials(fetch, "test")
    assert [made.get_frozen_credentials().access_key for _ in range(5)] == ["A"] * 5
    assert len(fetched) == 1
    assert "clock" in caplog.text


def test_200_threads_refresh_once(sts, asked, clock):
    session = assume_role_session(ROLE, duration=900)
    barrier = threading.Barrier(200)

    def use():
        barrier.wait()
        return session.source.get().access_key

    for expected in (["ASIA1"], ["ASIA2"]):
        with ThreadPoolExecutor(200) as pool:
            assert sorted({future.result() for future in [pool.submit(use) for _ in range(200)]}) == expected
        clock.ahead += 895
    assert len(asked) == 2


def test_200_tasks_refresh_once_and_never_block_the_loop(sts, asked, clock, monkeypatch):
    real = recipes.AssumeRole._ask
    in_thread = []

    def ask(self, request):
        in_thread.append(threading.current_thread() is not threading.main_thread())
        return real(self, request)

    monkeypatch.setattr(recipes.AssumeRole, "_ask", ask)
    session = assume_role_session(ROLE, duration=900)

    async def use_all():
        return {credentials.access_key for credentials in await asyncio.gather(*[one() for _ in range(200)])}

    async def one():
        return await session.source.get_async()

    assert asyncio.run(use_all()) == {"ASIA1"}
    clock.ahead += 895
    assert asyncio.run(use_all()) == {"ASIA2"}
    assert in_thread == [True, True]


def test_a_cancelled_task_does_not_take_the_refresh_from_the_others(sts, asked):
    session = assume_role_session(ROLE)

    async def main():
        tasks = [asyncio.create_task(session.source.get_async()) for _ in range(5)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        return {result.access_key for result in results[1:]}

    assert asyncio.run(main()) == {"ASIA1"}


def test_credentials_called_expired_are_replaced_once(sts, asked):
    session = assume_role_session(ROLE)
    used = session.source.get()
    with ThreadPoolExecutor(20) as pool:

        def expired(_):
            assert session.source.invalidate(used)
            return session.source.get().access_key

        assert set(pool.map(expired, range(20))) == {"ASIA2"}
    assert len(asked) == 2


def test_botocores_own_refreshing_credentials_can_be_called_expired(sts):
    from datetime import UTC, datetime, timedelta

    from botocore.credentials import RefreshableCredentials

    made = []

    def metadata():
        made.append(1)
        expires = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        return {"access_key": f"AK{len(made)}", "secret_key": "s", "token": "t", "expiry_time": expires}

    inner = botocore.session.Session()
    inner._credentials = RefreshableCredentials.create_from_metadata(metadata(), metadata, "test")
    session = as_session(boto3.Session(botocore_session=inner, region_name="us-east-1"))
    used = session.source.get()
    assert used.access_key == "AK1"
    assert session.source.invalidate(used)
    assert session.source.get().access_key == "AK2"


def test_keys_in_a_file_that_another_program_renews(tmp_path):
    file = tmp_path / "credentials"
    file.write_text("[default]\naws_access_key_id=OLD\naws_secret_access_key=s\naws_session_token=t\n")
    session = default_session(region_name="us-east-1")
    used = session.source.get()
    assert used.access_key == "OLD"
    assert not session.source.invalidate(used), "the file still says the same"
    file.write_text("[default]\naws_access_key_id=NEW\naws_secret_access_key=s\naws_session_token=t\n")
    assert session.source.invalidate(used)
    assert session.source.get().access_key == "NEW"


def test_recipes_travel_between_processes():
    base = profile_session("dev", region_name="eu-west-1")
    role = assume_role_session(ROLE, source=base, external_id="x", tags={"a": "b"})
    again = pickle.loads(pickle.dumps(role))
    assert repr(again) == repr(role)
    assert again.recipe.external_id == "x"
    assert again.recipe.source.session.recipe == base.recipe
    for session in (default_session(), web_identity_session(ROLE, token_file="/var/run/token")):
        assert pickle.loads(pickle.dumps(session)).recipe == session.recipe


@pytest.mark.parametrize(
    "session",
    [
        static_session("AKIA", "the-secret", "the-token"),
        web_identity_session(ROLE, token="the-secret"),
        as_session(boto3.Session(aws_access_key_id="AKIA", aws_secret_access_key="the-secret")),
        assume_role_session(ROLE, source=static_session("AKIA", "the-secret", "the-token")),
    ],
    ids=["static", "token", "boto3", "role over static"],
)
def test_secrets_are_not_pickled_and_not_shown(session):
    assert "the-secret" not in repr(session)
    assert "the-token" not in repr(session)
    with pytest.raises(UsageError, match=r"profile|file"):
        pickle.dumps(session)


def test_a_copy_shares_what_was_fetched():
    for session in (profile_session("dev"), static_session("AKIA", "s")):
        assert copy.deepcopy({"session": session})["session"] is session


def test_as_session_takes_what_people_have():
    session = static_session("AKIA", "s", region_name="us-west-2")
    assert as_session(session) is session
    assert as_session("dev").recipe == recipes.Profile("dev")
    assert as_session(None).recipe == recipes.DefaultChain()
    boto = boto3.Session(aws_access_key_id="AKIA", aws_secret_access_key="s", region_name="us-west-2")
    assert as_session(boto).source.get().access_key == "AKIA"
    assert as_session(boto).region_name == "us-west-2"
    with pytest.raises(UsageError, match="not a session"):
        as_session(object()).source.get()


def test_threads_share_a_refresh_that_fails():
    """Else the last of many would wait as many time limits as there are threads."""
    asked, failures, waiting = [], [], threading.Semaphore(0)

    def fetch():
        asked.append(1)
        for _ in range(16):
            waiting.acquire(timeout=5)
        # They are one step away from the lock.
        time.sleep(0.1)
        raise OSError("STS is away")

    credentials = RefreshingCredentials(fetch, "assume-role")

    def wait():
        waiting.release()
        with pytest.raises(OSError, match="STS is away") as caught:
            credentials.get_frozen_credentials()
        failures.append(caught.value)

    threads = [threading.Thread(target=wait) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert len(failures) == 16
    assert len(asked) == 1


def test_a_role_that_is_ours_already_is_not_taken_on_again(monkeypatch):
    """AWS no longer lets a role assume itself unless its trust policy names it."""
    role = "arn:aws:iam::222233334444:role/team/reader"
    with Emulator({"theirs": EndpointSpec("openai_chat", account="222233334444")}, roles=[Role(role)]) as emulator:
        monkeypatch.setenv("AWS_ENDPOINT_URL", emulator.url)
        caller = assume_role_session(role, region_name="us-east-1", source=own_keys(emulator))
        again = assume_role_session(role, region_name="us-east-1", source=caller)
        assert again.source.get() == caller.source.get()
        narrowed = assume_role_session(role, region_name="us-east-1", source=caller, policy={"Statement": []})
        with pytest.raises(UsageError, match="drop the role"):
            narrowed.source.get()


def own_keys(emulator):
    keys = emulator.credentials
    return static_session(keys.access_key, keys.secret_key, region_name="us-east-1")
