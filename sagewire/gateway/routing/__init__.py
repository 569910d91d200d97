"""Choosing a deployment for a request: health, limits, affinity, strategies and fallbacks."""

from sagewire.gateway.routing.router import Router

__all__ = ["Router"]
