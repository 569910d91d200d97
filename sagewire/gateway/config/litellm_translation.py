"""LiteLLM's form of the configuration file, translated into sagewire's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from sagewire.errors import UsageError
from sagewire.gateway.config import litellm_keys as keys
from sagewire.gateway.config.document import Document, Path, nearest
from sagewire.gateway.config.litellm_fallbacks import own_model
from sagewire.gateway.config.litellm_form import Entry, LiteLlmConfig
from sagewire.gateway.config.litellm_model_info import add_groups, check_entry, check_served, is_listed
from sagewire.gateway.config.litellm_params import Defaults, deployment_settings, from_environment
from sagewire.gateway.config.litellm_providers import CATCH_ALL, NotServed
from sagewire.gateway.config.litellm_sections import SECTIONS, check_sections, without_effect
from sagewire.gateway.config.litellm_server import server_settings
from sagewire.gateway.config.models import GatewayConfig
from sagewire.gateway.config.patterns import STAR, sorted_patterns

__all__ = ["translated"]

_STRATEGIES = {
    "simple-shuffle": "weighted",
    "least-busy": "least_busy",
    "usage-based-routing": "lowest_usage",
    "usage-based-routing-v2": "lowest_usage",
    "latency-based-routing": "fastest",
    "cost-based-routing": "cheapest",
}
# The others choose without a look at `rpm` and `tpm`, or take them for weights (litellm/router_strategy).
_LIMITING = frozenset({"usage-based-routing", "usage-based-routing-v2", "latency-based-routing", "cost-based-routing"})
_ENFORCE = "enforce_model_rate_limits"
_FALLBACKS = {
    "fallbacks": "fallbacks",
    "context_fallbacks": "context_window_fallbacks",
    "content_fallbacks": "content_policy_fallbacks",
}
_STICKY = frozenset({"deployment_affinity", "prompt_caching", "session_affinity"})


def translated(
    source: LiteLlmConfig, document: Document, missing: Sequence[tuple[Path, str]], environment: Mapping[str, str]
) -> GatewayConfig:
    """Return LiteLLM's form of a file in sagewire's own.

    Args:
        source: The file as LiteLLM reads it.
        document: The file it was read from, for the lines of errors.
        missing: Environment variables that are named in the file and not set.
        environment: The variables that LiteLLM reads by itself, `LITELLM_MASTER_KEY` for example.

    Raises:
        UsageError: A key or a provider is unknown, no entry is of a provider that is supported (see
            `litellm_params`), or an access restriction cannot be enforced here.
    """
    return _Translation(source, document, missing, environment).run()


class _Translation:
    def __init__(
        self,
        source: LiteLlmConfig,
        document: Document,
        missing: Sequence[tuple[Path, str]],
        environment: Mapping[str, str],
    ) -> None:
        self._source = source
        self._environment = environment
        self._document = document
        self._missing = missing
        self._notes: list[str] = []
        # The entries of `model_list` that each model's deployments come from.
        self._entries: dict[str, list[int]] = {}
        # The model and its deployment of each id.
        self._by_id: dict[str, tuple[str, int]] = {}
        # Names without any deployment that is served, with the reason; the ids of deployments left out are such, too.
        self._not_served: dict[str, str] = {}
        for path, variable in missing:
            if path[0] == "general_settings" and path[1] in keys.GENERAL_TAKEN | keys.REFUSED:
                # Without it a gateway that was closed would be open.
                raise document.error(path, f"the environment variable {variable} is not set")
            self._notes.append(str(document.error(path, f"the environment variable {variable} is not set")))

    def run(self) -> GatewayConfig:
        self._check_sections()
        models = self._models()
        aliases = self._aliases(self._source.router_settings, models)
        router, settings = self._source.router_settings, self._source.litellm_settings
        for field, name in _FALLBACKS.items():
            for target, others in self._fallbacks(name).items():
                place = (self._section(name), name)
                if target == "*":
                    continue
                served = self._served(others, models, place)
                if target in aliases and aliases[target] in models:
                    self._of_alias(target, aliases[target], models, field, served, place)
                elif self._why_not(target, models) is not None:
                    self._note(place, f"fallbacks of {target!r} have no effect: it is not served")
                else:
                    self._known(target, models, name)[field] = served
        default_fallbacks = (
            router.get("default_fallbacks")
            or settings.get("default_fallbacks")
            or self._fallbacks("fallbacks").get("*", [])
        )
        if isinstance(default_fallbacks, list):
            place = (self._section("default_fallbacks"), "default_fallbacks")
            default_fallbacks = self._served(default_fallbacks, models, place)
        self._add_parts(models, aliases, default_fallbacks)
        raw = {
            "models": models,
            "aliases": aliases,
            "hidden_aliases": self._hidden(router),
            "default_fallbacks": default_fallbacks,
            "not_served": self._not_served,
            "server": server_settings(self._source.general_settings, router, self._environment),
            "environment": {name: str(value) for name, value in self._source.environment_variables.items()},
        }
        try:
            return GatewayConfig.model_validate(raw | {"notes": tuple(self._notes)})
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise self._document.error(self._origin(first["loc"]), first["msg"].removeprefix("Value error, ")) from None

    def _origin(self, place: Path) -> Path:
        """Return the place in the file that a setting of sagewire's form came from."""
        match place:
            case ("models", name, "deployments", int(number), *rest):
                return ("model_list", self._entries[str(name)][number], "litellm_params", *rest)
            case ("models", _, str(field), *_) if field in _FALLBACKS:
                return self._section(_FALLBACKS[field]), _FALLBACKS[field]
            case ("models", name, *_):
                return "model_list", self._entries[str(name)][0]
            case ("aliases", alias, *_):
                return "router_settings", "model_group_alias", alias
            case ("not_served", str(name)) if name in (self._source.router_settings.get("model_group_alias") or {}):
                return "router_settings", "model_group_alias", name
            case ("not_served", name):
                listed = enumerate(self._source.model_list)
                return "model_list", next((number for number, one in listed if one.model_name == name), 0)
            case ("default_fallbacks", *_):
                return self._section("default_fallbacks"), "default_fallbacks"
            case ("server", "max_body_bytes"):
                return "general_settings", "max_request_size_mb"
            case ("server", *_):
                return ("general_settings",)
        return place

    def _section(self, name: str) -> str:
        return "litellm_settings" if name in self._source.litellm_settings else "router_settings"

    def _check_sections(self) -> None:
        source = self._source
        sections = {section: getattr(source, section) for section in SECTIONS}
        for place in check_sections(sections, source.model_extra or {}, LiteLlmConfig.model_fields, self._document):
            self._note(place, without_effect(place, getattr(source, str(place[0]), None)))

    def _models(self) -> dict[str, dict[str, Any]]:
        shared = self._routing()
        defaults = self._defaults()
        router, settings = self._source.router_settings, self._source.litellm_settings
        retries = router.get("num_retries", settings.get("num_retries"))
        models: dict[str, dict[str, Any]] = {}
        left_out: list[tuple[Entry, NotServed]] = []
        listed: set[str] = set()
        for number, entry in self._expanded():
            path: Path = ("model_list", number, "litellm_params")
            limits = {name: entry.model_info.get(name) for name in ("rpm", "tpm")}
            limits |= {name: value for name, value in (("rpm", entry.rpm), ("tpm", entry.tpm)) if value is not None}
            params = limits | from_environment(entry.litellm_params, self._environment)
            self._notes += check_entry(entry, path[:-1], self._document)
            try:
                check_served(entry.model_info, self._environment, (*path[:-1], "model_info"), self._document)
                deployment, notes = deployment_settings(params, entry.model_info, defaults, self._document, path)
            except NotServed as error:
                # A base that is given and empty was meant to be one.
                if error.needs_base and not entry.litellm_params.keys().isdisjoint(("api_base", "base_url")):
                    raise self._with_variables(error, path) from None
                left_out.append((entry, error))
                continue
            except UsageError as error:
                raise self._with_variables(error, path) from None
            self._notes += notes
            self._entries.setdefault(entry.model_name, []).append(number)
            model = models.setdefault(entry.model_name, {"deployments": [], **shared})
            model["deployments"].append(deployment)
            if is_listed(entry.model_info):
                listed.add(entry.model_name)
            add_groups(model, entry.model_info, (*path[:-1], "model_info"), self._document)
            if entry.model_info.get("id") and STAR not in entry.model_name:
                self._by_id[str(entry.model_info["id"])] = entry.model_name, len(model["deployments"]) - 1
            own = entry.litellm_params.get("num_retries", entry.litellm_params.get("max_retries", retries))
            if "keepalive_seconds" in entry.litellm_params:
                model["keepalive_seconds"] = entry.litellm_params["keepalive_seconds"]
            if own is not None:
                model["attempts"] = max(model.get("attempts", 1), int(own) + 1)
        for name in models.keys() - listed:
            models[name]["hidden"] = True
        self._note_certificates(models)
        self._leave_out(left_out, models)
        return models

    def _with_variables(self, error: UsageError, path: Path) -> UsageError:
        """Return the error for an entry, with the variables that it names and that are not set."""
        unset = [variable for place, variable in self._missing if place[: len(path)] == path]
        return UsageError(f"{error}; not set: the environment variable {', '.join(unset)}") if unset else error

    def _leave_out(self, left_out: list[tuple[Entry, NotServed]], models: Mapping[str, Any]) -> None:
        """Note deployments that are not served. Their names are kept, so that no pattern or fallback takes them."""
        if left_out and not models:
            raise left_out[0][1]
        for entry, error in left_out:
            self._notes.append(f"{error}; left out")
            for name in (entry.model_name, entry.model_info.get("id")):
                if name is not None and str(name) not in models and str(name) not in self._by_id:
                    self._not_served[str(name)] = error.reason

    def _why_not(self, name: str, models: Mapping[str, Any]) -> str | None:
        """Return the reason why a name is not served, `None` if it is, or is unknown."""
        if name in models:
            return None
        if name in self._not_served:
            return self._not_served[name]
        patterns = sorted_patterns([*models, *self._not_served])
        best = next((one.name for one in patterns if one.stars(name) is not None), "")
        return self._not_served.get(best)

    def _served(self, names: list[Any], models: Mapping[str, Any], place: Path) -> list[Any]:
        """Return fallbacks without those that are not served."""
        gone = [name for name in names if isinstance(name, str) and self._why_not(name, models) is not None]
        for name in gone:
            self._note(place, f"{name!r} is no fallback: it is not served")
        return [name for name in names if name not in gone]

    def _note_certificates(self, models: Mapping[str, dict[str, Any]]) -> None:
        checked = self._source.litellm_settings.get("ssl_verify", True) in (True, None)
        if not checked and any(one.get("endpoint") for model in models.values() for one in model["deployments"]):
            says = "has no effect on calls of SageMaker endpoints: set AWS_CA_BUNDLE for them"
            self._note(("litellm_settings", "ssl_verify"), says)

    def _add_parts(self, models: dict[str, dict[str, Any]], aliases: Mapping[str, str], defaults: Any) -> None:
        """Make models of the deployments that fallbacks name by the `id` of their `model_info`."""
        wanted = [name for model in models.values() for field in _FALLBACKS for name in model.get(field, ())]
        for name in {*wanted, *map(str, defaults if isinstance(defaults, list) else ())}:
            place = None if name in models or name in aliases else self._by_id.get(name)
            if place is not None:
                whole = models[place[0]]
                settings = {key: value for key, value in whole.items() if key not in (*_FALLBACKS, "deployments")}
                deployment = whole["deployments"][place[1]]
                models[name] = {**settings, "deployments": [deployment], "part_of": place[0]}
                self._entries[name] = [self._entries[place[0]][place[1]]]

    def _expanded(self) -> Iterator[tuple[int, Entry]]:
        """Return the entries by number; one whose model is a bare star is one for each provider."""
        named = {entry.model_name for entry in self._source.model_list}
        for number, entry in enumerate(self._source.model_list):
            params = entry.litellm_params
            if params.get("model") != STAR or "custom_llm_provider" in params:
                yield number, entry
                continue
            path: Path = ("model_list", number, "litellm_params", "model")
            if STAR not in entry.model_name:
                raise self._document.error(path, "a star needs one in the model's name")
            if params.get("api_base") or params.get("base_url"):
                raise self._document.error(path, "a server of your own needs its provider, for example hosted_vllm/*")
            # Every name with a slash, which those of all providers have.
            whole = STAR if entry.model_name == f"{STAR}/{STAR}" else entry.model_name
            if whole.count(STAR) > 1:
                raise self._document.error(path, f"has one star, and the model's name {whole.count(STAR)}: write one")
            found = {whole.replace(STAR, f"{provider}/{STAR}"): provider for provider in CATCH_ALL}
            self._note(path, f"stands for {', '.join(found)}; sagewire serves no other providers")
            for name, provider in found.items():
                if name not in named:
                    own = {"model_name": name, "litellm_params": params | {"model": f"{provider}/{STAR}"}}
                    yield number, entry.model_copy(update=own)

    def _defaults(self) -> Defaults:
        router, settings = self._source.router_settings, self._source.litellm_settings
        checks = self._checks()
        return Defaults(
            params=router.get("default_litellm_params") or {},
            credentials={one.credential_name: one.credential_values for one in self._source.credential_list},
            timeout=router.get("timeout", settings.get("request_timeout")),
            stream_timeout=router.get("stream_timeout"),
            allowed_fails=router.get("allowed_fails", settings.get("allowed_fails")),
            cooldown=router.get("cooldown_time", settings.get("cooldown_time")),
            cooldowns=not router.get("disable_cooldowns"),
            max_parallel=router.get("default_max_parallel_requests"),
            drop_params=bool(settings.get("drop_params")),
            ssl_verify=settings.get("ssl_verify", self._environment.get("SSL_VERIFY")),
            weighted=_STRATEGIES.get(self._strategy()) == "weighted",
            limit_requests=self._strategy() in _LIMITING
            or _ENFORCE in checks
            or bool(router.get("enable_pre_call_checks")),
            limit_tokens=self._strategy() in _LIMITING or _ENFORCE in checks,
            custom_providers=tuple(
                str(one.get("provider")) for one in settings.get("custom_provider_map") or () if isinstance(one, dict)
            ),
        )

    def _strategy(self) -> str:
        return str(self._source.router_settings.get("routing_strategy") or "simple-shuffle")

    def _checks(self) -> list[str]:
        return [str(name) for name in self._source.router_settings.get("optional_pre_call_checks") or []]

    def _routing(self) -> dict[str, Any]:
        """Return how all models choose among their deployments."""
        strategy, router = self._strategy(), self._source.router_settings
        place: Path = ("router_settings", "routing_strategy")
        if strategy not in _STRATEGIES:
            raise self._document.error(place, f"unknown strategy {strategy!r}{nearest(strategy, _STRATEGIES)}")
        chosen: dict[str, Any] = {"routing": _STRATEGIES[strategy]}
        for name, value in (router.get("routing_strategy_args") or {}).items():
            if strategy == "latency-based-routing" and name == "ttl":
                chosen["speed_seconds"] = value
            elif strategy == "latency-based-routing" and name == "lowest_latency_buffer":
                chosen["speed_slack"] = value
            else:
                self._note(("router_settings", "routing_strategy_args", name), "has no effect in sagewire")
        for number, check in enumerate(self._checks()):
            if check in _STICKY:
                chosen["affinity"] = "conversation"
            elif check != _ENFORCE:
                check_path: Path = ("router_settings", "optional_pre_call_checks", number)
                self._note(check_path, f"{check} has no effect in sagewire")
        if router.get("enable_pre_call_checks"):
            self._note(
                ("router_settings", "enable_pre_call_checks"),
                "`rpm` is enforced; whether a conversation fits the endpoint says: see context_window_fallbacks",
            )
        return chosen

    def _note(self, path: Path, message: str) -> None:
        self._notes.append(str(self._document.error(path, message)))

    def _fallbacks(self, name: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for section in ("litellm_settings", "router_settings"):
            given = getattr(self._source, section).get(name) or []
            entries = given if isinstance(given, list) else [given]
            for number, entry in enumerate(entries):
                if not isinstance(entry, dict) or not all(isinstance(others, list) for others in entry.values()):
                    raise self._document.error(
                        (section, name, number), "should be a mapping such as {model: [other, another]}"
                    )
                found.update({str(model): [str(other) for other in others] for model, others in entry.items()})
        return found

    def _of_alias(
        self, alias: str, name: str, models: dict[str, dict[str, Any]], field: str, others: list[Any], place: Path
    ) -> None:
        """Make the fallbacks of an alias those of its model, if that has none of its own."""
        own = self._fallbacks(_FALLBACKS[field])
        if name in own or models[name].get(field, others) != others:
            self._note(place, f"fallbacks of the alias {alias!r} have no effect: {name!r} has others")
        else:
            models[name][field] = others
            self._note(place, f"fallbacks of the alias {alias!r} hold for {name!r}, whatever it is called")

    def _known(self, target: str, models: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
        found = None if target in models else own_model(target, models)
        if found is not None:
            self._entries[target] = self._entries[found[0]]
            models[target] = found[1]
        if target not in models:
            raise self._document.error(
                (self._section(name), name), f"there is no model {target!r}{nearest(target, models)}"
            )
        return models[target]

    def _aliases(self, router: Mapping[str, Any], models: Mapping[str, Any]) -> dict[str, str]:
        """Return the aliases; one of a model that is not served is not served either."""
        aliases: dict[str, str] = {}
        for alias, target in (router.get("model_group_alias") or {}).items():
            if isinstance(target, dict) and not isinstance(target.get("model"), str):
                place: Path = ("router_settings", "model_group_alias", str(alias))
                raise self._document.error(place, "should name a `model`")
            name = str(target["model"] if isinstance(target, dict) else target)
            reason = self._why_not(name, models)
            if reason is None:
                aliases[str(alias)] = name
            else:
                self._note(("router_settings", "model_group_alias", str(alias)), f"{name!r} is not served")
                self._not_served[str(alias)] = reason
        return aliases

    def _hidden(self, router: Mapping[str, Any]) -> list[str]:
        given = (router.get("model_group_alias") or {}).items()
        hidden = (str(alias) for alias, target in given if isinstance(target, dict) and target.get("hidden"))
        return [alias for alias in hidden if alias not in self._not_served]
