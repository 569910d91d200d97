"""What goes wrong while credentials and settings are looked up, as sagewire's own errors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

from sagewire.errors import (
    AccessDenied,
    CredentialsExpired,
    EndpointError,
    PayloadTooLarge,
    SagewireError,
    Throttled,
    UsageError,
)

__all__ = ["BAD_KEYS", "CLOCK", "NO_CREDENTIALS", "UNREACHABLE", "credential_errors", "translate"]

NO_CREDENTIALS = (
    "no AWS credentials were found; run `aws configure` or `aws sso login`, set AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, or pass session= or profile_name="
)

BAD_KEYS = (
    "these keys do not exist any more, belong to another partition, or to a region that the account has not enabled; "
    "`aws sts get-caller-identity` shows whose they are"
)
CLOCK = "check this machine's clock, and set it, for example with NTP"
UNREACHABLE = "check that the region is right, and the network, DNS, proxies and VPC endpoints"

_DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthFailure",
        "IDPRejectedClaim",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidIdentityToken",
        "InvalidSignatureException",
        "NotAuthorized",
        "OptInRequired",
        "RegionDisabledException",
        "SignatureDoesNotMatch",
        "UnauthorizedOperation",
        "UnrecognizedClientException",
    }
)
_TOO_LARGE = frozenset({"EntityTooLarge", "RequestEntityTooLarge", "PayloadTooLarge"})
_CURES = {
    "UnrecognizedClientException": BAD_KEYS,
    "InvalidClientTokenId": BAD_KEYS,
    "InvalidAccessKeyId": BAD_KEYS,
    "AuthorizationHeaderMalformed": "the bucket is in another region: give region_name= of the bucket",
    "PermanentRedirect": "the bucket is in another region: give region_name= of the bucket",
    "NoSuchBucket": "check the bucket's name",
    "InvalidIdentityToken": "the token is not (or no longer) one that the role trusts",
}
_CLOCK_WORDS = re.compile(r"Signature (expired|not yet current)")
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "ExpiredIdentityToken", "RequestExpired"})
_THROTTLED = frozenset({"Throttling", "ThrottlingException", "RequestLimitExceeded", "IDPCommunicationError"})


@contextmanager
def credential_errors(doing: str = "") -> Iterator[None]:
    """Turn botocore's exceptions into sagewire's.

    Args:
        doing: The step that failed, for the message: "assuming the role ...".
    """
    try:
        yield
    except SagewireError:
        raise
    except Exception as error:
        translated = translate(error, doing)
        if translated is None:
            raise
        # The caller's mistake is told by the message; botocore's own frames would only hide it.
        raise translated from (None if isinstance(translated, UsageError) else error)


def translate(error: Exception, doing: str = "") -> SagewireError | None:
    """Return sagewire's error for one of botocore's, `None` for an exception that is not botocore's."""
    from botocore import exceptions

    prefix = f"{doing}: " if doing else ""
    if not isinstance(error, (exceptions.BotoCoreError, exceptions.ClientError)):
        return _from_python(error, prefix) if _in_botocore(error) else None
    if isinstance(error, exceptions.ClientError):
        return _from_response(error, prefix)
    if isinstance(error, exceptions.ProfileNotFound):
        return UsageError(f"{prefix}{error}; `aws configure list-profiles` lists those there are")
    sso = (exceptions.SSOTokenLoadError, exceptions.UnauthorizedSSOTokenError, exceptions.TokenRetrievalError)
    if isinstance(error, sso):
        return CredentialsExpired(
            f"{prefix}{error} Run `aws sso login` for this profile", code=type(error).__name__, fault="client"
        )
    if isinstance(error, exceptions.NoRegionError):
        return UsageError(f"{prefix}no AWS region; pass region_name= or set AWS_REGION")
    if isinstance(error, exceptions.NoCredentialsError):
        return AccessDenied(f"{prefix}{NO_CREDENTIALS}", code="NoCredentials", fault="client")
    credentials = (
        exceptions.PartialCredentialsError,
        exceptions.CredentialRetrievalError,
        exceptions.MetadataRetrievalError,
        exceptions.NoAuthTokenError,
        exceptions.RefreshWithMFAUnsupportedError,
    )
    if isinstance(error, credentials):
        words = str(error).rstrip(": ")
        return AccessDenied(f"{prefix}{words} ({_cure_of(error)})", code=type(error).__name__, fault="client")
    if isinstance(error, exceptions.ProxyConnectionError):
        return EndpointError(
            f"{prefix}{error} (check HTTPS_PROXY, or the proxies of Config)",
            code="ProxyConnectionError",
            retry_safe=True,
        )
    transient = (
        exceptions.HTTPClientError,
        exceptions.ConnectionError,
        exceptions.IncompleteReadError,
        exceptions.ChecksumError,
        exceptions.FlexibleChecksumError,
    )
    if isinstance(error, transient):
        unreachable = (exceptions.EndpointConnectionError, exceptions.ConnectTimeoutError)
        cure = f" ({UNREACHABLE})" if isinstance(error, unreachable) else ""
        return EndpointError(f"{prefix}{error}{cure}", code=type(error).__name__, retry_safe=True)
    cure = " (check the AWS config and credentials files)" if isinstance(error, _of_files()) else ""
    return UsageError(f"{prefix}{error}{cure}")


def _of_files() -> tuple[type[Exception], ...]:
    from botocore import exceptions

    return exceptions.ConfigParseError, exceptions.InvalidConfigError


def _cure_of(error: Exception) -> str:
    """Return what to do about credentials that cannot be had."""
    fields: dict[str, object] = getattr(error, "kwargs", {})
    provider = str(fields.get("provider", ""))
    if "missing" in str(error) and provider:
        return "an access key and its secret go together; give both in the same place"
    if provider == "custom-process":
        return "run the profile's credential_process by hand to see why"
    if provider == "container-role":
        return "AWS_CONTAINER_CREDENTIALS_FULL_URI or _RELATIVE_URI names a service that does not answer"
    return "`aws sts get-caller-identity` tells whether other programs can use them"


def _in_botocore(error: Exception) -> bool:
    """Return whether an exception was raised by botocore's code, or below it."""
    at = error.__traceback__
    while at is not None:
        if str(at.tb_frame.f_globals.get("__name__")).startswith("botocore."):
            return True
        at = at.tb_next
    return False


def _from_python(error: Exception, prefix: str) -> SagewireError | None:
    """Return the error for what botocore lets through as it is."""
    if isinstance(error, json.JSONDecodeError):
        # A credential process prints the keys.
        error.doc = ""
        words = "the profile's credential_process did not print JSON; run it by hand to see what it prints"
        return AccessDenied(f"{prefix}{words}", code="CredentialRetrievalError", fault="client")
    if isinstance(error, OSError) and error.filename is not None:
        words = f"{error.filename} cannot be used: {error.strerror}; the environment or the profile names it"
        return AccessDenied(f"{prefix}{words}", code="CredentialRetrievalError", fault="client")
    if isinstance(error, RuntimeError) and "still expired" in str(error):
        words = f"new credentials were given out that have expired already; {CLOCK}, or whatever keeps them in a cache"
        return CredentialsExpired(f"{prefix}{words}", code="ExpiredToken", fault="client")
    if isinstance(error, ValueError) and str(error).startswith("Invalid endpoint"):
        cure = "it comes from endpoint_url=, AWS_ENDPOINT_URL, one of its kin, or the profile"
        return UsageError(f"{prefix}{error}; {cure}")
    return None


def _from_response(error: Exception, prefix: str) -> EndpointError:
    response = getattr(error, "response", {})
    # S3 and STS send the token back that has expired, and what looks through an exception finds it.
    for name in [name for name in response.get("Error", {}) if name.startswith("Token")]:
        del response["Error"][name]
    fields, metadata = response.get("Error", {}), response.get("ResponseMetadata", {})
    code, status = fields.get("Code"), metadata.get("HTTPStatusCode")
    kind: type[EndpointError] = EndpointError
    retry_safe = False
    if code in _EXPIRED:
        kind = CredentialsExpired
    elif code in _THROTTLED:
        kind, retry_safe = Throttled, True
    elif code in _DENIED or status in (401, 403):
        kind = AccessDenied
    elif code in _TOO_LARGE or status == 413:
        kind = PayloadTooLarge
    elif isinstance(status, int) and status >= 500:
        retry_safe = True
    cure = f" ({_CURES[code]})" if code in _CURES else ""
    if code == "RequestTimeTooSkewed" or _CLOCK_WORDS.match(str(fields.get("Message"))):
        cure = f" ({CLOCK})"
    return kind(
        f"{prefix}{fields.get('Message') or error}{cure}",
        code=code,
        status=status,
        request_id=metadata.get("RequestId"),
        fault="service" if retry_safe else "client",
        retry_safe=retry_safe,
    )
