"""The common fields of every class here about its endpoint, and the two clients made from them.

`Connection` is shared by the language model, the embedding model and the reranker, and by SageMaker and plain HTTP
endpoints: a class of one family is its behaviour plus a connection, to SageMaker below or to any server in
`_server.py`.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from llama_index.core.bridge.pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    field_serializer,
    field_validator,
)

from sagewire.client import AsyncClient, Client
from sagewire.content_handlers import EMBEDDING_HANDLERS, HANDLERS, RERANK_HANDLERS, ContentHandler
from sagewire.errors import AccessDenied, CredentialsExpired, UsageError, unknown_name
from sagewire.http.abandonable import in_thread
from sagewire.http.secret_urls import check_pickled_proxies, shown_url
from sagewire.integrations._client_pool import ClientPair, current_pair
from sagewire.integrations._endpoint_names import with_endpoint_name
from sagewire.integrations._secret_fields import SecretText, hidden_url
from sagewire.transports.base import Retries
from sagewire.types.secret import Secret, reveal

__all__ = ["Connection", "SageMakerConnection", "describe", "one_of"]

logger = logging.getLogger(__name__)


class Connection(BaseModel):
    """The fields and rules that are the same for SageMaker endpoints and HTTP servers."""

    model_config = ConfigDict(
        arbitrary_types_allowed=True,
        protected_namespaces=("pydantic_model_",),
        # A value of the wrong type may be a secret.
        hide_input_in_errors=True,
    )

    content_handler: Any = Field(
        default=None,
        description="The request format: a name in sagewire.content_handlers.HANDLERS, a ContentHandler, or an "
        "object written for LlamaIndex (BaseIOHandler) or LangChain. Default: detected.",
    )
    timeout: float | None = Field(default=60.0, description="Seconds to wait for the server's next byte.", gt=0)
    max_retries: int | None = Field(default=3, description="How often a failed call is tried again.", ge=0)

    _made: ClientPair | None = PrivateAttr(default=None)
    _fallen_back: bool = PrivateAttr(default=False)

    # Never written anywhere, and no pickle is made while one of them is set.
    secret_fields: ClassVar[tuple[str, ...]] = ()
    # Live objects, shared by copies; those that cannot be pickled stop a pickle instead of silently missing from it.
    shared_fields: ClassVar[tuple[str, ...]] = ("content_handler",)
    # The handler for endpoints that may be called but not described; `None` leaves that an error.
    fallback_handler: ClassVar[str | None] = None

    @field_validator("model_kwargs", "endpoint_kwargs", mode="before", check_fields=False)
    @classmethod
    def _none_is_empty(cls, value: Any) -> Any:
        return {} if value is None else value

    def __init__(self, **data: Any) -> None:
        unknown = [name for name in data if name not in type(self).model_fields]
        if unknown:
            raise UsageError(unknown_name(unknown[0], type(self).model_fields, f"argument of {type(self).__name__}"))
        super().__init__(**data)
        # Contradictory or incomplete arguments are found here and not in the first call.
        self._pair()

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """The fields that were given: the host's base classes set many by themselves."""
        kind = type(self)
        for name, value in super().__repr_args__():
            field = kind.model_fields.get(name or "")
            plain = isinstance(hidden_url(name, value), str | int | float | dict | list)
            if field is not None and plain and value not in ("", field.get_default(call_default_factory=True)):
                yield name, value

    def __str__(self) -> str:
        return repr(self)

    def _client_arguments(self) -> dict[str, Any]:
        """Return the arguments both clients are made of."""
        retries = None if self.max_retries is None else Retries(attempts=self.max_retries + 1)
        handler = self.fallback_handler if self._fallen_back and self.content_handler is None else self.content_handler
        return {"handler": handler, "timeout": self.timeout, "retries": retries}

    def _pair(self) -> ClientPair:
        """Return the clients; they are made anew after a field they depend on was changed."""
        # pydantic's own way to a private attribute takes as long as the comparison.
        made: ClientPair | None = (self.__pydantic_private__ or {}).get("_made")
        if made is None or made.fields.reveal() != self.__dict__:
            made = self._made = current_pair(made, self.__dict__, self._client_arguments())
        return made

    def _settled_pair(self) -> ClientPair:
        """Return the clients once it is settled whether `fallback_handler` is needed; may wait."""
        pair = self._pair()
        if self.fallback_handler is None or pair.client.known:
            return pair
        self._settle()
        return self._pair()

    @property
    def _client(self) -> Client:
        return self._settled_pair().client

    @property
    def _async_client(self) -> AsyncClient:
        return self._pair().twin

    @property
    def _handler(self) -> ContentHandler:
        return self._client.handler

    @property
    def _dialect(self) -> Any:
        """The detected profile; `None` if a handler was named."""
        client = self._client
        return client.profile() if client.discovers else None

    @property
    def _known(self) -> bool:
        """Whether the endpoint's request format is known without waiting."""
        return self._pair().client.known

    def _settle(self) -> None:
        """Fall back to `fallback_handler` without describe permissions."""
        client = self._pair().client
        if client.known or self.fallback_handler is None:
            return
        try:
            client.profile()
        except CredentialsExpired:
            raise
        except AccessDenied as error:
            logger.warning("%s; it is called with handler '%s'", error, self.fallback_handler)
            self._fallen_back = True
            self._made = None

    async def _ready(self) -> None:
        """Detect the endpoint's request format in a thread, so that nothing later blocks the event loop."""
        if self._known:
            return
        if self.fallback_handler:
            await in_thread(self._settle)
        else:
            await self._pair().twin.look_up()

    @field_serializer("content_handler", check_fields=False)
    def _name_handler(self, value: Any) -> str | None:
        return describe(value)

    def _named(self, kind: str) -> list[str]:
        """Return the fields that this class and its bases list under `secret_fields` or `shared_fields`."""
        return [name for base in type(self).__mro__ for name in vars(base).get(kind, ())]

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Any:
        memo = {} if memo is None else memo
        for name in (*self._named("shared_fields"), *self._named("secret_fields")):
            value = getattr(self, name)
            memo[id(value)] = value
        # A copy makes its own clients, when it is first used.
        memo[id(self._made)] = None
        return super().__deepcopy__(memo)

    def __getstate__(self) -> dict[Any, Any]:
        given = [name for name in self._named("secret_fields") if getattr(self, name)]
        given += [name for name, value in self.__dict__.items() if isinstance(hidden_url(name, value), Secret)]
        if given:
            raise UsageError(
                f"{given[0]} is a secret and is never pickled; use a profile, a role session or the environment instead"
            )
        check_pickled_proxies(getattr(self, "config", None))
        state = dict(self.__dict__)
        for name in self._named("shared_fields"):
            _check_pickles(name, state[name])
        if not _pickles(state.get("callback_manager")):
            logger.warning("the callback manager cannot be pickled and is left out")
            del state["callback_manager"]
        return {"__dict__": state}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        self.__init__(**state["__dict__"])  # type: ignore[misc]


class SageMakerConnection(Connection):
    """An endpoint on Amazon SageMaker; the names are those of LlamaIndex's own class and of boto3."""

    endpoint_name: str = Field(description="The SageMaker endpoint's name or ARN.")
    endpoint_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="InvokeEndpoint parameters of every call, under boto3's names."
    )
    inference_component_name: str | None = Field(default=None, description="The inference component to call.")
    profile_name: str | None = Field(default=None, description="The AWS profile to take credentials from.")
    aws_access_key_id: SecretText = Field(default=None, exclude=True, repr=False)
    aws_secret_access_key: SecretText = Field(default=None, exclude=True, repr=False)
    aws_session_token: SecretText = Field(default=None, exclude=True, repr=False)
    aws_region_name: str | None = Field(default=None, description="The AWS region; else as boto3 finds it.")
    endpoint_url: str | None = Field(default=None, description="Another SageMaker Runtime URL.")
    session: Any = Field(
        default=None, exclude=True, repr=False, description="A boto3, botocore or sagewire session for credentials."
    )
    client: Any = Field(default=None, exclude=True, repr=False, description="Your own sagemaker-runtime boto3 client.")
    config: Any = Field(default=None, exclude=True, repr=False, description="A botocore.config.Config.")

    secret_fields = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    shared_fields = ("session", "client", "config")

    def __init__(self, endpoint_name: Any = "", **data: Any) -> None:
        if not endpoint_name:
            raise UsageError("name the endpoint: endpoint_name='...'")
        given = {**one_of(data, "aws_region_name", "region_name"), "endpoint_name": endpoint_name}
        super().__init__(**with_endpoint_name(given, region="aws_region_name"))

    @field_serializer("endpoint_url")
    def _show_url(self, value: Any) -> Any:
        # One with a key is refused, but only by the first call if it was assigned.
        return shown_url(value) if isinstance(value, str) else value

    def _client_arguments(self) -> dict[str, Any]:
        arguments = super()._client_arguments()
        if self.client is not None:
            # A client has its own time limits and retries, which LlamaIndex's defaults do not override.
            arguments["timeout"] = self.timeout if "timeout" in self.model_fields_set else None
            arguments["retries"] = arguments["retries"] if "max_retries" in self.model_fields_set else None
        return {
            **arguments,
            "endpoint": self.endpoint_name,
            "endpoint_kwargs": dict(self.endpoint_kwargs),
            "inference_component_name": self.inference_component_name,
            "profile_name": self.profile_name,
            **{name: reveal(getattr(self, name)) for name in SageMakerConnection.secret_fields},
            "region_name": self.aws_region_name,
            "endpoint_url": self.endpoint_url,
            "session": self.session,
            "client": self.client,
            "config": self.config,
        }


def describe(value: Any) -> str | None:
    """Return a handler or format as `to_dict` writes it: its name, or the class of an unnamed object.

    Example:
        >>> describe("tgi")
        'tgi'
    """
    if value is None or isinstance(value, str):
        return value
    kind = value if isinstance(value, type) else type(value)
    for name, known in (*HANDLERS.items(), *EMBEDDING_HANDLERS.items(), *RERANK_HANDLERS.items()):
        if known is kind and vars(known()) == vars(value):
            return name
    return f"{kind.__module__}.{kind.__qualname__}"


def one_of(data: Mapping[str, Any], name: str, *others: str) -> dict[str, Any]:
    """Return the arguments with an argument that has several names under the first of them.

    Raises:
        UsageError: It was given twice, and not alike.
    """
    renamed = dict(data)
    for other in others:
        value, already = renamed.pop(other, None), renamed.get(name)
        if value is None:
            continue
        if already not in (None, value):
            raise UsageError(f"{other}={value!r} and {name}={already!r} contradict; give one")
        renamed[name] = value
    return renamed


def _pickles(value: Any) -> bool:
    try:
        pickle.dumps(value)
    except Exception:  # anything a foreign object's __reduce__ raises
        return False
    return True


def _check_pickles(name: str, value: Any) -> None:
    if not _pickles(value):
        raise UsageError(
            f"{name} cannot be pickled: {type(value).__name__}; pickle the arguments and make the object where it is "
            "used, or give something importable"
        )
