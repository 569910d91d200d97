"""Which of several deployments gets a request: by weight, load, usage or speed, or because it had the last one."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Sequence

from sagewire.gateway.config import ModelConfig
from sagewire.gateway.routing.deployments import Deployment

__all__ = ["choose"]

# A conversation's own deployment may be this much busier than the average before another one takes over.
CROWDED = 1.5


def choose(
    candidates: Sequence[Deployment], config: ModelConfig, *, affinity: str | None = None, stream: bool = False
) -> Deployment:
    """Return the deployment that gets a request.

    Args:
        candidates: Those that can take it, at least one.
        config: How to choose.
        affinity: The value that ties the request to a deployment, if there is one.
        stream: Whether a stream is asked for; it is judged by other times than a whole answer.
    """
    if len(candidates) == 1:
        return candidates[0]
    weighty = [one for one in candidates if one.config.weight > 0] or candidates
    if affinity is not None and config.affinity != "none":
        ranked = sorted(weighty, key=lambda one: _rendezvous(affinity, one), reverse=True)
        if config.affinity == "session":
            # An open session is worth more than a short queue.
            return ranked[0]
        average = sum(one.in_flight for one in weighty) / len(weighty)
        return next((one for one in ranked if one.in_flight <= CROWDED * average + 2), ranked[0])
    if config.routing == "least_busy":
        return min(weighty, key=lambda one: ((one.in_flight + 1) / (one.config.weight or 1), random.random()))
    if config.routing == "lowest_usage":
        return min(weighty, key=lambda one: (one.latency.tokens, one.in_flight, random.random()))
    if config.routing == "cheapest":
        return min(weighty, key=lambda one: (_price(one), one.in_flight, random.random()))
    if config.routing == "fastest":
        return _fastest(weighty, config, stream)
    weights = [one.config.weight or 1.0 for one in weighty]
    return random.choices(weighty, weights)[0]


def _price(deployment: Deployment) -> tuple[float, float]:
    prices = deployment.prices
    # One without a price may cost anything.
    return (math.inf, math.inf) if prices is None else (prices.input_token + prices.output_token, prices.second)


def _fastest(candidates: Sequence[Deployment], config: ModelConfig, stream: bool) -> Deployment:
    """Return one of the fastest; one whose speed is not known comes first, to become known."""
    times = [one.latency.average(stream=stream, within=config.speed_seconds) for one in candidates]
    unknown = [one for one, seconds in zip(candidates, times, strict=True) if seconds is None]
    if unknown:
        return min(unknown, key=lambda one: (one.in_flight, random.random()))
    known = [seconds for seconds in times if seconds is not None]
    enough = min(known) * (1 + config.speed_slack)
    return random.choice([one for one, seconds in zip(candidates, known, strict=True) if seconds <= enough])


def _rendezvous(key: str, deployment: Deployment) -> float:
    """Return a deployment's score for a key; the highest wins.

    Weighted rendezvous hashing: shares follow the weights, and when a deployment comes or goes, only its own keys move.
    """
    digest = hashlib.blake2b(f"{key}\0{deployment.series}".encode(), digest_size=8).digest()
    share = (int.from_bytes(digest, "big") + 1) / 2**64
    return -(deployment.config.weight or 1.0) / math.log(share) if share < 1 else math.inf
