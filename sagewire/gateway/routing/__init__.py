"""Choosing a deployment for a request: health, limits, affinity, strategies and fallbacks."""
