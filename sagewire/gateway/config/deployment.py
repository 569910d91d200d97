"""One deployment in the configuration: the endpoint or server that answers for a model, and how to call it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from sagewire.aws.options import session_tags
from sagewire.errors import SagewireError, UsageError
from sagewire.gateway.accounting.costs import Prices
from sagewire.gateway.config.handlers import make_handler
from sagewire.gateway.config.patterns import STAR
from sagewire.gateway.config.public_url import public_url
from sagewire.gateway.config.server import Seconds, Section
from sagewire.transports.sagemaker.runtime_api import PARAMETERS, check_values
from sagewire.types import make_options
from sagewire.types.option_checks import number_of_text

__all__ = ["OF_ROLES", "DeploymentConfig", "TimeLimits"]

# A name, or a mapping of `name` and arguments.
Named = str | dict[str, Any]


def _tags(given: Any) -> dict[str, str]:
    try:
        return session_tags(given)
    except UsageError as error:
        raise ValueError(str(error).replace("aws_session_tags", "session tags")) from None


class TimeLimits(Section):
    """Time limits in seconds, see `sagewire.Timeouts`."""

    connect: Seconds = Field(default=10.0, description="Until the connection is established.")
    first_byte: Seconds | None = Field(default=70.0, description="Until the first byte of the answer.")
    stream_first_byte: Seconds | None = Field(
        default=None, description="The same for the first piece of a stream; default: `first_byte`."
    )
    idle: Seconds | None = Field(default=70.0, description="Between two pieces of a stream.")
    total: Seconds | None = Field(default=None, description="For the whole call.")


OF_ROLES = ("external_id", "session_tags", "web_identity_token_file", "sts_endpoint")
_OF_ENDPOINTS = (
    "endpoint_kwargs",
    "inference_component",
    "region",
    "profile",
    "role_arn",
    *OF_ROLES,
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "endpoint_url",
    "prefix_aware",
)


class DeploymentConfig(Section):
    """A deployment of a model: a SageMaker endpoint, or the URL of an HTTP server."""

    endpoint: str | None = Field(
        default=None,
        description="A SageMaker endpoint's name; this or `url`. In a pattern it may have a star, and so may "
        "`inference_component` and `served_model`: what the caller wrote in its place.",
    )
    url: str | None = Field(default=None, description="The base URL of an HTTP server; this or `endpoint`.")
    token: SecretStr | None = Field(
        default=None, description="The bearer token for `url`; a user name and password in that are sent in its place."
    )
    headers: dict[str, SecretStr] = Field(default_factory=dict, description="Further headers of each request to `url`.")
    ssl_verify: bool | str | None = Field(
        default=None,
        description="The check of the certificate of `url`: a file or directory of CA certificates, or `false` for no "
        "check. Default: `SSL_CERT_FILE`, else those of the system.",
    )
    endpoint_kwargs: dict[str, str] = Field(
        default_factory=dict,
        description="Parameters of each InvokeEndpoint call, for example `TargetModel` or `CustomAttributes`.",
    )
    name: str | None = Field(default=None, description="Name in logs and metrics. Default: the endpoint or URL.")
    inference_component: str | None = Field(default=None, description="The inference component to call.")

    handler: Named | None = Field(
        default=None,
        description="The content handler of the container, default: detected. One with arguments is a mapping of its "
        "`name` and the arguments; one of your own is `package.module:Name`.",
    )
    completion_handler: Named | None = Field(
        default=None,
        description="The handler for `/v1/completions`; default: `openai_completions` beside `openai_chat` at a `url`, "
        "else `handler`.",
    )
    format: str | dict[str, Any] | None = Field(
        default=None,
        description="The prompt format of the model, for containers that take text; in a pattern, `*` for the one that "
        "the name tells.",
    )
    embedding_handler: Named | None = Field(default=None, description="The handler for embeddings, written likewise.")
    rerank_handler: Named | None = Field(default=None, description="The handler for reranking, written likewise.")
    allow_zero_temperature: bool = Field(
        default=False, description="Send a temperature of 0 to TGI, for a build that takes it; else it means greedy."
    )
    drop_unsupported: bool = Field(
        False, description="Leave out options the wire cannot express, and say so in a header."
    )
    served_model: str | None = Field(default=None, description="The model name to send upstream.")
    options: dict[str, Any] = Field(default_factory=dict, description="Generation settings; those of a call win.")

    region: str | None = Field(default=None, description="AWS region. Default: as boto3 finds it.")
    profile: str | None = Field(default=None, description="A profile of the AWS configuration.")
    role_arn: str | None = Field(default=None, description="A role to assume, for an endpoint of another account.")
    role_session_name: str = Field(default="sagewire-gateway", description="The name of the role's sessions.")
    external_id: SecretStr | None = Field(default=None, description="The external id that the role asks for.")
    session_tags: Annotated[dict[str, str], BeforeValidator(_tags)] = Field(
        default_factory=dict, description="Tags of the role's sessions, a mapping or a list of `Key` and `Value`."
    )
    web_identity_token_file: str | None = Field(
        default=None, description="A file with a web identity token, to assume the role with."
    )
    sts_endpoint: str | None = Field(default=None, description="Another URL of the security token service.")
    aws_access_key_id: SecretStr | None = Field(default=None, description="Static credentials.")
    aws_secret_access_key: SecretStr | None = Field(default=None, description="The secret that goes with them.")
    aws_session_token: SecretStr | None = Field(
        default=None, description="The session token, for temporary credentials."
    )
    endpoint_url: str | None = Field(default=None, description="Another SageMaker Runtime URL.")

    weight: float = Field(
        default=1.0, ge=0, description="Its share of the requests; 0 gets requests only as a last resort."
    )
    max_concurrency: int | None = Field(
        default=None, ge=1, description="Maximum number of requests in flight, of each worker."
    )
    requests_per_minute: int | None = Field(default=None, ge=1, description="Maximum requests per minute.")
    tokens_per_minute: int | None = Field(
        default=None, ge=1, description="Maximum tokens per minute, of prompts and answers."
    )
    input_cost_per_token: float | None = Field(
        default=None, ge=0, le=1e3, description="Price of a token of the prompt, in dollars."
    )
    output_cost_per_token: float | None = Field(
        default=None, ge=0, le=1e3, description="Price of a token of the answer, in dollars."
    )
    cost_per_second: float | None = Field(
        default=None, ge=0, le=1e3, description="Price of a second that a request takes, in dollars."
    )
    session_idle_seconds: Seconds = Field(default=600.0, description="How long an unused sticky session stays open.")
    prefix_aware: bool = Field(default=False, description="The endpoint routes by prefix: send PrefixAwareId.")
    timeouts: TimeLimits = Field(default=TimeLimits(), description="Time limits in seconds.")
    breaker_failures: int = Field(default=3, ge=1, description="Failures in a row that open the circuit breaker.")
    breaker_seconds: Seconds = Field(default=30.0, description="How long it then gets no requests.")

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if bool(self.endpoint) == bool(self.url):
            raise ValueError("give either `endpoint` (a SageMaker endpoint's name) or `url` (an HTTP server)")
        if bool(self.aws_access_key_id) != bool(self.aws_secret_access_key):
            raise ValueError("aws_access_key_id and aws_secret_access_key go together")
        if self.web_identity_token_file and (self.external_id or self.session_tags):
            raise ValueError("external_id and session_tags are not part of assuming a role with a web identity token")
        if self.ssl_verify is not None and not self.url:
            raise ValueError("ssl_verify is for a `url`; for SageMaker endpoints set AWS_CA_BUNDLE")
        for name in ("token", "headers") if self.endpoint else _OF_ENDPOINTS:
            if getattr(self, name):
                cure = "calls of an `endpoint` are signed instead" if self.endpoint else "a `url` is not on SageMaker"
                raise ValueError(f"{name} would have no effect: {cure}")
        for name in OF_ROLES if self.role_arn is None else ():
            if getattr(self, name):
                raise ValueError(f"{name} would have no effect without role_arn: the role that it is for")
        check_values(self.endpoint_kwargs, PARAMETERS)
        return self

    @field_validator("options")
    @classmethod
    def _known_options(cls, options: dict[str, Any]) -> dict[str, Any]:
        try:
            # A value out of an environment variable is text.
            options = {name: number_of_text(name, value) for name, value in options.items()}
            make_options(**options)
        except UsageError as error:
            raise ValueError(str(error)) from None
        return options

    @field_validator("handler", "completion_handler", "embedding_handler", "rerank_handler")
    @classmethod
    def _known_handler(cls, given: Named | None, info: ValidationInfo) -> Named | None:
        if given is not None:
            try:
                make_handler(given, (info.field_name or "handler").replace("completion_handler", "handler"))
            except SagewireError as error:
                raise ValueError(str(error)) from None
        return given

    @field_validator("format")
    @classmethod
    def _known_format(cls, given: str | dict[str, Any] | None) -> str | dict[str, Any] | None:
        # Loading all formats takes a while, and most containers need none.
        if given is not None and given != STAR:
            from sagewire.prompt_formats import get_format

            try:
                get_format(given)
            except SagewireError as error:
                raise ValueError(str(error)) from None
        return given

    @property
    def label(self) -> str:
        """The name in logs and metrics; never holds a secret of the URL."""
        place = self.endpoint or public_url(self.url or "")
        return self.name or (f"{place}/{self.inference_component}" if self.inference_component else place)

    @property
    def prices(self) -> Prices | None:
        """Its prices, `None` if it has none."""
        given = self.input_cost_per_token, self.output_cost_per_token, self.cost_per_second
        return None if given == (None, None, None) else Prices(*(one or 0.0 for one in given))

    def vector_options(self, extra: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return what the configuration adds to calls for embeddings and reranking.

        Args:
            extra: The caller's own fields, which win over those of the configuration.
        """
        found = {**self.options.get("extra", {}), **(extra or {})}
        given: dict[str, Any] = {"model": self.served_model or self.options.get("model"), "extra": found or None}
        return {name: value for name, value in given.items() if value is not None}
