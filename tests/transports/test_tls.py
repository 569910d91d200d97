"""TLS, client certificates and proxies for real: a CA of our own, a proxy on loopback, sync and async."""

import base64
import contextlib
import select
import shutil
import socket
import ssl
import subprocess
import threading

import pytest
import trustme
from botocore.config import Config

from sagewire.errors import EndpointError, SagewireError, StreamTruncated, UsageError
from sagewire.http.deadlines import Timeouts
from sagewire.transports.base import Retries
from sagewire.transports.sagemaker import AsyncSageMakerTransport, SageMakerTransport
from sagewire.types import Invocation

from .conftest import Server

CALL = Invocation(b"{}")
ONCE = Retries(attempts=1)
# A `NO_PROXY` of the developer's, such as the emulator tells to export, would be obeyed.
pytestmark = pytest.mark.usefixtures("clean_environment")


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def ca_file(authority, tmp_path):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return str(tmp_path / "ca.pem")


@pytest.fixture
def client_cert(authority, tmp_path):
    authority.issue_cert("me@example.org").private_key_and_cert_chain_pem.write_to_path(tmp_path / "me.pem")
    return str(tmp_path / "me.pem")


@pytest.fixture
def secure(server, authority):
    """Return a function that makes the scripted server speak TLS, and returns its URL."""

    def secure(*, verify_client=False, name="localhost"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        if verify_client:
            authority.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        server.wrap = lambda sock: shake_hands(context, sock)
        return f"https://localhost:{server.port}"

    return secure


def shake_hands(context, sock):
    """Wrap a connection; where the handshake fails, let the client read why before the connection goes away.

    Closing a socket that still holds the client's request would reset the connection, and the alert be lost with it.
    """
    with sock.dup() as same:
        try:
            return context.wrap_socket(sock, server_side=True)
        except ssl.SSLError:
            same.settimeout(5)
            same.shutdown(socket.SHUT_WR)
            while same.recv(65_536):
                pass
            raise


class Proxy:
    """Forwards plain requests and opens tunnels, like squid; keeps what it was asked."""

    def __init__(self, login=None, context=None):
        self.asked = []
        self.logins = []
        self._login = login and "Basic " + base64.b64encode(login.encode()).decode()
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self):
        while not self._stop.is_set():
            ready, _, _ = select.select([self._listener], [], [], 0.02)
            if ready:
                sock, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(sock,))
                thread.start()
                self._threads.append(thread)

    def _serve(self, sock):
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            sock = stack.enter_context(sock)
            if self._context:
                sock = stack.enter_context(self._context.wrap_socket(sock, server_side=True))
            head = b""
            while b"\r\n\r\n" not in head:
                head += sock.recv(65_536) or b"\r\n\r\n"
            line, *headers = head.partition(b"\r\n\r\n")[0].decode().split("\r\n")
            if not line:
                return
            self.asked.append(line)
            found = {name.lower(): value for name, _, value in (header.partition(": ") for header in headers)}
            self.logins.append(found.get("proxy-authorization"))
            if self._login and self.logins[-1] != self._login:
                sock.sendall(b"HTTP/1.1 407 Login\r\ncontent-length: 0\r\n\r\n")
                return
            method, target, _ = line.split(" ")
            if method == "CONNECT":
                host, _, port = target.rpartition(":")
                there = stack.enter_context(socket.create_connection((host, int(port)), 5))
                sock.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            else:
                host, _, port = target.split("/")[2].rpartition(":")
                there = stack.enter_context(socket.create_connection((host, int(port)), 5))
                there.sendall(head)
            self._pump(sock, there)

    def _pump(self, one, other):
        while not self._stop.is_set():
            pending = isinstance(one, ssl.SSLSocket) and one.pending()
            ready = [one] if pending else select.select([one, other], [], [], 0.02)[0]
            for sock in ready:
                data = sock.recv(65_536)
                if not data:
                    return
                (other if sock is one else one).sendall(data)

    def close(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(5)
        self._listener.close()


@pytest.fixture
def make_proxy():
    proxies = []

    def make(**options):
        proxies.append(Proxy(**options))
        return proxies[-1]

    yield make
    for proxy in proxies:
        proxy.close()


@pytest.mark.parametrize("how", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "directory"])
def test_a_private_authority(server, carry, secure, ca_file, monkeypatch, tmp_path, how):
    if how == "directory":
        monkeypatch.setenv("AWS_CA_BUNDLE", str(hashed_directory(ca_file, tmp_path)))
    else:
        monkeypatch.setenv(how, ca_file)
    carrier = carry(endpoint_url=secure())
    for _ in range(2):
        assert carrier.invoke(CALL).data == b'{"ok": true}'
    carrier.stream(CALL)


def hashed_directory(ca_file, tmp_path):
    directory = tmp_path / "certs"
    directory.mkdir()
    command = ["openssl", "x509", "-hash", "-noout", "-in", ca_file]
    try:
        digest = subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()
    except FileNotFoundError:
        pytest.skip("needs the openssl program")
    shutil.copy(ca_file, directory / f"{digest}.0")
    return directory


def test_a_certificate_nobody_vouches_for(carry, secure):
    with pytest.raises(EndpointError, match="AWS_CA_BUNDLE") as caught:
        carry(endpoint_url=secure()).invoke(CALL)
    assert caught.value.code == "tls"
    assert not caught.value.retry_safe


def test_a_certificate_for_another_host(carry, secure, ca_file, monkeypatch):
    monkeypatch.setenv("AWS_CA_BUNDLE", ca_file)
    with pytest.raises(EndpointError) as caught:
        carry(endpoint_url=secure(name="other.example")).invoke(CALL)
    assert caught.value.code == "tls"


def test_a_server_without_tls(server, carry):
    # The server takes the handshake for a request's first line; without a line break in it, it waits for more.
    limits = Timeouts(connect=0.2)
    with pytest.raises(EndpointError) as caught:
        carry(endpoint_url=f"https://localhost:{server.port}", retries=ONCE, timeouts=limits).invoke(CALL)
    assert caught.value.code in ("tls", "connection", "connect")


def test_a_bundle_that_does_not_exist(carry, secure, monkeypatch):
    monkeypatch.setenv("AWS_CA_BUNDLE", "/no/such/file.pem")
    with pytest.raises(UsageError, match=r"/no/such/file\.pem.*AWS_CA_BUNDLE"):
        carry(endpoint_url=secure()).invoke(CALL)


def test_a_client_certificate(carry, secure, ca_file, client_cert, monkeypatch):
    monkeypatch.setenv("AWS_CA_BUNDLE", ca_file)
    url = secure(verify_client=True)
    assert carry(endpoint_url=url, config=Config(client_cert=client_cert)).invoke(CALL).data == b'{"ok": true}'
    with pytest.raises(EndpointError):
        carry(endpoint_url=url, retries=ONCE).invoke(CALL)


def test_a_client_certificate_that_does_not_exist(carry, secure, ca_file, monkeypatch):
    monkeypatch.setenv("AWS_CA_BUNDLE", ca_file)
    with pytest.raises(UsageError, match=r"/no/such\.pem"):
        carry(endpoint_url=secure(), config=Config(client_cert="/no/such.pem")).invoke(CALL)


def test_a_tunnel(server, carry, secure, ca_file, make_proxy, monkeypatch):
    proxy = make_proxy(login="user:p@ss")
    monkeypatch.setenv("AWS_CA_BUNDLE", ca_file)
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:p%40ss@127.0.0.1:{proxy.port}")
    carrier = carry(endpoint_url=secure())
    assert carrier.invoke(CALL).data == b'{"ok": true}'
    carrier.stream(CALL)
    assert proxy.asked[0] == f"CONNECT localhost:{server.port} HTTP/1.{proxy.asked[0][-1]}"
    assert "proxy-authorization" not in server.seen[0].headers


def test_a_tunnel_that_wants_another_login(carry, secure, make_proxy, monkeypatch):
    proxy = make_proxy(login="user:right")
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:wrong@127.0.0.1:{proxy.port}")
    with pytest.raises(EndpointError, match="the proxy answered 407 Login: user name and password") as caught:
        carry(endpoint_url=secure()).invoke(CALL)
    assert "wrong" not in str(caught.value)
    assert not caught.value.retry_safe
    assert len(proxy.asked) == 1


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 " + b"2" * 100_000, b"HTTP/1.1 abc OK\r\n\r\n"])
def test_a_proxy_that_does_not_answer_in_http(server, carry, secure, monkeypatch, answer):
    def script(peer, seen):
        peer.send(answer)
        peer.close()

    with contextlib.closing(Server(script)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(EndpointError, match="did not answer in HTTP"):
            carry(endpoint_url=secure(), retries=ONCE).invoke(CALL)


def test_a_tunnel_through_a_proxy_behind_tls(authority, server, carry, secure, ca_file, make_proxy, monkeypatch):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    proxy = make_proxy(context=context)
    monkeypatch.setenv("AWS_CA_BUNDLE", ca_file)
    config = Config(proxies={"https": f"https://localhost:{proxy.port}"}, proxies_config={"proxy_ca_bundle": ca_file})
    assert carry(endpoint_url=secure(), config=config).invoke(CALL).data == b'{"ok": true}'
    assert proxy.asked[0].startswith("CONNECT localhost:")


@pytest.mark.parametrize("behind", ["http", "https"])
def test_a_proxy_that_wants_a_client_certificate(
    authority, server, carry, secure, ca_file, client_cert, make_proxy, monkeypatch, behind
):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    proxy = make_proxy(context=context)
    monkeypatch.setenv("AWS_CA_BUNDLE", ca_file)
    url = secure() if behind == "https" else f"http://localhost:{server.port}"
    proxies = {behind: f"https://127.0.0.1:{proxy.port}"}
    config = Config(proxies=proxies, proxies_config={"proxy_client_cert": client_cert})
    assert carry(endpoint_url=url, config=config).invoke(CALL).data == b'{"ok": true}'
    with pytest.raises(EndpointError):
        carry(endpoint_url=url, config=Config(proxies=proxies), retries=ONCE).invoke(CALL)
    assert len(proxy.asked) == 1


def test_each_of_proxy_and_server_is_checked_by_its_own_authority(
    carry, secure, ca_file, make_proxy, tmp_path, monkeypatch
):
    others = trustme.CA()
    others.cert_pem.write_to_path(tmp_path / "others.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    others.issue_cert("127.0.0.1").configure_cert(context)
    proxy = make_proxy(context=context)
    proxies = {"https": f"https://127.0.0.1:{proxy.port}"}
    config = Config(proxies=proxies, proxies_config={"proxy_ca_bundle": str(tmp_path / "others.pem")})
    monkeypatch.setenv("AWS_CA_BUNDLE", ca_file)
    assert carry(endpoint_url=secure(), config=config).invoke(CALL).data == b'{"ok": true}'
    # Whoever vouches for the proxy does not vouch for the server.
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "others.pem"))
    with pytest.raises(EndpointError) as caught:
        carry(endpoint_url=secure(), config=config, retries=ONCE).invoke(CALL)
    # asyncio of Python 3.11 loses the reason of a handshake inside a tunnel that is TLS itself.
    assert caught.value.code in ("tls", "connection")


def test_a_proxy_and_a_server_of_one_name(carry_kinds, server, session, client_cert):
    config = Config(
        proxies={"https": "https://localhost:1"},
        proxies_config={"proxy_client_cert": client_cert},
    )
    options = {"session": session, "endpoint_url": f"https://localhost:{server.port}", "config": config}
    carrier = carry_kinds(SageMakerTransport, AsyncSageMakerTransport, "my-llm", retries=ONCE, **options)
    if carrier.flavour == "sync":
        with pytest.raises(EndpointError, match="cannot connect"):
            carrier.invoke(CALL)
    else:
        with pytest.raises(UsageError, match="both called 'localhost'"):
            carrier.invoke(CALL)


def hang_up_on_hello(sock):
    sock.recv(65_536)
    sock.close()
    raise OSError


def half_a_handshake(sock):
    sock.recv(65_536)
    sock.sendall(b"\x16\x03\x03\x00\x50abc")
    sock.close()
    raise OSError


@pytest.mark.parametrize("wrap", [hang_up_on_hello, half_a_handshake])
def test_a_handshake_that_is_cut_off(server, carry, wrap):
    server.wrap = wrap
    with pytest.raises(EndpointError, match="cannot connect") as caught:
        carry(endpoint_url=f"https://localhost:{server.port}", retries=ONCE).invoke(CALL)
    assert (caught.value.code, caught.value.retry_safe) == ("connection", True)


def test_an_objection_that_comes_after_the_handshake(carry, secure, ca_file, monkeypatch):
    monkeypatch.setenv("AWS_CA_BUNDLE", ca_file)
    with pytest.raises(EndpointError, match=r"(?i)certificate.required|handshake.failure") as caught:
        carry(endpoint_url=secure(verify_client=True), retries=ONCE).invoke(CALL)
    assert (caught.value.code, caught.value.retry_safe) == ("tls", False)


# What the server sent before the connection closed; the error of a whole answer, and that of a stream.
CLOSED_AFTER = {
    "nothing": (b"", "connection_lost", "connection_lost"),
    "half of the head": (b"HTTP/1.1 200 OK\r\ncontent-ty", "connection_lost", "connection_lost"),
    "half of the body": (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{",
        StreamTruncated,
        StreamTruncated,
    ),
    "half of the chunks": (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        StreamTruncated,
        StreamTruncated,
    ),
}


@pytest.mark.parametrize("goodbye", [True, False], ids=["close_notify", "just closed"])
@pytest.mark.parametrize("sent", CLOSED_AFTER)
def test_a_connection_that_is_closed_mid_way(server, carry, secure, ca_file, monkeypatch, sent, goodbye):
    data, *expected = CLOSED_AFTER[sent]

    def script(peer, seen):
        peer.sock.sendall(data)
        if goodbye:
            peer.sock.unwrap()
        peer.close()

    server.script = script
    monkeypatch.setenv("AWS_CA_BUNDLE", ca_file)
    carrier = carry(endpoint_url=secure(), retries=ONCE)
    for call, outcome in zip((carrier.invoke, carrier.stream), expected, strict=True):
        with pytest.raises(SagewireError) as caught:
            call(CALL)
        if isinstance(outcome, str):
            assert (type(caught.value), caught.value.code) == (EndpointError, outcome)
            assert "RawResponse" not in str(caught.value)
        else:
            assert type(caught.value) is outcome


def test_a_forwarding_proxy(server, carry, make_proxy, monkeypatch):
    proxy = make_proxy(login="user:pass")
    monkeypatch.setenv("HTTP_PROXY", f"http://user:pass@127.0.0.1:{proxy.port}")
    # 127.0.0.1 would do as well; a name shows that the proxy does the looking up.
    assert carry(endpoint_url=f"http://localhost:{server.port}").invoke(CALL).data == b'{"ok": true}'
    assert proxy.asked[0].startswith(f"POST http://localhost:{server.port}/endpoints/my-llm/invocations ")


def test_a_config_names_the_proxy(server, carry, make_proxy):
    proxy = make_proxy()
    config = Config(proxies={"http": f"127.0.0.1:{proxy.port}"})
    carry(config=config).invoke(CALL)
    assert len(proxy.asked) == 1


def test_no_proxy_for_some_hosts(server, carry, make_proxy, monkeypatch):
    proxy = make_proxy()
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    carry().invoke(CALL)
    assert proxy.asked == []


def test_a_proxy_that_is_not_there(carry, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://somebody:password@127.0.0.1:1")
    with pytest.raises(EndpointError, match=r"through the proxy http://127\.0\.0\.1:1: ") as caught:
        carry(retries=ONCE).invoke(CALL)
    assert caught.value.code == "connection"
    assert "password" not in str(caught.value)


@pytest.mark.parametrize("url", ["socks5://somebody:password@127.0.0.1:1", "http://:3128"])
def test_a_proxy_that_is_none(carry, monkeypatch, url):
    monkeypatch.setenv("HTTP_PROXY", url)
    with pytest.raises(UsageError, match=r"a proxy's URL .* must start with http:// or https://") as caught:
        carry(retries=ONCE).invoke(CALL)
    assert "password" not in str(caught.value)
