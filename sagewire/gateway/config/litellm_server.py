"""LiteLLM's settings of the proxy itself as those of the gateway."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

__all__ = ["server_settings"]


def server_settings(
    general: Mapping[str, Any], router: Mapping[str, Any], environment: Mapping[str, str]
) -> dict[str, Any]:
    """Return the settings of the gateway itself.

    Args:
        general: `general_settings`.
        router: `router_settings`, which say where Redis is.
        environment: The variables, of which LiteLLM reads `LITELLM_MASTER_KEY`.
    """
    server: dict[str, Any] = {}
    if environment.get("LITELLM_MASTER_KEY"):
        server["master_key"] = environment["LITELLM_MASTER_KEY"]
    if "master_key" in general:
        # An empty one is an error, not an open gateway.
        server["master_key"] = str(general["master_key"] or "")
    if general.get("database_url"):
        server["database_url"] = general["database_url"]
    if general.get("max_request_size_mb"):
        server["max_body_bytes"] = int(float(general["max_request_size_mb"]) * 1_000_000)
    if router.get("redis_url"):
        server["redis_url"] = router["redis_url"]
    elif router.get("redis_host"):
        password = f":{quote(str(router['redis_password']), safe='')}@" if router.get("redis_password") else ""
        place = f"{router['redis_host']}:{router.get('redis_port') or 6379}/{router.get('redis_db') or 0}"
        server["redis_url"] = f"redis://{password}{place}"
    return server
