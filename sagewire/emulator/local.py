"""The endpoints of an emulator by default: one per task, under the names that README, docs and tutorials use."""

from __future__ import annotations

from collections.abc import Mapping

from sagewire.emulator.aws.identity import Role
from sagewire.emulator.endpoints import EndpointSpec

__all__ = ["LOCAL_ENDPOINTS", "LOCAL_ROLES"]

_THEIR_ACCOUNT = "222222222222"

LOCAL_ENDPOINTS: Mapping[str, EndpointSpec] = {
    "my-endpoint": EndpointSpec("openai_chat", "schema"),
    "my-llama": EndpointSpec("tgi", "schema"),
    "my-embedder": EndpointSpec("tei", dimensions=384),
    "my-reranker": EndpointSpec("tei_rerank"),
    "my-queue": EndpointSpec("openai_chat", "schema", asynchronous="s3://my-bucket/answers"),
    "their-endpoint": EndpointSpec("openai_chat", "schema", _THEIR_ACCOUNT),
}
LOCAL_ROLES = (Role(f"arn:aws:iam::{_THEIR_ACCOUNT}:role/endpoint-users"),)
