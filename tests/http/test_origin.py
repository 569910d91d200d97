"""Addresses: proxies that are passed by, paths, and URLs that are none."""

import pytest

from sagewire.errors import UsageError
from sagewire.http.origin import Origin, encoded_path, host_header, proxy_for

PASSED_BY = [
    ("http://10.1.2.3:8000", "10.0.0.0/8"),
    ("http://[fd00::5]:8000", "fd00::/8"),
    ("http://[fd00::5]", "fd00::5"),
    ("http://[fd00::5]:81", "[fd00::5]:81"),
    ("http://llm.internal", "*.internal"),
    ("http://llm.internal", ".internal"),
    ("http://internal", "internal"),
    ("http://llm.internal.", "internal"),
    ("http://LLM.Internal", "llm.internal"),
    ("http://llm.internal:8000", "llm.internal:8000"),
    ("http://llm.internal", "other, llm.internal:80"),
    ("http://anything", "*"),
]
PROXIED = [
    ("http://11.1.2.3", "10.0.0.0/8"),
    ("http://[fe00::5]", "fd00::/8"),
    ("http://notinternal", "internal"),
    ("http://internal.example", "*.internal"),
    ("http://llm.internal:8000", "llm.internal:81"),
    ("http://llm.internal", ""),
    ("http://10.1.2.3", "10.1.2.0/33, , /"),
]


@pytest.fixture
def no_proxy(monkeypatch):
    def put(value):
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, "http://proxy:3128")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(name, value)

    return put


@pytest.mark.parametrize(("url", "listed"), PASSED_BY)
def test_hosts_that_need_no_proxy(no_proxy, url, listed):
    no_proxy(listed)
    assert proxy_for(url) is None


@pytest.mark.parametrize(("url", "listed"), PROXIED)
def test_hosts_that_need_one(no_proxy, url, listed):
    no_proxy(listed)
    assert proxy_for(url) == "http://proxy:3128"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:99999",
        "http://127.0.0.1:abc",
        "http://[::1",
        "http://" + "a" * 70 + ".example",
        "http://a..example",
        "http://",
        "host:8000",
        "ftp://host",
        "http://ho st",
    ],
)
def test_an_url_that_is_none(url):
    with pytest.raises(UsageError, match="is not a URL") as caught:
        Origin(url)
    assert url in str(caught.value)


@pytest.mark.parametrize(
    ("path", "encoded"),
    [
        ("/my model", "/my%20model"),
        ("/modèle", "/mod%C3%A8le"),
        ("/模型?x=é", "/%E6%A8%A1%E5%9E%8B?x=%C3%A9"),
        ("/mod%C3%A8le/a:b@c", "/mod%C3%A8le/a:b@c"),
        ("/a\r\nb", "/a%0D%0Ab"),
    ],
)
def test_paths_are_encoded_once(path, encoded):
    assert encoded_path(path) == encoded


def test_a_name_that_is_not_ascii():
    assert host_header("http://bücher.example:81") == "xn--bcher-kva.example:81"
