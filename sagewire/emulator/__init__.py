"""A local SageMaker that real boto3 talks to, with the serving containers behind it.

Start one in a test or a notebook:

    with Emulator({"my-endpoint": "tgi:extractive"}) as emulator:
        os.environ.update(emulator.environ())

The engines are not language models: `extractive` copies sentences, `schema` fills in forms, `echo` and `scripted` say
what they are told; `upstream` forwards to a real model server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagewire._names import missing
from sagewire.emulator.aws.identity import Credentials, Role
from sagewire.emulator.dialects import DIALECTS
from sagewire.emulator.emulator import Emulator
from sagewire.emulator.endpoints import ContainerCall, EndpointSpec
from sagewire.emulator.engines import ENGINES, Call, Echo, EngineFailure, Extractive, Reply, Schema, Scripted, Upstream
from sagewire.emulator.faults import FAULTS
from sagewire.emulator.local import LOCAL_ENDPOINTS, LOCAL_ROLES
from sagewire.emulator.serving import load_endpoints, parse_endpoint, serve

__all__ = [
    "DIALECTS",
    "ENGINES",
    "FAULTS",
    "LOCAL_ENDPOINTS",
    "LOCAL_ROLES",
    "Call",
    "ContainerCall",
    "Credentials",
    "Echo",
    "Emulator",
    "EndpointSpec",
    "EngineFailure",
    "Extractive",
    "Reply",
    "Role",
    "Schema",
    "Scripted",
    "Upstream",
    "load_endpoints",
    "parse_endpoint",
    "serve",
]

if not TYPE_CHECKING:
    __getattr__ = missing(__name__, __all__)
