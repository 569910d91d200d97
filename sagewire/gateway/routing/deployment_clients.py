"""The clients of a deployment, made from its configuration when they are first needed."""

from __future__ import annotations

import contextlib
from typing import Any

from sagewire.aws.session import Session, assume_role_session, static_session, web_identity_session
from sagewire.client import AsyncClient, Http
from sagewire.errors import SagewireError
from sagewire.gateway.config import DeploymentConfig
from sagewire.gateway.config.handlers import make_handler
from sagewire.http.deadlines import Timeouts
from sagewire.http.origin import login_header, without_login
from sagewire.prompt_formats.drop_in.litellm import LITELLM_BUILDERS
from sagewire.types import make_options

__all__ = ["DeploymentClients"]


class DeploymentClients:
    """One client for each task that needs its own handler; all use one session.

    Args:
        config: The deployment's configuration.
    """

    def __init__(self, config: DeploymentConfig) -> None:
        self.config = config
        self._clients: dict[str, AsyncClient] = {}
        self._session: Session | None = None

    def get(self, task: str, setting: str) -> AsyncClient:
        """Return the client of a task.

        Args:
            task: The task.
            setting: The configuration key that names its handler.
        """
        client = self._clients.get(task)
        if client is None:
            client = self._clients[task] = self._make(setting)
        return client

    async def close(self) -> None:
        """Close all clients; errors on the way are ignored, as no caller could act on them."""
        for client in self._clients.values():
            with contextlib.suppress(SagewireError, OSError):
                await client.close()

    def _make(self, setting: str) -> AsyncClient:
        config = self.config
        named = getattr(config, setting)
        if setting == "completion_handler":
            named, setting = named or "openai_completions", "handler"
        if named == "openai_chat" and config.url is not None:
            # Reasoning that a caller sends back is for the model, which may need it between calls of tools.
            named = {"name": "openai_chat", "thinking_field": "reasoning_content"}
        if named == "tgi":
            named = {"name": "tgi", "allow_zero_temperature": config.allow_zero_temperature}
        # A name is enough for each call to get a fresh handler; one with arguments is shared.
        chosen = make_handler(named, setting) if isinstance(named, dict) or (named and ":" in named) else named
        options = make_options(**config.options)
        if config.served_model:
            options = make_options(options, model=config.served_model)
        limits = config.timeouts
        return AsyncClient(
            config.endpoint,
            transport=_server(config),
            endpoint_kwargs=config.endpoint_kwargs,
            handler=chosen,
            format=LITELLM_BUILDERS.get(config.format, config.format)
            if isinstance(config.format, str)
            else config.format,
            options=options,
            region_name=config.region,
            endpoint_url=config.endpoint_url,
            inference_component_name=config.inference_component,
            timeout=Timeouts(limits.connect, limits.first_byte, limits.idle, limits.total),
            # Retries are the router's: it may have a better place to try.
            retries=1,
            **self._credentials(),
        )

    def _credentials(self) -> dict[str, Any]:
        config = self.config
        if config.endpoint is None:
            return {}
        if config.role_arn is not None:
            self._session = self._session or self._assumed(config.role_arn)
            return {"session": self._session}
        return {
            "profile_name": config.profile,
            "aws_access_key_id": _plain(config.aws_access_key_id),
            "aws_secret_access_key": _plain(config.aws_secret_access_key),
            "aws_session_token": _plain(config.aws_session_token),
        }

    def _assumed(self, role_arn: str) -> Session:
        config = self.config
        if config.web_identity_token_file:
            return web_identity_session(
                role_arn,
                token_file=config.web_identity_token_file,
                region_name=config.region,
                session_name=config.role_session_name,
                sts_endpoint=config.sts_endpoint,
            )
        source: Any = config.profile
        key, secret = _plain(config.aws_access_key_id), _plain(config.aws_secret_access_key)
        if key and secret:
            source = static_session(key, secret, _plain(config.aws_session_token), region_name=config.region)
        return assume_role_session(
            role_arn,
            region_name=config.region,
            external_id=_plain(config.external_id),
            session_name=config.role_session_name,
            tags=config.session_tags or None,
            source=source,
            sts_endpoint=config.sts_endpoint,
        )


def _server(config: DeploymentConfig) -> Http | None:
    """Return the HTTP server of a deployment, `None` for a SageMaker endpoint."""
    if config.url is None:
        return None
    headers = {name: value.get_secret_value() for name, value in config.headers.items()}
    token = _plain(config.token)
    if login := login_header(config.url):
        # In place of a token, as in LiteLLM, whose clients need one in any case.
        headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
        headers["Authorization"], token = login, None
    return Http(without_login(config.url), token, headers, config.ssl_verify)


def _plain(secret: Any) -> str | None:
    return None if secret is None else secret.get_secret_value()
