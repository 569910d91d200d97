"""OpenID Connect tokens for `web_identity_session`, from where CI systems and clusters put them.

The `oidc/...` names are LiteLLM's, so that a configuration written for it goes on working.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

from sagewire.errors import AccessDenied, UsageError

__all__ = ["github_token", "token_reader"]

GITHUB_TIMEOUT_SECONDS = 10.0


def github_token(audience: str = "sts.amazonaws.com") -> str:
    """Return a fresh token of the running GitHub Actions job, which needs `permissions: id-token: write`.

    Args:
        audience: The receiver of the token; AWS's identity provider usually expects the default.
    """
    url = os.environ.get("ACTIONS_ID_TOKEN_REQUEST_URL")
    bearer = os.environ.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
    if not url or not bearer:
        raise UsageError("not running in a GitHub Actions job with `permissions: id-token: write`")
    import urllib3

    try:
        answer = urllib3.request(
            "GET",
            # GitHub's URL has a query already.
            f"{url}{'&' if '?' in url else '?'}{urlencode({'audience': audience})}",
            headers={"Authorization": f"Bearer {bearer}"},
            timeout=GITHUB_TIMEOUT_SECONDS,
            retries=2,
        )
        if answer.status == 200:
            return str(json.loads(answer.data)["value"])
        reason = f"status {answer.status}"
    except (urllib3.exceptions.HTTPError, ValueError, KeyError) as error:
        reason = type(error).__name__
    raise AccessDenied(f"GitHub gave no identity token: {reason}", code="NoCredentials", fault="client")


def token_reader(source: str) -> str | Callable[[], str]:
    """Return a token, or a callable that reads it afresh, for what a configuration calls a web identity token.

    Args:
        source: A file's name, `oidc/file/PATH`, `oidc/env/VARIABLE`, `oidc/env_path/VARIABLE` (a variable that holds
            a file's name), `oidc/github/AUDIENCE`, or the token itself.

    Raises:
        UsageError: An `oidc/...` name that is not known.
    """
    if not source.startswith("oidc/"):
        return (lambda: _read(source)) if _is_file(source) else source
    kind, _, rest = source.removeprefix("oidc/").partition("/")
    readers: dict[str, Callable[[], str]] = {
        "file": lambda: _read(f"/{rest}" if not Path(rest).exists() else rest),
        "env": lambda: _variable(rest),
        "env_path": lambda: _read(_variable(rest)),
        "github": lambda: github_token(rest or "sts.amazonaws.com"),
    }
    if kind not in readers:
        raise UsageError(f"{source!r} is not known; known are " + ", ".join(f"oidc/{name}/..." for name in readers))
    return readers[kind]


def _is_file(source: str) -> bool:
    try:
        return Path(source).is_file()
    except (OSError, ValueError):
        # A token may be too long for a file's name.
        return False


def _read(name: str) -> str:
    try:
        return Path(name).read_text("utf-8").strip()
    except OSError as error:
        raise AccessDenied(
            f"the web identity token file {name} cannot be read: {error.strerror}", code="NoCredentials", fault="client"
        ) from None


def _variable(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise AccessDenied(f"the environment variable {name} is not set", code="NoCredentials", fault="client")
    return value
