"""`/model/info` and `/model_group/info`: the models that the caller may use, as LiteLLM's clients read them."""

from __future__ import annotations

from typing import Any

from starlette.types import Receive, Scope, Send

from sagewire.gateway.gateway import Gateway
from sagewire.gateway.keys import Key
from sagewire.gateway.routes.base import log_of
from sagewire.gateway.server.http_exchange import headers_of, respond_json

__all__ = ["ModelGroups", "ModelInfo"]

JSON = dict[str, Any]


class ModelInfo:
    """`/model/info`, with its prices and the number of models.

    Args:
        gateway: The gateway.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        gateway, log = self._gateway, log_of(scope)
        log.route = "models"
        log.key = key = await gateway.access.authenticate(headers_of(scope))
        await respond_json(send, 200, self._answer(key))

    def _answer(self, key: Key) -> JSON:
        found = [
            {
                "model_name": name,
                "litellm_params": {"model": name},
                "model_info": {"id": name, "db_model": False, **self._prices(name)},
            }
            for name in self._gateway.names_for(key)
        ]
        return {"data": found, "total_count": len(found), "current_page": 1, "total_pages": 1, "size": len(found)}

    def _prices(self, name: str) -> JSON:
        entry = self._gateway.config.entry(name)
        deployments = self._gateway.config.models[entry].deployments if entry else []
        priced = [one for one in deployments if one.prices is not None]
        return {
            field: max((getattr(one, field) or 0.0 for one in priced), default=None)
            for field in ("input_cost_per_token", "output_cost_per_token")
        }


class ModelGroups(ModelInfo):
    """`/model_group/info`: the same under the names of LiteLLM's groups of deployments.

    Args:
        gateway: The gateway.
    """

    def _answer(self, key: Key) -> JSON:
        names = self._gateway.names_for(key)
        return {"data": [{"model_group": name, "providers": ["sagewire"], **self._prices(name)} for name in names]}
