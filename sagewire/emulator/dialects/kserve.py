"""KServe v2 inference as Triton's HTTP server reads and writes it (`src/http_server.cc`, `core/src/infer_request.cc`).

Tensors are JSON here; the binary extension is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sagewire.emulator.dialects.base import Refusal
from sagewire.emulator.http_values import json_response

__all__ = ["missing_inputs", "output_tensor", "read_inputs", "refusal", "wanted_outputs"]


def refusal(message: str, status: int = 400) -> Refusal:
    """Return Triton's refusal."""
    return Refusal(json_response(status, {"error": message}))


def read_inputs(body: Any, model: str, known: Mapping[str, str], required: Sequence[str]) -> dict[str, list[Any]]:
    """Return the elements of each input tensor.

    Args:
        body: The parsed request.
        model: The model's name.
        known: Name to datatype of each input the model has.
        required: Names of those it cannot do without.
    """
    tensors = body.get("inputs") if isinstance(body, dict) else None
    if not isinstance(tensors, list):
        why = "attempt to access non-existing object member 'inputs'"
        raise refusal(f"Unable to parse 'inputs': {why}")
    found: dict[str, list[Any]] = {}
    for tensor in tensors:
        name, values = _read(tensor, model, known)
        found[name] = values
    missing = [name for name in required if name not in found]
    if missing:
        raise missing_inputs(model, list(found), missing, (len(required), len(known)))
    return found


def missing_inputs(model: str, got: Sequence[str], missing: Sequence[str], counts: tuple[int, int]) -> Refusal:
    """Return the refusal of a request without inputs the model needs; `counts` are how many it needs and has."""
    least, most = counts
    expected = f"{least} inputs" if least == most else f"number of inputs between {least} and {most}"
    return refusal(
        f"expected {expected} but got {len(got)} inputs for model '{model}'. Got input(s) [{_names(got)}], but missing "
        f"required input(s) [{_names(missing)}]. Please provide all required input(s)."
    )


def _names(names: Sequence[str]) -> str:
    return ",".join(f"'{name}'" for name in names)


def _read(tensor: Any, model: str, known: Mapping[str, str]) -> tuple[str, list[Any]]:
    fields = tensor if isinstance(tensor, dict) else {}
    for field in ("name", "datatype", "shape", "data"):
        if field not in fields:
            why = f"attempt to access non-existing object member '{field}'"
            raise refusal(f"Unable to parse '{field}': {why}")
    name, datatype, shape = fields["name"], fields["datatype"], fields["shape"]
    if name not in known:
        raise refusal(f"unexpected inference input '{name}' for model '{model}'")
    if datatype != known[name]:
        raise refusal(
            f"inference input '{name}' data-type is '{datatype}', but model '{model}' expects '{known[name]}'"
        )
    if not isinstance(shape, list) or len(shape) != 2:
        shown = ",".join(map(str, shape)) if isinstance(shape, list) else shape
        raise refusal(f"unexpected shape for input '{name}' for model '{model}'. Expected [-1,-1], got [{shown}].")
    rows = fields["data"] if isinstance(fields["data"], list) else [fields["data"]]
    # Flat, or one array per row.
    values = [value for row in rows for value in (row if isinstance(row, list) else [row])]
    if math.prod(shape) != len(values):
        raise refusal(
            f"unexpected total number of elements {len(values)} for input '{name}', expecting {math.prod(shape)}"
        )
    kinds = {"BYTES": str, "BOOL": bool}.get(datatype, int | float)
    if not all(isinstance(value, kinds) for value in values):
        raise refusal(f"Unable to parse 'data': attempt to access JSON non-{datatype.lower()} as {datatype}")
    return name, values


def output_tensor(name: str, datatype: str, shape: Sequence[int], data: list[Any]) -> dict[str, Any]:
    """Return one output tensor, its data flat as Triton writes it."""
    return {"name": name, "datatype": datatype, "shape": list(shape), "data": data}


def wanted_outputs(body: Mapping[str, Any], model: str, outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the requested outputs, by default all."""
    asked = [item.get("name") for item in body.get("outputs") or ()]
    there = {output["name"]: output for output in outputs}
    for name in asked:
        if name not in there:
            raise refusal(f"unexpected inference output '{name}' for model '{model}'")
    return [there[name] for name in asked] or outputs
