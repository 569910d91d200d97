"""A session out of the flat `aws_...` options that LiteLLM and its configuration files use."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from sagewire.aws.identity_tokens import token_reader
from sagewire.aws.session import (
    Session,
    assume_role_session,
    default_session,
    profile_session,
    static_session,
    web_identity_session,
)
from sagewire.errors import UsageError

__all__ = ["OPTION_NAMES", "options_session", "session_tags"]

OPTION_NAMES = (
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "aws_region_name",
    "aws_session_name",
    "aws_profile_name",
    "aws_role_name",
    "aws_external_id",
    "aws_session_tags",
    "aws_web_identity_token",
    "aws_sts_endpoint",
)


def options_session(**options: Any) -> Session:
    """Return the session that LiteLLM's options describe; options that are `None` count as not given.

    Keys or a profile identify the caller. With `aws_role_name` (a role's ARN) that caller takes on a role, and with
    `aws_web_identity_token` the token does.

    Args:
        **options: `aws_access_key_id`, `aws_secret_access_key`, `aws_session_token`, `aws_region_name`,
            `aws_session_name`, `aws_profile_name`, `aws_role_name`, `aws_external_id`, `aws_session_tags` (a mapping,
            or AWS's list of `Key` and `Value`), `aws_web_identity_token` (a token, a file's name or `oidc/...`) and
            `aws_sts_endpoint`.

    Raises:
        UsageError: An option is unknown, or two contradict.

    Example:
        >>> options_session(aws_profile_name="dev", aws_region_name="eu-west-1").region_name
        'eu-west-1'
    """
    _check(options)
    given = {name: options.get(name) or None for name in OPTION_NAMES}
    region = given["aws_region_name"]
    role, token = given["aws_role_name"], given["aws_web_identity_token"]
    role_options: dict[str, Any] = {"region_name": region, "sts_endpoint": given["aws_sts_endpoint"]}
    if given["aws_session_name"]:
        role_options["session_name"] = given["aws_session_name"]
    if token:
        if not role:
            raise UsageError("aws_web_identity_token needs aws_role_name: the role the token is exchanged for")
        for name in ("aws_external_id", "aws_session_tags"):
            if given[name]:
                raise UsageError(f"{name} is not part of taking on a role with a web identity token; leave it out")
        return web_identity_session(role, token=token_reader(token), **role_options)
    caller = _caller(given, None if role else region)
    if role:
        role_options |= {"external_id": given["aws_external_id"], "tags": session_tags(given["aws_session_tags"] or {})}
        return assume_role_session(role, source=caller, **role_options)
    if given["aws_external_id"] or given["aws_session_name"] or given["aws_session_tags"]:
        raise UsageError(
            "aws_external_id, aws_session_name and aws_session_tags need aws_role_name: the role they are for"
        )
    return caller


def session_tags(given: Any) -> dict[str, str]:
    """Return session tags given as a mapping, or as AWS lists them: `[{"Key": "team", "Value": "search"}]`.

    Raises:
        UsageError: It is neither, or names a key twice.

    Example:
        >>> session_tags([{"Key": "team", "Value": "search"}])
        {'team': 'search'}
    """
    if isinstance(given, list | tuple) and all(
        isinstance(tag, Mapping) and tag.keys() == {"Key", "Value"} for tag in given
    ):
        pairs = [(tag["Key"], tag["Value"]) for tag in given]
    else:
        pairs = list(given.items()) if isinstance(given, Mapping) else [(None, None)]
    if not all(isinstance(text, str) for pair in pairs for text in pair):
        raise UsageError(
            "aws_session_tags must be a mapping of names to texts, or a list like [{'Key': 'team', 'Value': 'search'}]"
        )
    tags = dict(pairs)
    if len(tags) < len(pairs):
        raise UsageError("aws_session_tags names a key twice")
    return tags


def _caller(given: dict[str, Any], region: str | None) -> Session:
    key, secret = given["aws_access_key_id"], given["aws_secret_access_key"]
    profile = given["aws_profile_name"]
    if profile and (key or secret):
        raise UsageError("aws_profile_name and aws_access_key_id contradict; give one")
    if profile:
        return profile_session(profile, region_name=region)
    if key or secret or given["aws_session_token"]:
        return static_session(key or "", secret or "", given["aws_session_token"], region_name=region)
    return default_session(region_name=region)


def _check(options: dict[str, Any]) -> None:
    for name in options:
        if name not in OPTION_NAMES:
            close = difflib.get_close_matches(name, OPTION_NAMES, 1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise UsageError(f"{name!r} is not a session option; {hint}known are {', '.join(OPTION_NAMES)}")
