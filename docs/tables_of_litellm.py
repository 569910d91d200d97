"""What becomes of the configurations in LiteLLM's documentation, page by page."""

from __future__ import annotations

import copy
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import yaml
from table_rows import code, table

from sagewire.errors import UsageError
from sagewire.gateway.config import GatewayConfig, parse_config
from sagewire.gateway.config.litellm_providers import NotServed, check_provider, place_of, provider_of

__all__ = ["litellm_documentation", "outcome"]

CONFIGURATIONS = Path(__file__).parent.parent / "tests" / "vectors" / "litellm_documentation.yaml"
RESTRICTS = ("sagewire has nothing like it", "sagewire has none", "belongs in general_settings")


def litellm_documentation() -> str:
    """Return the table of pages: how many configurations run, and why others do not."""
    rows = []
    whole: Counter[str] = Counter()
    for page, found in yaml.safe_load(CONFIGURATIONS.read_text("utf-8")).items():
        told = Counter({"invalid": found["invalid"]})
        reasons: dict[str, None] = {}
        for one in found["configurations"]:
            kind, reason = outcome(one)
            told[kind] += 1
            if reason:
                reasons[reason] = None
        whole += told
        rows.append((code(page), *_counts(told), ", ".join(map(code, reasons))))
    rows.append(("**all**", *_counts(whole), ""))
    return table(
        ("Page", "run", "run without some models", "no model is left", "refused", "not valid", "because of"), rows
    )


def _counts(told: Counter[str]) -> tuple[str, ...]:
    return tuple(str(told[kind] or "") for kind in ("run", "part", "none", "refused", "invalid"))


def outcome(config: dict[str, Any]) -> tuple[str, str]:
    """Return what becomes of a configuration, and the key that it is refused for.

    Args:
        config: A configuration of LiteLLM's proxy.

    Returns:
        `run`, `part` without some of its models, `none` if all of them are of other providers, and it runs with one of
        its own, `refused` for an access restriction, also beside such models, or `invalid`.
    """
    try:
        parsed = _parsed(config)
    except UsageError as error:
        first = error
    else:
        return ("part" if parsed.not_served else "run"), ""
    replaced = _with_own_models(config)
    try:
        _parsed(replaced)
    except UsageError as error:
        if any(says in str(error) for says in RESTRICTS):
            return "refused", _key_of(error)
        return "invalid", _key_of(error)
    if replaced == config:
        return "invalid", _key_of(first)
    return "none", ""


def _parsed(config: dict[str, Any]) -> GatewayConfig:
    variables = {"X": "1", "LM_STUDIO_API_BASE": "http://localhost:1", "LITELLM_ENVIRONMENT": "x"}
    return parse_config(json.dumps(config), "example.yaml", variables)


def _with_own_models(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration with an endpoint in place of each model of another provider."""
    replaced = copy.deepcopy(config)
    document: Any = _NoDocument()
    for entry in replaced.get("model_list") or ():
        params = entry.get("litellm_params") if isinstance(entry, dict) else None
        if not isinstance(params, dict) or not isinstance(params.get("model"), str):
            continue
        if params.pop("mock_response", None) is not None:
            params["model"] = "sagemaker/x"
        try:
            provider, name = provider_of(params["model"], params, document, ())
            check_provider(provider, document, (), has_base=bool(params.get("api_base") or params.get("base_url")))
            place_of(provider, name, params, {}, document, ())
        except NotServed:
            entry["litellm_params"] = {**params, "model": "sagemaker/" + ("-".join("*" * name.count("*")) or "x")}
            entry["litellm_params"].pop("custom_llm_provider", None)
        except UsageError:
            pass
    return replaced


class _NoDocument:
    def error(self, path: Any, message: str) -> UsageError:
        return UsageError(message)


def _key_of(error: UsageError) -> str:
    """Return the last part of the path that a message names."""
    found = re.search(r"line \d+: ([\w.\-*]+):", str(error))
    return found[1].rpartition(".")[2] if found else "the whole"
