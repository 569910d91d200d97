"""The names of a model's deployments in logs and metrics."""

from __future__ import annotations

from collections.abc import Sequence

from sagewire.gateway.config import DeploymentConfig

__all__ = ["unique_labels"]


def unique_labels(deployments: Sequence[DeploymentConfig]) -> list[str]:
    """Return the deployments' labels, with the region or a number behind those that several have.

    Example:
        An endpoint of one name in two regions is `llama@us-east-1` and `llama@eu-west-1`.
    """
    labels = [one.label for one in deployments]
    found: list[str] = []
    for one, label in zip(deployments, labels, strict=True):
        if labels.count(label) > 1 and one.region:
            label = f"{label}@{one.region}"
        unique, number = label, 1
        while unique in found:
            number += 1
            unique = f"{label}#{number}"
        found.append(unique)
    return found
