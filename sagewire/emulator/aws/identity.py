"""Identities: accounts, access keys, roles, and the temporary credentials that roles give."""

from __future__ import annotations

import hashlib
import hmac
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

__all__ = [
    "ACCOUNT",
    "OTHER_ACCOUNT",
    "Credentials",
    "Identities",
    "IdentityError",
    "Role",
]

ACCOUNT = "111122223333"
OTHER_ACCOUNT = "444455556666"
# Recognisable as made up, and of the length real keys have.
ACCESS_KEY = "AKIAEMULATORUSER0001"
SECRET_KEY = "emulator/secret/of/no/value/anywhere+001"
TEMPORARY_SECONDS = 3600


class IdentityError(Exception):
    """A caller that could not be identified, or lacks a permission.

    Args:
        code: AWS's error code in the wording of JSON services.
        message: AWS's message.
        status: The HTTP status.
    """

    def __init__(self, code: str, message: str, status: int = 403) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key and its owner.

    Args:
        access_key: The key's id.
        secret_key: The key itself.
        account: The account it belongs to.
        arn: The user or the assumed role.
        session_token: Temporary credentials have one.
        expires: Seconds since the epoch; `None` for a user's own key.
        user_id: AWS's unique id of the caller.
    """

    access_key: str
    secret_key: str = field(repr=False)
    account: str
    arn: str
    session_token: str | None = field(default=None, repr=False)
    expires: float | None = None
    user_id: str = "AIDAEMULATORUSER00001"


@dataclass(frozen=True, slots=True)
class Role:
    """A role that callers may assume.

    Args:
        arn: `arn:aws:iam::<account>:role/<name>`.
        trusts: The accounts whose callers may assume it; empty means every account.
        external_id: The external id a caller has to name, if the role demands one.
        max_seconds: The longest session it allows.
        may_invoke: False refuses its sessions at the endpoints, as a role without `sagemaker:InvokeEndpoint` is.
        may_describe: False refuses its sessions at the control plane.
    """

    arn: str
    trusts: tuple[str, ...] = (ACCOUNT,)
    external_id: str | None = None
    max_seconds: int = 3600
    may_invoke: bool = True
    may_describe: bool = True

    @property
    def account(self) -> str:
        """The account that owns the role."""
        return self.arn.split(":")[4]

    @property
    def name(self) -> str:
        """The role's name, without its path."""
        return self.arn.rpartition("/")[2]


DEFAULT_ROLE = Role(f"arn:aws:iam::{OTHER_ACCOUNT}:role/emulator-invoker")


class Identities:
    """Every access key the emulator knows.

    Args:
        clock: Seconds since the epoch.
        roles: Roles besides the default one.
    """

    def __init__(self, clock: Callable[[], float], roles: Iterable[Role] = ()) -> None:
        self._clock = clock
        self._numbers = itertools.count(1)
        self.roles = {role.arn: role for role in (DEFAULT_ROLE, *roles)}
        self.user = Credentials(ACCESS_KEY, SECRET_KEY, ACCOUNT, f"arn:aws:iam::{ACCOUNT}:user/emulator")
        self._keys = {self.user.access_key: self.user}

    def add(self, credentials: Credentials) -> None:
        """Make an access key known."""
        self._keys[credentials.access_key] = credentials

    def find(self, access_key: str, session_token: str | None) -> Credentials:
        """Return the credentials of an access key.

        Raises:
            IdentityError: The key is unknown, its session token is wrong, or it has expired.
        """
        found = self._keys.get(access_key)
        if found is None or not _same(found.session_token, session_token):
            raise IdentityError("UnrecognizedClientException", "The security token included in the request is invalid.")
        if found.expires is not None and self._clock() >= found.expires:
            raise IdentityError("ExpiredTokenException", "The security token included in the request is expired")
        return found

    def may_invoke(self, caller: Credentials) -> bool:
        """Return whether the caller's role may call endpoints."""
        return all(role.may_invoke for role in self._roles_of(caller))

    def may_describe(self, caller: Credentials) -> bool:
        """Return whether the caller's role may ask the control plane."""
        return all(role.may_describe for role in self._roles_of(caller))

    def _roles_of(self, caller: Credentials) -> list[Role]:
        if ":assumed-role/" not in caller.arn:
            return []
        name = caller.arn.split("/")[1]
        return [role for role in self.roles.values() if (role.account, role.name) == (caller.account, name)]

    def issue(self, role: Role, session_name: str, seconds: float = TEMPORARY_SECONDS) -> Credentials:
        """Return new temporary credentials of a role, of any lifetime: no rule of STS is checked here."""
        number = next(self._numbers)
        secret = hashlib.sha256(f"{role.arn}/{session_name}/{number}".encode()).hexdigest()
        issued = Credentials(
            access_key=f"ASIAEMULATOR{number:08d}",
            secret_key=secret[:40],
            account=role.account,
            arn=f"arn:aws:sts::{role.account}:assumed-role/{role.name}/{session_name}",
            session_token=f"emulator-session-{secret}",
            expires=self._clock() + seconds,
            user_id=f"AROAEMULATORROLE00001:{session_name}",
        )
        self.add(issued)
        return issued

    def issue_token(self, user: Credentials, seconds: float) -> Credentials:
        """Return new temporary credentials of a user, as GetSessionToken does."""
        number = next(self._numbers)
        secret = hashlib.sha256(f"{user.arn}/{number}".encode()).hexdigest()
        issued = replace(
            user,
            access_key=f"ASIAEMULATOR{number:08d}",
            secret_key=secret[:40],
            session_token=f"emulator-session-{secret}",
            expires=self._clock() + seconds,
        )
        self.add(issued)
        return issued

    def now(self) -> float:
        """Return the time, in seconds since the epoch."""
        return self._clock()


def _same(expected: str | None, given: str | None) -> bool:
    if expected is None or given is None:
        return expected is given
    return hmac.compare_digest(expected.encode(), given.encode())
