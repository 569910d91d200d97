"""Where SageMaker Runtime is: sagewire's answer beside that of a real boto3 client, in every way it can be said."""

import subprocess
import sys

import boto3
import botocore.session
import pytest
from botocore.config import Config

from sagewire.aws.session import as_session, default_session, profile_session, static_session
from sagewire.aws.settings import resolve
from sagewire.errors import UsageError
from sagewire.types.secret import Secret

REGIONS = sorted(
    region
    for partition in botocore.session.Session().get_available_partitions()
    for region in botocore.session.Session().get_available_regions("sagemaker-runtime", partition)
)


@pytest.fixture
def keys(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")


def boto3_url(session=None, **arguments):
    """The URL an unmodified boto3 client sends a call to."""
    session = session or boto3.Session()
    client = session.client("sagemaker-runtime", aws_access_key_id="a", aws_secret_access_key="b", **arguments)
    sent = []

    def stop(request, **_):
        sent.append(request.url)
        raise KeyboardInterrupt

    client.meta.events.register("before-send.sagemaker-runtime.InvokeEndpoint", stop)
    with pytest.raises(KeyboardInterrupt):
        client.invoke_endpoint(EndpointName="e", Body=b"")
    client.close()
    return sent[0].removesuffix("/endpoints/e/invocations")


def test_every_region(keys):
    assert len(REGIONS) > 25
    session = boto3.Session()
    for region in REGIONS:
        assert resolve(default_session(), region_name=region).endpoint_url == boto3_url(session, region_name=region)


@pytest.mark.parametrize("region", ["us-east-1", "us-gov-west-1", "cn-north-1", "eu-west-1"])
@pytest.mark.parametrize("flags", [("FIPS",), ("DUALSTACK",), ("FIPS", "DUALSTACK")])
def test_fips_and_dual_stack(keys, monkeypatch, region, flags):
    for flag in flags:
        monkeypatch.setenv(f"AWS_USE_{flag}_ENDPOINT", "true")
    assert resolve(default_session(), region_name=region).endpoint_url == boto3_url(region_name=region)


ENVIRONMENTS = [
    {"AWS_ENDPOINT_URL": "http://one:1"},
    {"AWS_ENDPOINT_URL": "http://one:1", "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": "http://two:2"},
    {"AWS_ENDPOINT_URL": "http://one:1", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
    {"AWS_ENDPOINT_URL": "http://one:1/prefix"},
]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_endpoint_url_in_the_environment(keys, monkeypatch, environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert resolve(default_session(), region_name="us-east-1").endpoint_url == boto3_url(region_name="us-east-1")
    given = resolve(default_session(), region_name="us-east-1", endpoint_url="http://three:3/")
    assert given.endpoint_url == "http://three:3"


@pytest.mark.parametrize(
    "lines",
    [
        ["endpoint_url = http://global:1"],
        ["services = local"],
        ["endpoint_url = http://global:1", "services = local"],
        ["endpoint_url = http://global:1", "ignore_configured_endpoint_urls = true"],
        ["use_fips_endpoint = true"],
    ],
)
def test_the_configuration_file(keys, monkeypatch, tmp_path, lines):
    services = "[services local]\nsagemaker_runtime =\n  endpoint_url = http://mine:2\n"
    (tmp_path / "config").write_text("\n".join(["[default]", "region = eu-west-3", *lines, services]))
    assert resolve(default_session()).endpoint_url == boto3_url()
    assert resolve(default_session()).region == "eu-west-3"


def test_without_botocore_nothing_differs(keys):
    """The shortcut and the long way give the same settings."""
    short = resolve(default_session(), region_name="eu-west-1")
    long = resolve(default_session(), region_name="eu-west-1", config=Config())
    for name in ("region", "signing_name", "endpoint_url", "ca_bundle", "client_cert", "proxies", "pool_size"):
        assert getattr(short, name) == getattr(long, name)
    assert short.source.get() == long.source.get()


def test_a_cold_start_needs_no_botocore():
    code = (
        "import sys\n"
        "from sagewire.transports.sagemaker import SageMakerTransport\n"
        "SageMakerTransport('e', region_name='us-east-1')\n"
        "assert not [m for m in ('botocore', 'boto3', 'aiohttp') if m in sys.modules], sys.modules.keys()\n"
    )
    environment = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "HOME": "/nonexistent"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_order_of_regions(keys, monkeypatch, tmp_path):
    def region(session=None, **arguments):
        return resolve(session or default_session(), **arguments).region

    with pytest.raises(UsageError, match="region_name="):
        region()
    (tmp_path / "config").write_text("[default]\nregion = eu-west-3\n[profile p]\nregion = eu-north-1\n")
    assert region() == "eu-west-3"
    assert region(profile_session("p")) == "eu-north-1"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-2")
    assert region() == "us-east-2"
    monkeypatch.setenv("AWS_REGION", "us-west-1")
    assert region() == "us-west-1"
    assert region(as_session(boto3.Session(region_name="ca-central-1"))) == "ca-central-1"
    assert region(default_session(region_name="sa-east-1")) == "sa-east-1"
    assert region(default_session(region_name="sa-east-1"), region_name="me-south-1") == "me-south-1"


@pytest.mark.parametrize("region", ["us east 1", "us-east-1/../x", "\u00fcs-east-1"])
def test_a_region_that_is_none(keys, region):
    with pytest.raises(UsageError, match="not a region"):
        resolve(default_session(), region_name=region)


def test_an_endpoint_url_that_is_none(keys):
    with pytest.raises(UsageError, match="http"):
        resolve(default_session(), region_name="us-east-1", endpoint_url="localhost:8080")


def test_the_profile_in_the_environment(monkeypatch, tmp_path):
    (tmp_path / "config").write_text("[profile p]\nregion = eu-north-1\n")
    (tmp_path / "credentials").write_text("[p]\naws_access_key_id=AKIAP\naws_secret_access_key=s\n")
    monkeypatch.setenv("AWS_PROFILE", "p")
    settings = resolve(default_session())
    assert settings.region == "eu-north-1"
    assert settings.source.get().access_key == "AKIAP"


def test_certificates(keys, monkeypatch, tmp_path):
    def bundle(**arguments):
        return resolve(default_session(), region_name="us-east-1", **arguments).ca_bundle

    assert bundle() is True
    for name in ("CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE"):
        monkeypatch.setenv(name, f"/{name}.pem")
        assert bundle() == f"/{name}.pem"
        assert bundle(config=Config()) == f"/{name}.pem"
    monkeypatch.delenv("AWS_CA_BUNDLE")
    (tmp_path / "config").write_text("[default]\nca_bundle = /from-config.pem\n")
    assert bundle() == "/from-config.pem"


def test_a_botocore_config_is_honoured(keys):
    config = Config(
        connect_timeout=1.5,
        read_timeout=7,
        retries={"total_max_attempts": 9},
        proxies={"https": "proxy:3128"},
        proxies_config={"proxy_ca_bundle": "/ca.pem"},
        max_pool_connections=5,
        client_cert="/me.pem",
        tcp_keepalive=True,
        user_agent_extra="app/1",
    )
    settings = resolve(default_session(), region_name="us-east-1", config=config)
    assert (settings.connect_timeout, settings.read_timeout, settings.max_attempts) == (1.5, 7, 9)
    assert (settings.proxies, settings.proxies_config) == (
        {"https": Secret("proxy:3128")},
        {"proxy_ca_bundle": "/ca.pem"},
    )
    assert (settings.pool_size, settings.client_cert, settings.tcp_keepalive) == (5, "/me.pem", True)
    assert "app/1" in settings.user_agent
    assert "sagewire/" in settings.user_agent


def test_a_config_that_says_nothing_leaves_sagewires_defaults(keys):
    settings = resolve(default_session(), region_name="us-east-1", config=Config())
    assert settings.connect_timeout is settings.read_timeout is settings.max_attempts is settings.pool_size is None


def test_attempts_out_of_the_environment(keys, monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "7")
    assert resolve(default_session(), region_name="us-east-1").max_attempts == 7


def test_keys_given_by_hand_beat_the_environment(keys):
    settings = resolve(static_session("AKIAHAND", "s"), region_name="us-east-1")
    assert settings.source.get().access_key == "AKIAHAND"


def test_keys_in_the_environment_are_read_again_when_expired(monkeypatch, keys):
    monkeypatch.setenv("AWS_SESSION_TOKEN", "t")
    source = resolve(default_session(), region_name="us-east-1").source
    used = source.get()
    assert (used.access_key, used.token) == ("AKIAENV", "t")
    assert not source.invalidate(used)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIANEW")
    assert source.invalidate(used)
    assert source.get().access_key == "AKIANEW"


def profile(monkeypatch, tmp_path, *lines):
    (tmp_path / "config").write_text("\n".join(["[profile p]", "region = us-east-1", *lines]))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return profile_session("p")


@pytest.mark.parametrize(
    ("lines", "environment", "config", "attempts"),
    [
        ((), {}, None, None),
        (("max_attempts = 7",), {}, None, 7),
        (("retry_mode = standard", "max_attempts = 7"), {}, None, 7),
        (("retry_mode = standard",), {}, None, 3),
        (("retry_mode = legacy",), {}, None, 5),
        (("max_attempts = 7",), {"AWS_MAX_ATTEMPTS": "2"}, None, 2),
        ((), {"AWS_RETRY_MODE": "adaptive"}, None, 3),
        (("max_attempts = 7",), {}, Config(retries={"total_max_attempts": 4}), 4),
        (("max_attempts = 7",), {}, Config(retries={"max_attempts": 4}), 5),
        ((), {}, Config(retries={"mode": "standard"}), 3),
    ],
)
def test_attempts_are_those_of_boto3(keys, monkeypatch, tmp_path, lines, environment, config, attempts):
    session = profile(monkeypatch, tmp_path, *lines)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert resolve(session, config=config).max_attempts == attempts


@pytest.mark.parametrize(
    ("lines", "config", "kept"),
    [
        ((), None, False),
        (("tcp_keepalive = true",), None, True),
        (("tcp_keepalive = true",), Config(tcp_keepalive=False), False),
        ((), Config(tcp_keepalive=True), True),
    ],
)
def test_keepalive_of_a_profile_and_of_a_config(keys, monkeypatch, tmp_path, lines, config, kept):
    assert resolve(profile(monkeypatch, tmp_path, *lines), config=config).tcp_keepalive is kept


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://x", "http:// or https://"),
        ("http://127.0.0.1:99999", "Port"),
        ("http://[::1", "Invalid IPv6"),
        ("http://a..example", "empty"),
        ("https://user:secret@host", "user name"),
        ("https://host/path?x=1", "query"),
    ],
)
def test_an_endpoint_url_that_cannot_be_one(keys, url, words):
    with pytest.raises(UsageError, match=words) as caught:
        resolve(default_session(), region_name="us-east-1", endpoint_url=url)
    assert "secret" not in str(caught.value)
