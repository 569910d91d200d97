from collections.abc import Iterator

import pytest

from sagewire.emulator import Emulator, Role
from sagewire.integrations import _fallback_profile as _fallback_profile
from sagewire.integrations import litellm

NOBODY = Role("arn:aws:iam::111122223333:role/may-not-describe", may_describe=False)


@pytest.fixture(autouse=True)
def fresh_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Programs assign to the module and register templates; here that ends with the test."""
    monkeypatch.setattr(litellm, "drop_params", False)
    monkeypatch.setattr(litellm, "num_retries", None)
    monkeypatch.setattr(_fallback_profile, "_said", set())
    monkeypatch.delenv("AWS_REGION_NAME", raising=False)
    yield
    litellm.custom_prompt_dict.clear()


@pytest.fixture
def restricted(clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """An emulator whose caller may invoke endpoints and describe none."""
    endpoints = {"tgi": "tgi:echo", "tei": "tei", "vllm": "openai_chat:echo", "script": "jumpstart_embedding"}
    with Emulator(endpoints, roles=[NOBODY]) as emulator:
        keys = emulator.issue_credentials(NOBODY.arn)
        variables = emulator.environ() | {
            "AWS_ACCESS_KEY_ID": keys.access_key,
            "AWS_SECRET_ACCESS_KEY": keys.secret_key,
            "AWS_SESSION_TOKEN": keys.session_token or "",
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield emulator
