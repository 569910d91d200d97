"""Keeping a deployment's secrets out of messages: a server's error may repeat the headers it was sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote, urlsplit

from sagewire.gateway.config import DeploymentConfig

__all__ = ["Redaction"]

BLANK = "***"
# Shorter values occur in every text.
SHORTEST = 6


class Redaction:
    """The replacement of secrets in texts.

    Args:
        secrets: The secrets.

    Example:
        >>> Redaction(["hf_secret"]).text("authorization: Bearer hf_secret")
        'authorization: Bearer ***'
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = sorted({secret for secret in secrets if len(secret) >= SHORTEST}, key=len, reverse=True)

    @classmethod
    def of(cls, config: DeploymentConfig) -> Redaction:
        """Return the one for the secrets of a deployment."""
        secrets = [config.token, config.aws_access_key_id, config.aws_secret_access_key, config.aws_session_token]
        secrets += [config.external_id, *config.headers.values()]
        found = [secret.get_secret_value() for secret in secrets if secret is not None]
        parts = urlsplit(config.url or "")
        found += [unquote(part) for part in (parts.password, parts.username, parts.query) if part]
        return cls([*found, *(pair.partition("=")[2] for pair in parts.query.split("&"))])

    def text(self, text: str) -> str:
        """Return a text without the secrets."""
        for secret in self._secrets:
            text = text.replace(secret, BLANK)
        return text

    def error(self, error: BaseException) -> None:
        """Remove the secrets from an error, in place."""
        if not self._secrets or not any(secret in repr((error.args, vars(error))) for secret in self._secrets):
            return
        error.args = tuple(self._value(value) for value in error.args)
        for name, value in vars(error).items():
            setattr(error, name, self._value(value))

    def _value(self, value: Any) -> Any:
        return self.text(value) if isinstance(value, str) else value
