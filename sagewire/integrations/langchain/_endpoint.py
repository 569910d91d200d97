"""What every class here shares: which endpoint, with whose credentials, and the clients that follow from it."""

from __future__ import annotations

import hashlib
import logging
import os
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_serializer,
    model_validator,
)

from sagewire.aws.session import Session
from sagewire.client import Client
from sagewire.errors import UsageError, concise, unknown_name
from sagewire.http.deadlines import Timeouts
from sagewire.http.secret_urls import check_pickled_proxies, shown_url
from sagewire.integrations._client_pool import ClientPair, current_pair
from sagewire.integrations._secret_fields import hidden_url
from sagewire.integrations.langchain._custom import adapted
from sagewire.integrations.langchain._identity import identity_of
from sagewire.types.secret import Secret

__all__ = ["EndpointFields", "SagemakerFields"]

from sagewire.integrations._endpoint_names import with_endpoint_name

logger = logging.getLogger("sagewire")


def _make(arguments: Mapping[str, Any]) -> Client:
    handler = arguments["handler"]
    return Client(**(arguments if handler is None else {**arguments, "handler": adapted(handler)}))


def _for_example(kind: type[BaseModel]) -> str:
    return f": {kind.__name__}(endpoint_name='my-endpoint')" if "endpoint_name" in kind.model_fields else ""


def _own_error(error: ValidationError, kind: type[BaseModel], data: Mapping[str, Any]) -> Exception:
    """Return the error to raise instead of pydantic's: sagewire's own if it is one, without pydantic's words around."""
    first = error.errors(include_url=False, include_input=False)[0]
    own = first.get("ctx", {}).get("error")
    if isinstance(own, UsageError):
        return concise(own)
    if first["type"] == "missing" and first["loc"] == ("endpoint_name",):
        wrong = next((name for name in ("model", "model_name", "model_id") if data.get(name)), "")
        said = f", not {wrong}=, which is a model that the endpoint serves" if wrong else ""
        return UsageError(f"name the endpoint{_for_example(kind)}{said}")
    return error


class EndpointFields(BaseModel):
    """Fields common to all servers; a subclass adds the address, in `_target`.

    Args:
        content_handler: The container's request format: a name from `sagewire.content_handlers.HANDLERS`, a sagewire
            handler, or a content handler object written for langchain-community, langchain-aws or LlamaIndex.
        timeout: Seconds to wait for the server, or `sagewire.Timeouts` for each limit by itself.
        max_retries: How often to try again after a first failure.
    """

    model_config = ConfigDict(
        arbitrary_types_allowed=True,
        extra="forbid",
        # A validation error must not print credentials.
        hide_input_in_errors=True,
        populate_by_name=True,
        protected_namespaces=(),
    )

    content_handler: Any = None
    timeout: float | Timeouts | None = Field(default=None, validation_alias=AliasChoices("timeout", "request_timeout"))
    max_retries: int | None = Field(default=None, ge=0)

    # Fields that hold live objects: shared by copies, never copied.
    _live: ClassVar[tuple[str, ...]] = (
        "client", "config", "content_handler", "prompt_format", "session", "tokenizer",
    )  # fmt: skip
    _secret: ClassVar[tuple[str, ...]] = ()
    _made: Any = PrivateAttr(default=None)

    if not TYPE_CHECKING:
        # Type checkers take the arguments from the fields.
        def __init__(self, *args: Any, **data: Any) -> None:
            if args:
                raise UsageError(f"{type(self).__name__} takes its arguments by name{_for_example(type(self))}")
            try:
                super().__init__(**data)
            except ValidationError as error:
                raise _own_error(error, type(self), data) from None

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """The fields that were given: most are not."""
        given = self.model_fields_set - {"metadata"}
        shown = [(name, value) for name, value in super().__repr_args__() if name in given and value is not None]
        return [(name, hidden_url(name, value)) for name, value in shown]

    @model_validator(mode="before")
    @classmethod
    def _known_names(cls, values: Any) -> Any:
        if isinstance(values, dict):
            known = _argument_names(cls)
            for name in values:
                if name not in known:
                    cure = "; settings that the server alone knows go into model_kwargs" * ("model_kwargs" in known)
                    raise UsageError(f"{unknown_name(str(name), known, f'argument of {cls.__name__}')}{cure}")
            for spellings in _spellings(cls):
                given = [name for name in spellings if values.get(name) is not None]
                if any(values[name] != values[given[0]] for name in given[1:]):
                    raise UsageError(f"{' and '.join(given)} are one setting of {cls.__name__}: give one of them")
        return values

    @model_validator(mode="after")
    def _early_errors(self) -> Any:
        """Find contradictions when the object is made, not when it is first used."""
        # First, since it knows which kind of handler is needed.
        if self.content_handler is not None:
            self._check_handler()
        _ = self._clients
        return self

    def _check_handler(self) -> None:
        """Raise if `content_handler` is invalid; called only if one is given, so no look-up is needed."""
        _ = self._clients.client.handler, self._clients.client.format

    @abstractmethod
    def _target(self) -> dict[str, Any]:
        """Return the arguments of `Client` that hold the server's address."""

    @property
    @abstractmethod
    def _endpoint_label(self) -> str:
        """The name to use for the server if no model name is known."""

    @property
    @abstractmethod
    def _where(self) -> dict[str, Any]:
        """What tells one server from another, for traces and the keys of caches."""

    def _client_arguments(self) -> dict[str, Any]:
        return {
            **self._target(),
            "handler": self.content_handler,
            "timeout": self.timeout,
            "retries": None if self.max_retries is None else self.max_retries + 1,
        }

    @property
    def _clients(self) -> ClientPair:
        made: ClientPair | None = self._made
        # Compared, not trusted: fields may be assigned to, and `model_copy(update=...)` shares private attributes.
        if made is None or made.fields.reveal() != self.__dict__:
            made = self._made = current_pair(made, self.__dict__, self._client_arguments(), _make)
        return made

    def __getstate__(self) -> dict[Any, Any]:
        secrets = [name for name in self._secret if getattr(self, name) is not None]
        secrets += [name for name, value in self.__dict__.items() if isinstance(hidden_url(name, value), Secret)]
        check_pickled_proxies(getattr(self, "config", None))
        for name in secrets:
            raise UsageError(
                f"{name} is a secret and is never pickled; use a profile, a role session or the environment instead"
            )
        if getattr(self, "client", None) is not None:
            raise UsageError("a boto3 client cannot be pickled; use session= or credentials_profile_name= instead")
        state = super().__getstate__()
        return {**state, "__pydantic_private__": {**(state["__pydantic_private__"] or {}), "_made": None}}

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Any:
        memo = {} if memo is None else memo
        for shared in (self._made, *(getattr(self, name, None) for name in self._live)):
            if shared is not None:
                memo[id(shared)] = shared
        return super().__deepcopy__(memo)


class SagemakerFields(EndpointFields):
    """Fields for a SageMaker endpoint: its name, region and credentials.

    Args:
        endpoint_name: The endpoint's name or ARN, or a `Predictor` or `Endpoint` of SageMaker's own SDK.
        inference_component_name: The inference component to call.
        region_name: AWS region; else as boto3 finds it.
        credentials_profile_name: A profile of the AWS configuration.
        session: Where credentials come from: one of sagewire's session factories, a boto3 or botocore session.
        client: Your own `boto3.client("sagemaker-runtime")`; calls then go through it untouched.
        endpoint_url: Another SageMaker Runtime URL, as boto3's argument of that name (also `base_url`).
        config: A `botocore.config.Config`.
        aws_access_key_id: Static credentials.
        aws_secret_access_key: The secret that goes with it.
        aws_session_token: The session token, for temporary credentials.
        endpoint_kwargs: InvokeEndpoint parameters for every call, under boto3's names.
        api_key: Accepted because LangChain's tools pass it. SageMaker has no API keys: calls are signed with AWS
            credentials, and this is never sent.
    """

    endpoint_name: str
    inference_component_name: str | None = None
    region_name: str | None = None
    credentials_profile_name: str | None = None
    session: Any = Field(default=None, exclude=True, repr=False)
    client: Any = Field(default=None, exclude=True, repr=False)
    endpoint_url: str | None = Field(default=None, validation_alias=AliasChoices("endpoint_url", "base_url"))
    config: Any = Field(default=None, exclude=True, repr=False)
    aws_access_key_id: SecretStr | None = None
    aws_secret_access_key: SecretStr | None = None
    aws_session_token: SecretStr | None = None
    endpoint_kwargs: dict[str, Any] | None = None
    api_key: SecretStr | None = Field(default=None, exclude=True)

    _secret: ClassVar[tuple[str, ...]] = (
        "aws_access_key_id",
        "aws_secret_access_key",
        "aws_session_token",
        "api_key",
    )

    @field_serializer("endpoint_url")
    def _show_url(self, value: Any) -> Any:
        # One with a key is refused, but only by the first call if it was assigned.
        return shown_url(value) if isinstance(value, str) else value

    @model_validator(mode="before")
    @classmethod
    def _named(cls, values: Any) -> Any:
        return with_endpoint_name(values, region="region_name") if isinstance(values, dict) else values

    def model_post_init(self, context: Any, /) -> None:
        """Say once that an API key is of no use here."""
        super().model_post_init(context)
        if self.api_key is not None:
            logger.info("api_key is not used: SageMaker endpoints are called with AWS credentials")

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Which arguments are secrets, and the environment variables that hold them when the object is loaded."""
        return {name: name.upper() for name in self._secret if name.startswith("aws_")}

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """What LangChain writes in place of the attributes themselves."""
        url = self.endpoint_url
        return {} if url is None or shown_url(url) == url else {"endpoint_url": shown_url(url)}

    def _target(self) -> dict[str, Any]:
        return {
            "endpoint": self.endpoint_name,
            "inference_component_name": self.inference_component_name,
            "region_name": self.region_name or None,
            "profile_name": self.credentials_profile_name,
            "session": self.session,
            "client": self.client,
            "endpoint_url": self.endpoint_url,
            "config": self.config,
            # A copy, so that a change inside it is noticed when the arguments are compared.
            "endpoint_kwargs": dict(self.endpoint_kwargs or {}),
            **{name: _plain(getattr(self, name)) for name in self._secret if name.startswith("aws_")},
        }

    @property
    def _endpoint_label(self) -> str:
        return self.endpoint_name

    @property
    def _where(self) -> dict[str, Any]:
        # Accounts may have endpoints of the same name: whose credentials are used is part of which endpoint is meant.
        names = (
            "endpoint_name", "inference_component_name", "region_name", "credentials_profile_name", "endpoint_url",
            "endpoint_kwargs",
        )  # fmt: skip
        known = {name: value for name in names if (value := getattr(self, name)) is not None}
        if self.endpoint_url is not None:
            known["endpoint_url"] = shown_url(self.endpoint_url)
        if self.region_name is None and (region := self._region_around()):
            known["region_name"] = region
        if self.aws_access_key_id is not None:
            known["aws_access_key_id"] = _digest(self.aws_access_key_id.get_secret_value())
        if self.session is not None:
            known["session"] = repr(self.session) if isinstance(self.session, Session) else identity_of(self.session)
        if self.client is not None:
            known["client"] = identity_of(self.client)
        if not {"credentials_profile_name", "aws_access_key_id", "session", "client"} & known.keys():
            known |= {name: value for name in ("AWS_PROFILE",) if (value := os.environ.get(name))}
        return known

    def _region_around(self) -> str | None:
        """Return the region that something else than `region_name` sets, if that can be told without asking AWS."""
        if self.session is not None or self.client is not None or self.endpoint_name.startswith("arn:"):
            return None
        named: str | None = getattr(self.config, "region_name", None)
        return named or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")


def _argument_names(cls: type[BaseModel]) -> set[str]:
    names = set(cls.model_fields)
    for argument in cls.model_fields.values():
        alias = argument.validation_alias
        names |= {each for each in (argument.alias, alias) if isinstance(each, str)}
        if isinstance(alias, AliasChoices):
            names |= {each for each in alias.choices if isinstance(each, str)}
    return names


def _spellings(cls: type[BaseModel]) -> Iterator[list[str]]:
    """Yield the names of each argument that has several."""
    for argument in cls.model_fields.values():
        if isinstance(argument.validation_alias, AliasChoices):
            yield [each for each in argument.validation_alias.choices if isinstance(each, str)]


def _digest(key: str) -> str:
    """Return what tells keys apart without showing them."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
