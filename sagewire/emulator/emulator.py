"""`Emulator`: a SageMaker of your own, on loopback, that unmodified boto3 code talks to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Self

from sagewire.emulator.aws.identity import DEFAULT_ROLE, Credentials, Role
from sagewire.emulator.endpoints import ContainerCall, EndpointSpec, find_endpoint
from sagewire.emulator.local import LOCAL_ENDPOINTS, LOCAL_ROLES
from sagewire.emulator.server import Server
from sagewire.emulator.service import DEPLOY_SECONDS, Service
from sagewire.errors import UsageError

__all__ = ["Emulator"]


class Emulator:
    """A local SageMaker: runtime, control plane and STS on one port, with signatures checked as AWS does.

    Args:
        endpoints: Endpoints by name: `"DIALECT[:ENGINE]"` or an `EndpointSpec`; by default `LOCAL_ENDPOINTS`, one per
            task.
        host: The address to bind; loopback unless you say otherwise.
        port: The port; 0 picks a free one.
        region: The region it pretends to be.
        clock: Seconds since the epoch, as a function; replace it to let credentials expire.
        roles: Roles that callers may assume, besides the default one (`role_arn`).
        deploy_seconds: How long an endpoint that is created, updated or deleted by API is in that state.

    Example:
        >>> import boto3, json
        >>> with Emulator({"chat": "tgi:echo"}) as emulator:
        ...     keys = {
        ...         "aws_access_key_id": emulator.credentials.access_key,
        ...         "aws_secret_access_key": emulator.credentials.secret_key,
        ...     }
        ...     client = boto3.client("sagemaker-runtime", "us-east-1", endpoint_url=emulator.url, **keys)
        ...     body = json.dumps({"inputs": "Hi", "parameters": {"return_full_text": False}})
        ...     reply = client.invoke_endpoint(EndpointName="chat", Body=body, ContentType="application/json")
        ...     reply["Body"].read()
        b'[{"generated_text":"Hi"}]'
    """

    def __init__(
        self,
        endpoints: Mapping[str, str | EndpointSpec] | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        region: str = "us-east-1",
        clock: Callable[[], float] = time.time,
        roles: Iterable[Role] = (),
        deploy_seconds: float = DEPLOY_SECONDS,
    ) -> None:
        if endpoints is None:
            endpoints, roles = LOCAL_ENDPOINTS, (*LOCAL_ROLES, *roles)
        self.region = region
        self.service = Service(endpoints, region=region, clock=clock, roles=roles, deploy_seconds=deploy_seconds)
        self._server = Server(self.service, host, port)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start answering.

        Raises:
            OSError: The address is taken.
        """
        self._server.start()

    def stop(self) -> None:
        """Stop answering and close every connection."""
        self._server.stop()

    def __repr__(self) -> str:
        return f"<Emulator of SageMaker in {self.region}: {', '.join(self.service.endpoints)}>"

    @property
    def url(self) -> str:
        """The URL it listens on; also the value for `endpoint_url=`."""
        return self._server.url

    @property
    def calls(self) -> list[ContainerCall]:
        """The calls that reached the containers so far, oldest first; of very many the older half is dropped."""
        return self.service.calls

    def clear(self) -> None:
        """Forget the calls so far."""
        self.service.calls.clear()

    def add(self, name: str, spec: str | EndpointSpec) -> None:
        """Start one more endpoint, or replace one, while running.

        Args:
            name: The name of the endpoint.
            spec: `DIALECT[:ENGINE]`, or everything that can be said of one.
        """
        self.service.add(name, spec)

    def container_url(self, endpoint: str) -> str:
        """Return the base URL of a container's own HTTP server, for clients that call it directly.

        Args:
            endpoint: An endpoint's name, a fault's suffix allowed; `endpoint.component` for an inference component.

        Raises:
            UsageError: The endpoint does not exist.
        """
        stem = endpoint.partition(".")[0]
        if find_endpoint(self.service.endpoints, stem)[0] is None:
            raise UsageError(f"there is no endpoint {stem!r}; known: {', '.join(sorted(self.service.endpoints))}")
        return f"{self.url}/containers/{endpoint}"

    @property
    def credentials(self) -> Credentials:
        """The emulator's own user, in the account that owns the endpoints."""
        return self.service.identities.user

    @property
    def account(self) -> str:
        """The account that owns the endpoints."""
        return self.credentials.account

    @property
    def other_account(self) -> str:
        """The account of `role_arn`; give an endpoint `account=` this to make it a cross-account one."""
        return DEFAULT_ROLE.account

    @property
    def role_arn(self) -> str:
        """A role in another account that the emulator's user may assume."""
        return DEFAULT_ROLE.arn

    def issue_credentials(self, role_arn: str | None = None, *, seconds: float = 3600) -> Credentials:
        """Return temporary credentials of a role, of any lifetime: shorter ones than STS would ever give.

        Args:
            role_arn: The role; else that of the account.
            seconds: How long they live.

        Raises:
            UsageError: The role does not exist.
        """
        identities = self.service.identities
        arn = role_arn or self.role_arn
        if arn not in identities.roles:
            raise UsageError(f"there is no role {arn!r}; known: {', '.join(identities.roles)}")
        return identities.issue(identities.roles[arn], "issued", seconds)

    def environ(self) -> dict[str, str]:
        """Return the environment variables that send unmodified AWS code here."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": self.credentials.secret_key,
            # A token left over from elsewhere would make these keys invalid; botocore takes an empty one for none.
            "AWS_SESSION_TOKEN": "",
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1,localhost,::1",
            "no_proxy": "127.0.0.1,localhost,::1",
        }
