"""Hugging Face's hosts: whose token goes where, and what their headers say.

The names of variables and files, and the rate limit headers, are those of huggingface_hub (constants.py,
utils/_auth.py, utils/_http.py).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from sagewire.errors import UsageError
from sagewire.http.errors import retry_after_of

__all__ = ["check_host", "find_token", "is_hugging_face", "may_sleep", "wait_of"]

_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_TOKEN")
_RETIRED_HOST = "api-inference.huggingface.co"
# RateLimit: "api";r=0;t=55
_RATE_LIMIT = re.compile(r"\br=(?P<left>\d+)\s*;\s*t=(?P<seconds>\d+)")


def is_hugging_face(host: str) -> bool:
    """Return whether a host is Hugging Face's own, so that its token may be sent there unasked."""
    host = host.lower().rstrip(".")
    return any(host == domain or host.endswith(f".{domain}") for domain in ("huggingface.co", "huggingface.cloud"))


def may_sleep(host: str) -> bool:
    """Return whether a host is an Inference Endpoint, which answers 503 while it scales up from zero."""
    return host.lower().rstrip(".").endswith(".endpoints.huggingface.cloud")


def check_host(host: str) -> None:
    """Raise `UsageError` for the address that was shut down, naming the one that replaced it."""
    if host.lower().rstrip(".") == _RETIRED_HOST:
        raise UsageError(
            f"https://{_RETIRED_HOST} was shut down; use https://router.huggingface.co/v1, or the URL of your own "
            "Inference Endpoint"
        )


def find_token() -> str | None:
    """Return the user's Hugging Face token out of the environment or the file `hf auth login` writes, if any."""
    if os.environ.get("HF_HUB_DISABLE_IMPLICIT_TOKEN", "").lower() in ("1", "true", "yes", "on"):
        return None
    for name in _VARIABLES:
        if token := os.environ.get(name, "").strip():
            return token
    try:
        return _token_file().read_text().strip() or None
    except OSError:
        return None


def _token_file() -> Path:
    if path := os.environ.get("HF_TOKEN_PATH"):
        return Path(path).expanduser()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    home = Path(os.environ.get("HF_HOME") or cache / "huggingface")
    return home.expanduser() / "token"


def wait_of(headers: Mapping[str, str], estimated: object = None) -> float | None:
    """Return the seconds a server asked to wait: `Retry-After`, an exhausted `RateLimit`, or `estimated_time`."""
    seconds = retry_after_of(headers)
    if seconds is not None:
        return seconds
    match = _RATE_LIMIT.search(headers.get("ratelimit") or "")
    if match and match["left"] == "0":
        return float(match["seconds"])
    return float(estimated) if isinstance(estimated, int | float) and 0 < estimated < 86_400 else None
