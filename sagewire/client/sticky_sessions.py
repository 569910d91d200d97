"""Sticky sessions of SageMaker endpoints: the two requests that open and close one."""

from __future__ import annotations

from collections.abc import Mapping

from sagewire.errors import WireError
from sagewire.types import Invocation, ResponseInfo

__all__ = ["closing", "opened", "opening"]


def opening(parameters: Mapping[str, str]) -> Invocation:
    """Return the call that opens a session. Containers refuse any other key in its body."""
    return Invocation(
        b'{"requestType":"NEW_SESSION"}', parameters={**parameters, "SessionId": "NEW_SESSION"}, idempotent=False
    )


def closing(session_id: str, parameters: Mapping[str, str]) -> Invocation:
    """Return the call that closes a session."""
    return Invocation(b'{"requestType":"CLOSE"}', parameters={**parameters, "SessionId": session_id}, generates=False)


def opened(info: ResponseInfo) -> str:
    """Return the id of the session that was opened.

    Raises:
        WireError: The answer does not name a session: the container took the request for something else.
    """
    if info.new_session_id is None:
        raise WireError(
            "the endpoint did not open a session, because its container has stateful sessions off; switch them on "
            "(LMI: OPTION_ENABLE_STATEFUL_SESSIONS; vLLM and SGLang: SAGEMAKER_ENABLE_STATEFUL_SESSIONS=true)"
        )
    return info.new_session_id
