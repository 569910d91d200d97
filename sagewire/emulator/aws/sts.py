"""The part of STS that cross-account callers need: a query API that answers in XML."""

from __future__ import annotations

import base64
import json
import re
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from sagewire.emulator.aws.identity import Credentials, Identities, IdentityError, Role
from sagewire.emulator.aws.signatures import verify
from sagewire.emulator.http_values import Request, Response

__all__ = ["ACTIONS", "handle"]

NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
MIN_SECONDS = 900
DEFAULT_SECONDS = 3600
# Of a role that another role's session assumes, whatever the role itself allows.
CHAINED_SECONDS = 3600
DEFAULT_TOKEN_SECONDS = 43_200
MAX_TOKEN_SECONDS = 129_600
WEB_IDENTITY_AUDIENCE = "sts.amazonaws.com"
_ROLE_ARN = re.compile(r"arn:aws[\w-]*:iam::\d{12}:role/.+")
_SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}")
# STS says the same things in other words than the JSON services.
_CODES = {
    "UnrecognizedClientException": "InvalidClientTokenId",
    "ExpiredTokenException": "ExpiredToken",
    "InvalidSignatureException": "SignatureDoesNotMatch",
    "MissingAuthenticationTokenException": "MissingAuthenticationToken",
    "IncompleteSignatureException": "IncompleteSignature",
}


def handle(request: Request, identities: Identities, clock: Callable[[], float], region: str) -> Response:
    """Answer one STS request."""
    form = dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True)) | request.query
    action = form.get("Action", "")
    try:
        if action not in ACTIONS:
            raise IdentityError("InvalidAction", f"Could not find operation {action} for version 2011-06-15", 400)
        caller = None
        if action != "AssumeRoleWithWebIdentity":
            # The global endpoint signs for us-east-1, regional ones for their own region.
            scope_region = "us-east-1" if "/us-east-1/sts/" in request.headers.get("authorization", "") else region
            caller = verify(request, identities, clock, region=scope_region, services=("sts",))
        return _xml(
            200, f"{action}Response", f"<{action}Result>{ACTIONS[action](form, caller, identities)}</{action}Result>"
        )
    except IdentityError as error:
        code = _CODES.get(error.code, error.code)
        inner = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{escape(error.message)}</Message></Error>"
        return _xml(error.status, "ErrorResponse", inner)


def _xml(status: int, root: str, inner: str) -> Response:
    request_id = str(uuid.uuid4())
    tail = f"<RequestId>{request_id}</RequestId>"
    if status == 200:
        tail = f"<ResponseMetadata>{tail}</ResponseMetadata>"
    body = f'<{root} xmlns="{NAMESPACE}">{inner}{tail}</{root}>'
    return Response(status, {"Content-Type": "text/xml", "x-amzn-RequestId": request_id}, body.encode())


def _assume_role(form: Mapping[str, str], caller: Credentials | None, identities: Identities) -> str:
    if caller is None:
        raise IdentityError("MissingAuthenticationTokenException", "Request is missing Authentication Token")
    seconds = _check(form)
    role = identities.roles.get(form["RoleArn"])
    if role is None or (role.trusts and caller.account not in role.trusts) or not _external_id_fits(role, form):
        raise IdentityError(
            "AccessDenied",
            f"User: {caller.arn} is not authorized to perform: sts:AssumeRole on resource: {form['RoleArn']}",
        )
    if ":assumed-role/" in caller.arn and seconds > CHAINED_SECONDS:
        text = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"
        raise IdentityError("ValidationError", text, 400)
    _check_limit(role, seconds)
    return _assumed(identities.issue(role, form["RoleSessionName"], seconds))


def _assume_role_with_web_identity(form: Mapping[str, str], caller: Credentials | None, identities: Identities) -> str:
    seconds = _check(form)
    role = identities.roles.get(form["RoleArn"])
    claims = _claims(form.get("WebIdentityToken", ""), identities.now())
    if role is None:
        raise IdentityError("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
    _check_limit(role, seconds)
    issued = identities.issue(role, form["RoleSessionName"], seconds)
    return _assumed(issued) + f"<SubjectFromWebIdentityToken>{escape(str(claims['sub']))}</SubjectFromWebIdentityToken>"


def _get_caller_identity(form: Mapping[str, str], caller: Credentials | None, identities: Identities) -> str:
    if caller is None:
        raise IdentityError("MissingAuthenticationTokenException", "Request is missing Authentication Token")
    return f"<Arn>{caller.arn}</Arn><UserId>{caller.user_id}</UserId><Account>{caller.account}</Account>"


def _get_session_token(form: Mapping[str, str], caller: Credentials | None, identities: Identities) -> str:
    if caller is None:
        raise IdentityError("MissingAuthenticationTokenException", "Request is missing Authentication Token")
    if caller.session_token is not None:
        raise IdentityError("AccessDenied", "Cannot call GetSessionToken with session credentials")
    duration = form.get("DurationSeconds", str(DEFAULT_TOKEN_SECONDS))
    if not duration.isdigit() or not MIN_SECONDS <= int(duration) <= MAX_TOKEN_SECONDS:
        raise _invalid(duration, "durationSeconds", f"Member must be between {MIN_SECONDS} and {MAX_TOKEN_SECONDS}")
    return _credentials(identities.issue_token(caller, int(duration)))


ACTIONS: dict[str, Callable[[Mapping[str, str], Credentials | None, Identities], str]] = {
    "AssumeRole": _assume_role,
    "AssumeRoleWithWebIdentity": _assume_role_with_web_identity,
    "GetCallerIdentity": _get_caller_identity,
    "GetSessionToken": _get_session_token,
}


def _external_id_fits(role: Role, form: Mapping[str, str]) -> bool:
    return role.external_id is None or form.get("ExternalId") == role.external_id


def _check(form: Mapping[str, str]) -> int:
    arn, name = form.get("RoleArn", ""), form.get("RoleSessionName", "")
    duration = form.get("DurationSeconds", str(DEFAULT_SECONDS))
    if not _ROLE_ARN.fullmatch(arn):
        raise IdentityError("ValidationError", f"{arn or 'RoleArn'} is invalid", 400)
    if not _SESSION_NAME.fullmatch(name):
        raise _invalid(name, "roleSessionName", "Member must satisfy regular expression pattern: [\\w+=,.@-]*")
    if not duration.isdigit() or int(duration) < MIN_SECONDS:
        raise _invalid(duration, "durationSeconds", f"Member must have value greater than or equal to {MIN_SECONDS}")
    return int(duration)


def _check_limit(role: Role, seconds: int) -> None:
    if seconds > role.max_seconds:
        text = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        raise IdentityError("ValidationError", text, 400)


def _invalid(value: str, member: str, constraint: str) -> IdentityError:
    text = f"1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {constraint}"
    return IdentityError("ValidationError", text, 400)


def _claims(token: str, now: float) -> Mapping[str, Any]:
    """Return what a web identity token says of itself; all of it is checked but the signature, for want of a key."""
    parts = token.split(".")
    try:
        header, claims = (json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in parts[:2])
        well_formed = len(parts) == 3 and all(parts[:2]) and "alg" in header and isinstance(claims, dict)
    except (ValueError, TypeError):
        well_formed = False
    if not well_formed:
        raise IdentityError("InvalidIdentityToken", "The ID Token provided is not a valid JWT.", 400)
    for name in ("sub", "aud", "exp"):
        if not claims.get(name):
            raise IdentityError("InvalidIdentityToken", f"Missing a required claim: {name}", 400)
    audience, expires = claims["aud"], claims["exp"]
    if WEB_IDENTITY_AUDIENCE not in (audience if isinstance(audience, list) else [audience]):
        raise IdentityError("InvalidIdentityToken", "Incorrect token audience", 400)
    if isinstance(expires, bool) or not isinstance(expires, int | float):
        raise IdentityError("InvalidIdentityToken", "The claim exp is not a number of seconds", 400)
    if expires <= now:
        raise IdentityError(
            "ExpiredTokenException",
            f"Token expired: current date/time {int(now)} must be before the expiration date/time {int(expires)}",
            400,
        )
    return dict(claims)


def _assumed(issued: Credentials) -> str:
    user = f"<AssumedRoleUser><AssumedRoleId>{issued.user_id}</AssumedRoleId><Arn>{issued.arn}</Arn></AssumedRoleUser>"
    return _credentials(issued) + user


def _credentials(issued: Credentials) -> str:
    expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(issued.expires or 0))
    return (
        f"<Credentials><AccessKeyId>{issued.access_key}</AccessKeyId><SecretAccessKey>{issued.secret_key}</SecretAccessKey>"
        f"<SessionToken>{issued.session_token}</SessionToken><Expiration>{expires}</Expiration></Credentials>"
    )
