"""An OpenAI server in front of every endpoint, for any OpenAI client.

The command `sagewire gateway` runs it; as a part of another ASGI application it is

    gateway = Gateway(load_config("gateway.yaml"), open_store())
    app = create_app(gateway)

Importing this package needs nothing; its names need the extra `gateway`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sagewire._extras import require
from sagewire._names import missing_name

if TYPE_CHECKING:
    from sagewire.gateway.accounting.database import open_store
    from sagewire.gateway.config import GatewayConfig, load_config, parse_config
    from sagewire.gateway.gateway import Gateway
    from sagewire.gateway.server.app import create_app
    from sagewire.gateway.server.run import Plan, serve

__all__ = ["Gateway", "GatewayConfig", "Plan", "create_app", "load_config", "open_store", "parse_config", "serve"]

# Public name -> the module it lives in, and what of the extra that one imports first.
_HOMES = {
    "Gateway": ("sagewire.gateway.gateway", "prometheus_client"),
    "GatewayConfig": ("sagewire.gateway.config", "pydantic"),
    "Plan": ("sagewire.gateway.server.run", "uvicorn"),
    "create_app": ("sagewire.gateway.server.app", "starlette"),
    "load_config": ("sagewire.gateway.config", "yaml"),
    "open_store": ("sagewire.gateway.accounting.database", "sqlalchemy"),
    "parse_config": ("sagewire.gateway.config", "yaml"),
    "serve": ("sagewire.gateway.server.run", "uvicorn"),
}


if not TYPE_CHECKING:
    # Type checkers would take every name for one of this package's.
    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise missing_name(__name__, name, __all__)
        module, needed = _HOMES[name]
        require(needed, "gateway")
        return getattr(import_module(module), name)
