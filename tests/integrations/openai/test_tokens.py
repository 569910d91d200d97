"""Bearer tokens: made here, kept while they live, renewed before they die and when the credentials change."""

import asyncio
import base64
import threading

import pytest

from sagewire.aws.credential_cache import StaticSource
from sagewire.aws.credentials import Credentials
from sagewire.errors import UsageError
from sagewire.integrations.openai._tokens import BearerTokens

KEYS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
# 2026-01-02T03:04:05Z
START = 1767323045.0


class Clock:
    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now


class Changing(StaticSource):
    def change(self, credentials):
        self._credentials = credentials


def text_of(token):
    return base64.b64decode(token.removeprefix("sagemaker-api-key-")).decode()


def test_the_published_vector():
    tokens = BearerTokens(StaticSource(KEYS), "us-west-2", 900, Clock())
    assert tokens().startswith("sagemaker-api-key-")
    assert text_of(tokens()) == (
        "sagemaker.amazonaws.com/?Action=CallWithBearerToken&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential="
        "AKIDEXAMPLE%2F20260102%2Fus-west-2%2Fsagemaker%2Faws4_request&X-Amz-Date=20260102T030405Z&X-Amz-Expires=900"
        "&X-Amz-SignedHeaders=host&X-Amz-Signature=bad55e3c3017bc814c5fbc018972cef87e9567d1f1ae273a1eace060110bafc0"
        "&Version=1"
    )


def test_kept_while_it_lives_and_renewed_before_it_dies():
    clock = Clock()
    tokens = BearerTokens(StaticSource(KEYS), "us-west-2", 1000, clock)
    first = tokens()
    clock.now += 799
    assert tokens() == first
    clock.now += 2
    second = tokens()
    assert second != first
    assert "X-Amz-Date=20260102T031726Z" in text_of(second)


async def test_other_credentials_another_token():
    source = Changing(KEYS)
    tokens = BearerTokens(source, "us-west-2", 1000, Clock())
    first = await tokens.get_async()
    assert first == tokens()
    source.change(Credentials("ASIA", "x", "session"))
    assert "ASIA" in text_of(await tokens.get_async())
    assert "X-Amz-Security-Token=session" in text_of(tokens())


def test_threads_get_tokens_that_fit():
    tokens = BearerTokens(StaticSource(KEYS), "us-west-2", 1000, Clock())
    seen = []
    threads = [threading.Thread(target=lambda: seen.append(tokens())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(seen)) == 1
    assert asyncio.run(tokens.get_async()) == seen[0]


@pytest.mark.parametrize("lifetime", [0, -1, 43_201])
def test_lifetimes(lifetime):
    with pytest.raises(UsageError, match="token_lifetime"):
        BearerTokens(StaticSource(KEYS), "us-west-2", lifetime)


def test_nothing_secret_is_shown():
    tokens = BearerTokens(StaticSource(KEYS), "us-west-2", 1000, Clock())
    tokens()
    assert repr(tokens) == "BearerTokens('us-west-2')"
