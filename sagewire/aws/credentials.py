"""AWS credentials as a value; where they come from is `sagewire.aws.credential_cache`."""

from __future__ import annotations

from typing import NoReturn

from sagewire.errors import UsageError

__all__ = ["Credentials"]


class Credentials:
    """An access key, its secret, and the session token of temporary credentials.

    Only the access key id is shown in a `repr`; it names the key and is not secret. Pickling is refused. It is not
    a dataclass and has no `__dict__`, so that neither `dataclasses.asdict` nor `vars` lists the parts.
    """

    __slots__ = ("access_key", "secret_key", "token")

    def __init__(self, access_key: str, secret_key: str, token: str | None = None) -> None:
        self.access_key = access_key
        self.secret_key = secret_key
        self.token = token

    def __repr__(self) -> str:
        return f"Credentials(access_key={self.access_key!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Credentials) and self._parts == other._parts

    def __hash__(self) -> int:
        return hash(self._parts)

    @property
    def _parts(self) -> tuple[str, str, str | None]:
        return self.access_key, self.secret_key, self.token

    def __copy__(self) -> Credentials:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Credentials:
        return self

    def __reduce__(self) -> NoReturn:
        raise UsageError(
            "AWS keys are not pickled. Use a profile or a role (profile_name=..., assume_role_session(...)): "
            "these are pickled as a recipe, and the other process finds the secrets itself"
        )
