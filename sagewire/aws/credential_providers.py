"""How to come by credentials, as values that can be compared, shown and pickled; no secrets but in `StaticKeys`.

A recipe is turned into a botocore session only when its credentials are needed.
"""

from __future__ import annotations

import logging
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagewire.aws.credentials import Credentials
from sagewire.aws.lookup_errors import credential_errors
from sagewire.errors import AccessDenied, UsageError
from sagewire.types.secret import Secret, hide, reveal

if TYPE_CHECKING:
    from sagewire.aws.refreshing import Fetched

__all__ = ["AssumeRole", "DefaultChain", "Existing", "Profile", "Recipe", "StaticKeys", "WebIdentity"]


_log = logging.getLogger("sagewire.aws")

# How long a caller's own credentials count as those of the role.
_OWN_SECONDS = 900.0


@cache
def _data_loader(data_path: str | None) -> Any:
    # Shared, because a loader keeps what it has parsed: the API model of `sagemaker` alone takes 100 ms.
    import botocore.loaders

    return botocore.loaders.create_loader(data_path)


@dataclass(frozen=True)
class Recipe(ABC):
    """A way to come by credentials.

    Args:
        region_name: The region of clients made with them; else as boto3 finds it.
    """

    region_name: str | None = field(default=None, kw_only=True)

    @abstractmethod
    def build(self) -> Any:
        """Return a new botocore session."""

    def keys(self) -> Credentials | None:
        """Return the keys where they are known without asking anyone, so that botocore need not be imported."""
        return None

    def _new_session(self, profile: str | None = None) -> Any:
        import botocore.session

        session = botocore.session.Session(profile=profile)
        session.register_component("data_loader", _data_loader(session.get_config_variable("data_path")))
        if self.region_name:
            session.set_config_variable("region", self.region_name)
        return session


@dataclass(frozen=True)
class DefaultChain(Recipe):
    """Whatever boto3 finds: environment, files, SSO, web identity, container and instance metadata."""

    def build(self) -> Any:
        """Return a new botocore session."""
        return self._new_session()


@dataclass(frozen=True)
class Profile(Recipe):
    """A profile of the AWS configuration files."""

    name: str

    def build(self) -> Any:
        """Return a new botocore session; raise `UsageError` if the profile does not exist."""
        with credential_errors():
            session = self._new_session(self.name)
            session.get_scoped_config()
        return session


@dataclass(frozen=True)
class StaticKeys(Recipe):
    """Keys given by hand; refuses to be pickled."""

    credentials: Credentials

    def build(self) -> Any:
        """Return a new botocore session."""
        session = self._new_session()
        keys = self.credentials
        session.set_credentials(keys.access_key, keys.secret_key, keys.token)
        return session

    def keys(self) -> Credentials:
        """Return the keys."""
        return self.credentials


@dataclass(frozen=True)
class Existing(Recipe):
    """A session made by the caller; pickled only if that session can be."""

    session: Any = field(repr=False)

    def build(self) -> Any:
        """Return the botocore session inside; boto3's has one as `_session`."""
        session = getattr(self.session, "_session", self.session)
        if not hasattr(session, "create_client") or not hasattr(session, "get_credentials"):
            raise UsageError(
                f"session={type(self.session).__name__} is not a session; pass one of sagewire's session factories, "
                "a boto3.Session or a botocore session"
            )
        return session

    def __reduce__(self) -> tuple[object, ...]:
        raise UsageError(
            "a boto3 or botocore session holds secrets and cannot be pickled; pass profile_name=, or a session made by "
            "assume_role_session or profile_session, which is pickled as a recipe"
        )


@dataclass(frozen=True)
class _Temporary(Recipe):
    """What the two ways to take on a role share: STS is asked, and asked again before the answer expires."""

    role_arn: str
    session_name: str = field(default="sagewire", kw_only=True)
    duration: int = field(default=3600, kw_only=True)
    policy: str | None = field(default=None, kw_only=True)
    sts_endpoint: str | None = field(default=None, kw_only=True)

    method = ""

    def build(self) -> Any:
        """Return a new botocore session whose credentials refresh themselves."""
        from sagewire.aws.refreshing import RefreshingCredentials

        session = self._new_session()
        session._credentials = RefreshingCredentials(self._fetch, self.method)
        return session

    def _fetch(self) -> Fetched:
        with credential_errors(f"assuming the role {self.role_arn}"):
            try:
                answer = self._ask(self._request())["Credentials"]
            except Exception as error:
                own = self._already_ours(error)
                if own is None:
                    raise
                return own
        expires = answer["Expiration"]
        seconds = expires.timestamp() if isinstance(expires, datetime) else float(expires)
        return answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"], seconds

    def _request(self) -> dict[str, Any]:
        request: dict[str, Any] = {
            "RoleArn": self.role_arn,
            "RoleSessionName": self.session_name,
            "DurationSeconds": self.duration,
        }
        if self.policy:
            request["Policy"] = self.policy
        return request

    @abstractmethod
    def _ask(self, request: dict[str, Any]) -> Mapping[str, Any]: ...

    def _already_ours(self, refusal: Exception) -> Fetched | None:
        """Return the caller's own credentials if they are those of the role, which AWS refuses to give once more."""
        return None


@dataclass(frozen=True)
class AssumeRole(_Temporary):
    """A role of this or another account, taken on with the credentials of `source`."""

    source: Recipe = field(default_factory=DefaultChain, kw_only=True)
    external_id: str | None = field(default=None, kw_only=True)
    tags: tuple[tuple[str, str], ...] = field(default=(), kw_only=True)
    mfa_serial: str | None = field(default=None, kw_only=True)
    mfa: Callable[[], str] | None = field(default=None, repr=False, kw_only=True)

    method = "assume-role"

    def _already_ours(self, refusal: Exception) -> Fetched | None:
        from botocore.exceptions import ClientError

        if not isinstance(refusal, ClientError) or refusal.response.get("Error", {}).get("Code") != "AccessDenied":
            return None
        session = self.source.build()
        client = self._sts(session)
        try:
            identity = client.get_caller_identity()["Arn"]
        except Exception:
            return None
        finally:
            client.close()
        if not _is_role(identity, self.role_arn):
            return None
        if self.policy or self.tags:
            raise UsageError(
                f"{self.role_arn} is the role this program runs as already, and AWS refuses to give it once more "
                "with its own policy or tags: drop the role, or have its trust policy name itself"
            ) from refusal
        _log.info("%s is the role this program runs as already; its credentials are used as they are", self.role_arn)
        credentials = session.get_credentials()
        frozen = credentials.get_frozen_credentials()
        # They renew themselves, so they are read again soon.
        expiry = getattr(credentials, "_expiry_time", None)
        until = time.time() + _OWN_SECONDS
        expires = min(until, expiry.timestamp()) if isinstance(expiry, datetime) else until
        return frozen.access_key, frozen.secret_key, frozen.token, expires

    def _sts(self, session: Any) -> Any:
        region = self.region_name or session.get_config_variable("region") or os.environ.get("AWS_REGION")
        return session.create_client("sts", region_name=region, endpoint_url=self.sts_endpoint)

    def _ask(self, request: dict[str, Any]) -> Mapping[str, Any]:
        if self.external_id:
            request["ExternalId"] = self.external_id
        if self.tags:
            request["Tags"] = [{"Key": key, "Value": value} for key, value in self.tags]
        if self.mfa is not None:
            request |= {"SerialNumber": self.mfa_serial, "TokenCode": self.mfa()}
        client = self._sts(self.source.build())
        try:
            return client.assume_role(**request)  # type: ignore[no-any-return]
        finally:
            client.close()


def _is_role(identity: str, role_arn: str) -> bool:
    """Return whether a caller's ARN is a session of a role.

    Example:
        >>> _is_role("arn:aws:sts::1:assumed-role/reader/session", "arn:aws:iam::1:role/team/reader")
        True
    """
    kind, _, rest = identity.rpartition(":")[2].partition("/")
    account, name = role_arn.split(":")[4], role_arn.rpartition("/")[2]
    return kind == "assumed-role" and identity.split(":")[4] == account and rest.partition("/")[0] == name


@dataclass(frozen=True)
class WebIdentity(_Temporary):
    """A role taken on with an OpenID Connect token, as on EKS or in GitHub Actions.

    Exactly one of `token_file`, `token` and `token_source` is set. A file and a callable are read again at each
    refresh, because such tokens are short-lived themselves.
    """

    token_file: str | None = field(default=None, kw_only=True)
    token: str | Secret | None = field(default=None, repr=False, kw_only=True)
    token_source: Callable[[], str] | None = field(default=None, repr=False, kw_only=True)

    method = "assume-role-with-web-identity"

    def __post_init__(self) -> None:
        object.__setattr__(self, "token", hide(self.token))

    def _ask(self, request: dict[str, Any]) -> Mapping[str, Any]:
        from botocore import UNSIGNED
        from botocore.config import Config

        session = self._new_session()
        region = session.get_config_variable("region") or os.environ.get("AWS_REGION") or "us-east-1"
        client = session.create_client(
            "sts", region_name=region, endpoint_url=self.sts_endpoint, config=Config(signature_version=UNSIGNED)
        )
        try:
            return client.assume_role_with_web_identity(**request, WebIdentityToken=self._read())  # type: ignore[no-any-return]
        finally:
            client.close()

    def _read(self) -> str:
        if self.token_source is not None:
            return self.token_source()
        if self.token_file is None:
            return str(reveal(self.token) or "")
        try:
            return Path(self.token_file).read_text("utf-8").strip()
        except OSError as error:
            raise AccessDenied(
                f"the web identity token file {self.token_file} cannot be read: {error.strerror}",
                code="NoCredentials",
                fault="client",
            ) from None

    def __reduce__(self) -> str | tuple[object, ...]:
        if self.token is not None:
            raise UsageError("a web identity token is a secret and is not pickled; give the token file's name instead")
        return super().__reduce__()
