"""A value of the wrong type in a configuration file is one sentence with its line, whatever the field."""

import re
from datetime import UTC, datetime

import pytest

from sagewire.errors import UsageError
from sagewire.gateway.config import GatewayConfig, parse_config
from sagewire.gateway.config.deployment import DeploymentConfig, TimeLimits
from sagewire.gateway.config.models import ModelConfig
from sagewire.gateway.config.server import KeyConfig, ServerConfig, as_moment
from tests.cases import each

NESTED = "{a: [[1]]}"
# What stands above a field, the section, and its fields that take a mapping.
PLACES = [
    ("models: {m: {endpoint: e}}\n", GatewayConfig, {"models", "environment"}),
    ("models:\n  m:\n    endpoint: e\n    ", ModelConfig, {"deployments"}),
    ("models:\n  m:\n    url: http://a\n    format: chatml\n    ", DeploymentConfig, {"url", "format", "options"}),
    ("models:\n  m:\n    endpoint: e\n    timeouts:\n      ", TimeLimits, set()),
    ("models: {m: {endpoint: e}}\nserver:\n  ", ServerConfig, set()),
    ("models: {m: {endpoint: e}}\nkeys:\n- name: a\n  key: b\n  ", KeyConfig, {"name", "key", "metadata"}),
]  # fmt: skip


@each(
    ("above", "field"),
    [(above, field) for above, section, but in PLACES for field in section.model_fields if field not in but],
)
def test_a_mapping_in_place_of_a_value(above: str, field: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_config(f"{above}{field}: {NESTED}\n", "g.yaml")
    assert re.match(rf"g\.yaml, line {above.count(chr(10)) + 1}: ", str(raised.value)), raised.value
    assert "\n" not in str(raised.value)


@each(
    ("text", "says"),
    [
        ("server: {drain_seconds: .inf}", "line 2: server.drain_seconds: should be a finite number"),
        ("server: {drain_seconds: 1e40}", "line 2: server.drain_seconds: should be less than"),
        ("server: {metrics_port: true}", "line 2: server.metrics_port: should be a number"),
        ("server: {database_url: ''}", "line 2: server.database_url: is empty; give a value"),
        ("server: {redis_url: ' '}", "line 2: server.redis_url: is empty"),
        ("server: {metrics_host: ''}", "line 2: server.metrics_host: is empty"),
        ("server: {access_log: loud}", "line 2: server.access_log: should be true or false"),
        ("keys: [{name: a, key: b, requests_per_minute: yes}]", "line 2: .*requests_per_minute: should be a number"),
        ("keys: [{name: a, key: b, requests_per_minute: 1.5}]", "line 2: .*: should be a whole number"),
        ("keys: [{name: a, key: b, expires: 90}]", "line 2: keys.0.expires: should be a date or a moment"),
        ("keys: [{name: a, key: b, expires: '90'}]", "line 2: keys.0.expires: should be a date or a moment"),
        ("keys:\n- name: a\n  key: b\n  metadata: {a: {1: b}}", "line 5: keys.0.metadata: should be texts, numbers"),
        ("x-1: {}\n\nkeys:\n- {name: a,\n   key: b,\n   expires: soon}", "line 7: keys.0.expires: should be a date"),
    ],
)
def test_slips_that_would_be_taken_for_something(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_config("models: {m: {endpoint: e}}\n" + text, "g.yaml")


@each(
    ("setting", "says"),
    [
        ("handler: 5", "models.m.deployments.0.handler: should be a text or a mapping$"),
        ("ssl_verify: [a]", "models.m.deployments.0.ssl_verify: should be true, false or a text$"),
        ("format: true", "models.m.deployments.0.format: should be a text or a mapping$"),
        ("timeouts: {connect: true}", "models.m.deployments.0.timeouts.connect: should be a number$"),
        ("timeouts: {idle: yes}", "models.m.deployments.0.timeouts.idle: should be a number$"),
    ],
)
def test_fields_of_several_kinds(setting: str, says: str) -> None:
    with pytest.raises(UsageError, match=f"line 4: {says}"):
        parse_config(f"models:\n  m:\n    url: http://a\n    {setting}", "g.yaml")


@each(
    ("text", "moment"),
    [
        ("2027-01-31", "2027-01-31T23:59:59.999999+00:00"),
        ("20270131", "2027-01-31T23:59:59.999999+00:00"),
        ("2027-W04-7", "2027-01-31T23:59:59.999999+00:00"),
        ("2027-01-31T00:00:00Z", "2027-01-31T00:00:00+00:00"),
        ("2027-01-31T00:30:00+02:00", "2027-01-30T22:30:00+00:00"),
        ("2027-01-31 12:00", "2027-01-31T12:00:00+00:00"),
    ],
)
def test_a_date_means_one_thing(text: str, moment: str) -> None:
    found = as_moment(text)
    (key,) = parse_config(f"models: {{m: {{endpoint: e}}}}\nkeys: [{{name: a, key: b, expires: {text!r}}}]").keys
    assert isinstance(found, datetime)
    assert key.expires is not None
    assert key.expires.astimezone(UTC).isoformat() == moment
    assert (found if found.tzinfo else found.replace(tzinfo=UTC)) == key.expires
