"""The bearer token of SageMaker's OpenAI-compatible route, made without a network call.

The token is a presigned URL in disguise (AWS documentation, "realtime-endpoints-openai-compatible", and the token
generator of sagemaker-core): whoever holds it may call the account's endpoints in that region until it expires.
"""

from __future__ import annotations

import base64
from datetime import datetime
from urllib.parse import quote

from sagewire.aws.credentials import Credentials
from sagewire.aws.signing import ALGORITHM, Signer, amz_date
from sagewire.errors import UsageError

__all__ = ["MAX_EXPIRES", "TOKEN_PREFIX", "bearer_token"]

TOKEN_PREFIX = "sagemaker-api-key-"
MAX_EXPIRES = 43_200
_HOST = "sagemaker.amazonaws.com"
_EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def bearer_token(credentials: Credentials, region: str, *, expires: int = 3600, now: datetime | None = None) -> str:
    """Return a token for `Authorization: Bearer ...` on `/endpoints/{name}/openai/v1/chat/completions`.

    The caller needs `sagemaker:CallWithBearerToken` on `*` and `sagemaker:InvokeEndpoint` on the endpoint.

    Args:
        credentials: Credentials to sign with. The token dies with temporary credentials, whatever `expires` says.
        region: The endpoint's region; a token is refused in any other.
        expires: Seconds until the token dies, 1 to 43200.
        now: The time; the system clock's where omitted.

    Raises:
        UsageError: `expires` is out of range.
    """
    if not 1 <= expires <= MAX_EXPIRES:
        raise UsageError(f"expires={expires} must lie between 1 and {MAX_EXPIRES} seconds")
    timestamp = amz_date(now)
    scope = f"{credentials.access_key}/{timestamp[:8]}/{region}/sagemaker/aws4_request"
    query = {
        "Action": "CallWithBearerToken",
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": scope,
        "X-Amz-Date": timestamp,
        "X-Amz-Expires": str(expires),
        "X-Amz-SignedHeaders": "host",
    }
    if credentials.token:
        query["X-Amz-Security-Token"] = credentials.token
    # The order of the pairs is botocore's; the signature is over the sorted ones.
    pairs = [f"{name}={quote(value, safe='-_.~')}" for name, value in query.items()]
    canonical = f"POST\n/\n{'&'.join(sorted(pairs))}\nhost:{_HOST}\n\nhost\n{_EMPTY_SHA256}"
    signature, _ = Signer("sagemaker", region).signature(canonical, timestamp, credentials)
    url = f"{_HOST}/?{'&'.join(pairs)}&X-Amz-Signature={signature}&Version=1"
    return TOKEN_PREFIX + base64.b64encode(url.encode()).decode()
