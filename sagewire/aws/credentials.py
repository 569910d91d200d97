"""AWS credentials as a value; where they come from is `sagewire.aws.credential_cache`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn

from sagewire.errors import UsageError

__all__ = ["Credentials"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key, its secret, and the session token of temporary credentials.

    Only the access key id is shown in a `repr`; it names the key and is not secret. Pickling is refused.
    """

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)

    def __deepcopy__(self, memo: dict[int, object]) -> Credentials:
        return self

    def __reduce__(self) -> NoReturn:
        raise UsageError(
            "AWS keys are not pickled. Use a profile or a role (profile_name=..., assume_role_session(...)): "
            "these are pickled as a recipe, and the other process finds the secrets itself"
        )
