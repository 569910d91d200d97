"""Keeping a deployment's secrets and its address out of messages: a server's error may repeat what it was sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote, urlsplit

from sagewire.gateway.config import DeploymentConfig
from sagewire.http.origin import login_header
from sagewire.transports.secrets import Redactor

__all__ = ["Redaction"]

SERVER = "the model's server"


class Redaction:
    """The replacement of secrets and addresses in texts.

    Args:
        secrets: The secrets.
        url: The server's address, which callers need not know.

    Example:
        >>> Redaction(["hf_secret"]).text("authorization: Bearer hf_secret")
        'authorization: Bearer ***'
    """

    def __init__(self, secrets: Iterable[str], url: str = "") -> None:
        # The longest first: a host is a part of its URL.
        self._redactor = Redactor(sorted(secrets, key=len, reverse=True))
        self._addresses = sorted(_addresses(url), key=len, reverse=True)

    @classmethod
    def of(cls, config: DeploymentConfig) -> Redaction:
        """Return the one for the secrets of a deployment."""
        secrets = [config.token, config.aws_access_key_id, config.aws_secret_access_key, config.aws_session_token]
        secrets += [config.external_id, *config.headers.values()]
        found = [secret.get_secret_value() for secret in secrets if secret is not None]
        parts = urlsplit(config.url or "")
        found += [unquote(part) for part in (parts.password, parts.username, parts.query) if part]
        found.append((login_header(config.url or "") or "").removeprefix("Basic "))
        return cls([*found, *(pair.partition("=")[2] for pair in parts.query.split("&"))], config.url or "")

    def text(self, text: str) -> str:
        """Return a text without them."""
        text = self._redactor.text(text)
        for address in self._addresses:
            text = text.replace(address, SERVER)
        return text

    def error(self, error: BaseException) -> None:
        """Remove them from an error, in place."""
        self._redactor.error(error)
        error.args = tuple(self._value(value) for value in error.args)
        for name, value in vars(error).items():
            setattr(error, name, self._value(value))

    def _value(self, value: Any) -> Any:
        return self.text(value) if isinstance(value, str) else value


def _addresses(url: str) -> list[str]:
    """Return how messages write an address: the whole of it, and its parts."""
    parts = urlsplit(url)
    if not parts.hostname:
        return []
    host = parts.netloc.rpartition("@")[2]
    origin = f"{parts.scheme}://{host}"
    # A host without a port, such as `llm`, may be a word of the text.
    return [origin + parts.path.rstrip("/"), origin, *([host] if ":" in host or "." in host else [])]
