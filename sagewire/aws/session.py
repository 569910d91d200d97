"""Session factories: who you are on AWS, with credentials that refresh themselves.

Everything here returns a `Session`, which is taken as `session=` wherever sagewire takes one, makes boto3-style
clients itself, and can be handed to boto3 as `boto3.Session(botocore_session=...)`.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

from sagewire._forks import reset_in_child
from sagewire._names import explains_arguments
from sagewire.aws.credential_cache import BotocoreSource, CredentialSource, StaticSource
from sagewire.aws.credential_providers import (
    AssumeRole,
    DefaultChain,
    Existing,
    Profile,
    Recipe,
    StaticKeys,
    WebIdentity,
)
from sagewire.aws.credentials import Credentials
from sagewire.errors import UsageError

__all__ = [
    "Session",
    "as_session",
    "assume_role_session",
    "default_session",
    "named_session",
    "profile_session",
    "static_session",
    "web_identity_session",
]


class Session:
    """Credentials and a region, found when they are first needed.

    Anything a botocore session can do, this can: unknown attributes are looked up on `botocore_session`.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self._botocore: Any = None
        self._source: CredentialSource | None = None
        self.reset_after_fork()
        reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Forget the lock; another thread of the parent may have held it."""
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"Session({self.recipe!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return Session, (self.recipe,)

    def __deepcopy__(self, memo: dict[int, Any]) -> Session:
        # Shared rather than copied: one session refreshes once, and secrets stay where they are.
        return self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "_lock" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.botocore_session, name)

    @property
    def botocore_session(self) -> Any:
        """The botocore session, made on first use."""
        if self._botocore is None:
            with self._lock:
                if self._botocore is None:
                    self._botocore = self.recipe.build()
        return self._botocore

    @property
    def region_name(self) -> str | None:
        """The region of clients made by this session, `None` if none is configured."""
        given = self.recipe.region_name
        # Lambda and the other AWS SDKs go by AWS_REGION; botocore knows AWS_DEFAULT_REGION only. A session that
        # made by the caller is asked first: its region may have been given by hand.
        environment = os.environ.get("AWS_REGION")
        if given or (environment and not isinstance(self.recipe, Existing)):
            return given or environment
        region = self.botocore_session.get_config_variable("region") or environment
        return str(region) if region else None

    def client(self, service_name: str, **arguments: Any) -> Any:
        """Return a client as `boto3.Session.client` does; the arguments are those of botocore's `create_client`."""
        arguments.setdefault("region_name", self.region_name)
        return self.botocore_session.create_client(service_name, **arguments)

    @property
    def source(self) -> CredentialSource:
        """Where transports get current credentials from; shared by all that use this session."""
        if self._source is None:
            with self._lock:
                if self._source is None:
                    keys = self.recipe.keys()
                    self._source = StaticSource(keys) if keys else BotocoreSource(self._load, self._reload)
        return self._source

    def _load(self) -> Any:
        return self.botocore_session.get_credentials()

    def _reload(self) -> Any:
        return self.botocore_session.get_component("credential_provider").load_credentials()


SessionLike = Any
"""A `Session`, a boto3 or botocore session, a profile's name, or `None` for boto3's own search."""


def as_session(session: SessionLike = None, *, region_name: str | None = None) -> Session:
    """Return anything that says who you are as a `Session`.

    Args:
        session: A `Session`; the name of a profile; a boto3 or botocore session; a `sagemaker.Session`;
            `None` for boto3's own search.
        region_name: The region; a `Session` keeps its own.
    """
    if isinstance(session, Session):
        return session
    return Session(_as_recipe(session, region_name))


def _as_recipe(session: SessionLike, region_name: str | None = None) -> Recipe:
    if session is None:
        return DefaultChain(region_name=region_name)
    if isinstance(session, str):
        return Profile(session, region_name=region_name)
    if isinstance(session, Recipe):
        return session
    if isinstance(session, Session):
        # The session itself, not its recipe: what it has already fetched is used again.
        return _Shared(session, region_name=region_name)
    # A `sagemaker.Session` of the SageMaker SDK has a boto3 session inside.
    return Existing(getattr(session, "boto_session", session), region_name=region_name)


class _Shared(Existing):
    """A session of ours as the source of another, so that chained roles share fetched credentials."""

    def build(self) -> Any:
        """Return the botocore session inside."""
        return self.session.botocore_session

    def __repr__(self) -> str:
        return repr(self.session)

    def __reduce__(self) -> tuple[object, ...]:
        return _shared, (self.session, self.region_name)


def _shared(session: Session, region_name: str | None) -> _Shared:
    return _Shared(session, region_name=region_name)


def default_session(*, region_name: str | None = None) -> Session:
    """Return the identity that boto3 would find: environment, files, SSO, web identity, container or instance metadata.

    Args:
        region_name: The region; else as boto3 finds it.
    """
    return Session(DefaultChain(region_name=region_name))


def profile_session(profile_name: str, *, region_name: str | None = None) -> Session:
    """Return a profile of the AWS configuration files, SSO and `role_arn` with `source_profile` included.

    Args:
        profile_name: The name of the profile.
        region_name: The region; else the profile's own.
    """
    return Session(Profile(profile_name, region_name=region_name))


def static_session(
    aws_access_key_id: str,
    aws_secret_access_key: str,
    aws_session_token: str | None = None,
    *,
    region_name: str | None = None,
) -> Session:
    """Return fixed keys as a session; it refuses to be pickled, because the keys would travel with it.

    Args:
        aws_access_key_id: The key's id.
        aws_secret_access_key: The secret that goes with it.
        aws_session_token: The token that temporary credentials have besides.
        region_name: The region; else as boto3 finds it.

    Raises:
        UsageError: One of the first two is missing.
    """
    if not aws_access_key_id or not aws_secret_access_key:
        raise UsageError("give both aws_access_key_id and aws_secret_access_key")
    credentials = Credentials(aws_access_key_id, aws_secret_access_key, aws_session_token)
    return Session(StaticKeys(credentials, region_name=region_name))


def named_session(
    session: SessionLike = None,
    *,
    region_name: str | None = None,
    profile_name: str | None = None,
    aws_access_key_id: str | None = None,
    aws_secret_access_key: str | None = None,
    aws_session_token: str | None = None,
) -> SessionLike:
    """Return the session that the arguments of a boto3 client mean: keys, else a profile, else `session`.

    Args:
        session: Anything `as_session` takes.
        region_name: The region; else as boto3 finds it.
        profile_name: A profile of the AWS configuration.
        aws_access_key_id: The id of a static key.
        aws_secret_access_key: The secret that goes with it.
        aws_session_token: The token that temporary credentials have besides.
    """
    if aws_access_key_id and aws_secret_access_key:
        return static_session(aws_access_key_id, aws_secret_access_key, aws_session_token, region_name=region_name)
    if profile_name:
        return profile_session(profile_name, region_name=region_name)
    return session


@explains_arguments(
    **dict.fromkeys(("role", "arn", "RoleArn", "aws_role_arn"), "give the ARN first, or as role_arn="),
    region="use region_name=",
    ExternalId="use external_id=",
    DurationSeconds="use duration=",
    RoleSessionName="use session_name=",
    **dict.fromkeys(("session", "base_session", "boto_session"), "use source="),
    profile_name="use source=, the name of a profile or a session",
    serial_number="use mfa_serial=",
    token_code="use mfa=, a function that returns the code",
)
def assume_role_session(
    role_arn: str,
    *,
    region_name: str | None = None,
    external_id: str | None = None,
    session_name: str = "sagewire",
    duration: int = 3600,
    policy: str | Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    mfa_serial: str | None = None,
    mfa: Callable[[], str] | None = None,
    source: SessionLike = None,
    sts_endpoint: str | None = None,
) -> Session:
    """Return a session of a role, in this or another account; its credentials refresh themselves.

    To chain roles, give one such session as the `source` of the next; AWS then allows one hour at most.

    Args:
        role_arn: The role to take on.
        region_name: The region of the endpoints; else as boto3 finds it.
        external_id: The external id the role's owner demands.
        session_name: The name in the other account's CloudTrail, 2 to 64 characters.
        duration: Lifetime of the credentials in seconds, 900 to 43200.
        policy: An inline policy that narrows the role further, as JSON text or a mapping.
        tags: Session tags.
        mfa_serial: The device's serial number or ARN, if the role demands one.
        mfa: Returns the current code of that device; called at each refresh.
        source: The identity that takes on the role: a session, a profile's name, or `None` for boto3's own search.
        sts_endpoint: Another URL of STS.

    Raises:
        UsageError: An argument is out of range. What STS says comes up at the first call: `AccessDenied`.

    Example:
        >>> session = assume_role_session("arn:aws:iam::222222222222:role/endpoints", region_name="eu-west-1")
        >>> session.region_name
        'eu-west-1'
    """
    _check_role(role_arn, session_name, duration)
    if (mfa is None) != (mfa_serial is None):
        raise UsageError("mfa= (a callable that returns the code) and mfa_serial= (the device) go together; give both")
    return Session(
        AssumeRole(
            role_arn,
            region_name=region_name,
            external_id=external_id,
            session_name=session_name,
            duration=duration,
            policy=_policy_text(policy),
            tags=tuple((tags or {}).items()),
            mfa_serial=mfa_serial,
            mfa=mfa,
            source=_as_recipe(source, region_name),
            sts_endpoint=sts_endpoint,
        )
    )


def web_identity_session(
    role_arn: str,
    *,
    token_file: str | None = None,
    token: str | Callable[[], str] | None = None,
    region_name: str | None = None,
    session_name: str = "sagewire",
    duration: int = 3600,
    policy: str | Mapping[str, Any] | None = None,
    sts_endpoint: str | None = None,
) -> Session:
    """Return a session of a role taken on with an OpenID Connect token, as on EKS or in GitHub Actions.

    Args:
        role_arn: The role to take on.
        token_file: The file that holds the token; read again at each refresh.
        token: The token itself, or a callable that returns a current one.
        region_name: The region of the endpoints; else as boto3 finds it.
        session_name: The name in CloudTrail.
        duration: Lifetime of the credentials in seconds.
        policy: An inline policy that narrows the role further.
        sts_endpoint: Another URL of STS.
    """
    _check_role(role_arn, session_name, duration)
    if (token is None) == (token_file is None):
        raise UsageError("give either token_file= or token=")
    return Session(
        WebIdentity(
            role_arn,
            region_name=region_name,
            session_name=session_name,
            duration=duration,
            policy=_policy_text(policy),
            sts_endpoint=sts_endpoint,
            token_file=token_file,
            token=token if isinstance(token, str) else None,
            token_source=None if isinstance(token, str) else token,
        )
    )


def _check_role(role_arn: str, session_name: str, duration: int) -> None:
    if not role_arn.startswith("arn:") or ":role/" not in role_arn:
        raise UsageError(
            f"role_arn={role_arn!r} is not a role's ARN; it looks like arn:aws:iam::123456789012:role/name"
        )
    if not 2 <= len(session_name) <= 64:
        raise UsageError(f"session_name={session_name!r} must have 2 to 64 characters")
    if not 900 <= duration <= 43_200:
        raise UsageError(f"duration={duration} must lie between 900 and 43200 seconds")


def _policy_text(policy: str | Mapping[str, Any] | None) -> str | None:
    return policy if policy is None or isinstance(policy, str) else json.dumps(policy)
