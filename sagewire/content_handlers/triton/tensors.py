"""Named tensors as JSON: the body of KServe's v2 inference protocol.

Source: triton-inference-server docs/protocol; shapes begin with the batch dimension if the model has one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from sagewire.errors import UsageError, WireError

__all__ = ["flat", "read_tensor", "tensor"]


def tensor(name: str, value: Any, datatype: str | None = None, *, batched: bool = True) -> dict[str, Any]:
    """Return one input tensor of a batch of one.

    Args:
        name: The tensor's name in the model's configuration.
        value: A value or a list of them; a mapping is taken for a whole tensor (`datatype`, `shape`, `data`).
        datatype: KServe's name for the type; `None` goes by the value: `BOOL`, `INT32`, `FP32` or `BYTES`.
        batched: The model has a batch dimension.

    Raises:
        UsageError: The type of the value does not map to a tensor type.

    Example:
        >>> tensor("max_tokens", 5)
        {'name': 'max_tokens', 'shape': [1, 1], 'datatype': 'INT32', 'data': [5]}
    """
    if isinstance(value, Mapping):
        return {"name": name, **value}
    data = list(value) if isinstance(value, list | tuple) else [value]
    kind = datatype or _datatype(name, data)
    if kind == "FP32":
        data = [float(item) for item in data]
    return {"name": name, "shape": [1, len(data)] if batched else [len(data)], "datatype": kind, "data": data}


def _datatype(name: str, data: Sequence[Any]) -> str:
    for kinds, datatype in ((bool, "BOOL"), (int, "INT32"), (int | float, "FP32"), (str, "BYTES")):
        if data and all(isinstance(item, kinds) for item in data):
            return datatype
    raise UsageError(
        f"the type of tensor '{name}' does not follow from its value; "
        "pass the whole tensor: {'datatype': ..., 'shape': [...], 'data': [...]}"
    )


def read_tensor(payload: Any, name: str | None, handler: str) -> Mapping[str, Any]:
    """Return one output tensor of an answer.

    Args:
        payload: The parsed answer.
        name: Its name; `None` if the model has only one.
        handler: The handler's name, for the error message.

    Raises:
        WireError: The tensor is missing; the message names those the model has.
    """
    outputs = payload["outputs"]
    names = [output["name"] for output in outputs]
    if name is None and len(outputs) == 1:
        return cast(Mapping[str, Any], outputs[0])
    if name is None or name not in names:
        wanted = "the one output" if name is None else f"the output '{name}'"
        raise WireError(
            f"handler '{handler}' looks for {wanted}; this model's are {', '.join(map(repr, names)) or 'none'}: give "
            "the handler output=..."
        )
    return cast(Mapping[str, Any], outputs[names.index(name)])


def flat(data: Iterable[Any]) -> Iterator[Any]:
    """Return the elements of a tensor, which servers may write flat or nested; as deep as JSON may be."""
    stack = [iter(data)]
    while stack:
        for item in stack[-1]:
            if isinstance(item, list):
                stack.append(iter(item))
                break
            yield item
        else:
            stack.pop()
