"""Addresses: proxies that are passed by, paths, and URLs that are none."""

import pytest

from sagewire.errors import UsageError
from sagewire.http.origin import Origin, encoded_path, host_header, proxy_for

from ..cases import each

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
    ("http://[fd00::5]:81", "[fd00:0:0::5]:81"),
    ("http://[fd00:0:0:0:0:0:0:5]:81", "fd00::5"),
    ("http://[fe80::1%25eth0]", "fe80::/10"),
    ("http://10.1", "10.0.0.0/8"),
    ("http://llm.internal", "other llm.internal"),
    ("http://llm.internal", "other\tllm.internal ,x"),
    ("http://llm.internal", "LLM.INTERNAL"),
    ("http://bücher.example", "xn--bcher-kva.example"),
    ("http://xn--bcher-kva.example", "Bücher.example"),
    ("http://api.bücher.example", ".bücher.example"),
]
PROXIED = [
    ("http://11.1.2.3", "10.0.0.0/8"),
    ("http://[fe00::5]", "fd00::/8"),
    ("http://notinternal", "internal"),
    ("http://internal.example", "*.internal"),
    ("http://llm.internal:8000", "llm.internal:81"),
    ("http://llm.internal", ""),
    ("http://10.1.2.3", "10.1.2.0/33, , /"),
    ("http://[fd00::5]:81", "[fd00::5]:82"),
    ("http://[fd00::8181]", "fd00::81"),
    ("http://internal.example", "in ternal.example"),
    ("http://x", "ü" * 70),
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
        "http://ho\nst",
        "http://host:80\r\n.evil.example/",
        "http://ho\tst",
    ],
)
def test_an_url_that_is_none(url):
    with pytest.raises(UsageError, match="is not a URL") as caught:
        Origin(url)
    assert repr(url)[1:-1] in str(caught.value)


@each("url", [5, None, True, b"http://host", ["http://host"], 1.5])
def test_an_url_that_is_no_text(url):
    with pytest.raises(UsageError, match="must be a string like https://host"):
        Origin(url)


@pytest.mark.parametrize(
    ("path", "encoded"),
    [
        ("/my model", "/my%20model"),
        ("/modèle", "/mod%C3%A8le"),
        ("/模型?x=é", "/%E6%A8%A1%E5%9E%8B?x=%C3%A9"),
        ("/mod%C3%A8le/a:b@c", "/mod%C3%A8le/a:b@c"),
        ("/a\r\nb", "/a%0D%0Ab"),
        ("/100%/%zz/%4", "/100%25/%25zz/%254"),
    ],
)
def test_paths_are_encoded_once(path, encoded):
    assert encoded_path(path) == encoded


@each(
    ("url", "header", "host"),
    [
        ("http://bücher.example:81", "xn--bcher-kva.example:81", "xn--bcher-kva.example"),
        ("http://faß.example", "xn--fa-hia.example", "xn--fa-hia.example"),
        ("http://☃.example", "xn--n3h.example", "xn--n3h.example"),
        ("http://HOST.example:80/", "host.example", "host.example"),
        ("https://host:0443/", "host", "host"),
        ("http://127.1:81", "127.0.0.1:81", "127.0.0.1"),
        ("http://2130706433", "127.0.0.1", "127.0.0.1"),
        ("http://１２７.０.０.１", "127.0.0.1", "127.0.0.1"),
        ("http://1.2.3.4.5", "1.2.3.4.5", "1.2.3.4.5"),
        ("http://[::1]:81", "[::1]:81", "::1"),
        ("http://[fe80::1%25eth0]:81", "[fe80::1]:81", "fe80::1%eth0"),
        ("http://[fe80::1%eth0]", "[fe80::1]", "fe80::1%eth0"),
    ],
)
def test_the_host_as_it_is_looked_up_and_told(url, header, host):
    assert host_header(url) == header
    assert Origin(url).host == host


@each(
    ("environment", "proxy"),
    [
        ({"ALL_PROXY": "http://all:1"}, "http://all:1"),
        ({"all_proxy": "http://all:1"}, "http://all:1"),
        ({"ALL_PROXY": "all:1"}, "http://all:1"),
        ({"ALL_PROXY": "http://all:1", "HTTP_PROXY": " http://http:2 "}, "http://http:2"),
        ({"ALL_PROXY": "http://all:1", "HTTPS_PROXY": "http://https:2"}, "http://all:1"),
        ({"ALL_PROXY": "http://all:1", "NO_PROXY": "host"}, None),
        ({"ALL_PROXY": ""}, None),
    ],
)
def test_a_proxy_for_everything(monkeypatch, environment, proxy):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_for("http://host", all_proxy=True) == proxy
    # boto3 does not know it.
    assert proxy_for("http://host") == (None if "HTTP_PROXY" not in environment else "http://http:2")


def test_socks_is_refused_by_name():
    with pytest.raises(UsageError, match=r"socks5h://.*SOCKS proxies are not supported.*ALL_PROXY.*NO_PROXY") as caught:
        Origin("http://host", proxy="socks5h://user:secret@proxy:1080")
    assert "secret" not in str(caught.value)
