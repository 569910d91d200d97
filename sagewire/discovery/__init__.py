"""Detection of an endpoint's container: from the control plane, from an HTTP server's own words, or by probing."""

from sagewire.discovery.container_rules import ContainerProfile, detect
from sagewire.discovery.describe import Description

__all__ = ["ContainerProfile", "Description", "detect"]
