"""The settings of keys and of the gateway itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from multiprocessing.context import get_spawning_popen
from typing import Annotated, Any, Self, SupportsIndex, get_args

import orjson
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from sagewire.errors import UsageError
from sagewire.gateway.durations import after

__all__ = ["MAX_BUDGET", "KeyConfig", "ModelLimits", "Seconds", "Section", "ServerConfig", "as_moment"]

# Dollars; in nanodollars it has 63 bits.
MAX_BUDGET = 1e9
# No timer takes more; that is 30 years.
MAX_SECONDS = 1e9
Seconds = Annotated[float, Field(gt=0, le=MAX_SECONDS)]


class Section(BaseModel):
    """The base of all sections: no unknown keys, no changes after loading, no secrets in messages."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, populate_by_name=True, allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse `true` for a number: it would be 1."""
        if isinstance(value, bool):
            annotation = cls.model_fields[info.field_name or ""].annotation
            kinds = {(get_args(kind) or (kind,))[0] for kind in get_args(annotation) or (annotation,)}
            if kinds & {int, float} and bool not in kinds:
                raise ValueError("should be a number")
        return value

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """The keys that the file has; validators fill in many more."""
        return [(name, value) for name, value in super().__repr_args__() if name in self.model_fields_set]

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        # A worker that is being started gets it through a pipe of its own, as multiprocessing's own keys do.
        if get_spawning_popen() is None:
            raise UsageError(
                "a gateway's configuration holds secrets and is never pickled; read the file again instead"
            )
        return super().__reduce_ex__(protocol)


def _checked_duration(duration: str | None) -> str | None:
    if duration is not None:
        try:
            after(duration)
        except UsageError as error:
            raise ValueError(str(error)) from None
    return duration


def as_moment(value: Any) -> Any:
    """Return the moment at which a key expires; a date means the end of that day, UTC.

    Args:
        value: A date or datetime, as such or as text in ISO 8601, or `None`.

    Raises:
        ValueError: It is something else: a number could be seconds, days or a year.
    """
    for read in (date.fromisoformat, datetime.fromisoformat) if isinstance(value, str) else ():
        with contextlib.suppress(ValueError):
            value = read(value)
            break
    if value is not None and not isinstance(value, date):
        raise ValueError("should be a date or a moment, for example 2027-01-31 or 2027-01-31T12:00:00Z")
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime.combine(value, time.max, UTC)
    return value


class ModelLimits(Section):
    """Limits of a key for one model."""

    requests_per_minute: int | None = Field(default=None, ge=1, description="Maximum requests per minute.")
    tokens_per_minute: int | None = Field(
        default=None, ge=1, description="Maximum tokens per minute, read and written."
    )


class KeyConfig(Section):
    """An API key out of the configuration file; further ones are kept in the database."""

    name: str = Field(min_length=1, description="Name of the key, in logs and accounts.")
    key: SecretStr | None = Field(default=None, description="The key; better from the environment.")
    sha256: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{64}$", description="The key's SHA-256, instead of the key."
    )
    models: list[str] | None = Field(
        default=None, description="Models it may use, also a pattern or names that fit one. Default: all."
    )
    expires: Annotated[datetime | None, BeforeValidator(as_moment)] = Field(
        default=None, description="A moment, or a date; the key is valid to its end."
    )
    requests_per_minute: int | None = Field(default=None, ge=1, description="Maximum requests per minute.")
    tokens_per_minute: int | None = Field(
        default=None, ge=1, description="Maximum tokens per minute, read and written."
    )
    max_budget: float | None = Field(
        default=None,
        ge=0,
        le=MAX_BUDGET,
        description="Maximum cost in dollars, by the prices of the models' deployments.",
    )
    budget_duration: str | None = Field(
        default=None, description="When the budget starts anew, for example `30d` or `1mo`. Default: never."
    )
    max_parallel_requests: int | None = Field(
        default=None, ge=1, description="Maximum requests at a time; needs one worker and SQLite."
    )
    model_limits: dict[str, ModelLimits] = Field(
        default_factory=dict, description="Further limits per minute for single models, by the models' names."
    )
    blocked: bool = Field(default=False, description="Refuse the key, and keep it.")
    metadata: dict[str, Any] = Field(default_factory=dict, description="Anything; shown by `/key/info`.")

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        if bool(self.key) == bool(self.sha256):
            raise ValueError("give either `key` or `sha256`")
        if self.budget_duration and self.max_budget is None:
            raise ValueError("budget_duration needs max_budget: the amount it is for")
        return self

    @field_validator("budget_duration")
    @classmethod
    def _known_duration(cls, duration: str | None) -> str | None:
        return _checked_duration(duration)

    @field_validator("metadata")
    @classmethod
    def _as_json(cls, metadata: dict[str, Any]) -> dict[str, Any]:
        try:
            # Somewhat deeper inside of the answers that show it.
            orjson.dumps([[[[metadata]]]])
        except TypeError:
            raise ValueError("should be texts, numbers, lists, and mappings with texts as keys, not too deep") from None
        return metadata

    @field_validator("expires")
    @classmethod
    def _with_zone(cls, moment: datetime | None) -> datetime | None:
        return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


class ServerConfig(Section):
    """Settings of the gateway itself."""

    master_key: SecretStr | None = Field(default=None, description="May use every model, without limits.")
    database_url: SecretStr | None = Field(
        default=None, description="Database of keys and usage. Default: an SQLite file."
    )
    redis_url: SecretStr | None = Field(
        default=None,
        description="Redis for the rate limits of several workers or machines. Default: several workers count in the "
        "database, and each machine for itself.",
    )
    cors_origins: list[str] = Field(
        default_factory=list, description="Origins whose web pages may call the gateway; `*` for all."
    )
    max_body_bytes: int = Field(default=20_000_000, ge=1024, description="Maximum size of a request's body.")
    max_header_bytes: int = Field(default=65_536, ge=1024, description="Maximum size of a request's headers.")
    header_seconds: Seconds = Field(
        default=30.0, description="How long a client may take to send its request's headers."
    )
    drain_seconds: float = Field(
        default=60.0, ge=0, le=MAX_SECONDS, description="How long open requests may go on after SIGTERM."
    )
    store_responses: str | None = Field(
        default=None,
        description="How long answers of `/v1/responses`, with what was asked, are stored in the database for "
        "`previous_response_id`, for example `7d`. Default: they are not stored.",
    )
    store_responses_bytes: int = Field(
        default=100_000_000,
        ge=10_000,
        description="Maximum bytes of stored responses of one key; its oldest ones are deleted.",
    )
    metrics_need_key: bool | None = Field(
        default=None, description="`/metrics` needs a key. Default: if the other routes do."
    )
    metrics_port: int | None = Field(
        default=None, ge=1, le=65535, description="Serve `/metrics` without a key on this port of `metrics_host`, too."
    )
    metrics_host: str = Field(default="127.0.0.1", description="The address of `metrics_port`.")
    access_log: bool = Field(default=True, description="Write a line of JSON for every request.")

    @field_validator("database_url", "redis_url", "metrics_host")
    @classmethod
    def _not_blank(cls, given: SecretStr | str | None) -> SecretStr | str | None:
        text = given.get_secret_value() if isinstance(given, SecretStr) else given
        if text is not None and not text.strip():
            # Of a variable that is set to nothing: gateways on several machines would not share what they should.
            raise ValueError("is empty; give a value, or leave the key out for the default")
        return given

    @field_validator("store_responses")
    @classmethod
    def _known_duration(cls, duration: str | None) -> str | None:
        return _checked_duration(duration)

    @field_validator("master_key")
    @classmethod
    def _not_empty(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and not key.get_secret_value():
            raise ValueError("the key is empty, and every caller would be let in; give a long random one")
        if key is not None and "replace-me" in key.get_secret_value():
            raise ValueError("this key is published in the examples; make one of your own: openssl rand -hex 32")
        return key
