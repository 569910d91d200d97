"""The configuration of a gateway, checked by pydantic; both forms of configuration file end up as these models."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, Literal, Self

from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from sagewire.errors import unknown_name
from sagewire.gateway.config.deployment import DeploymentConfig
from sagewire.gateway.config.patterns import STAR, Pattern, concrete, has_star, mistakes, sorted_patterns
from sagewire.gateway.config.server import MAX_SECONDS, KeyConfig, Seconds, Section, ServerConfig

__all__ = ["GatewayConfig", "ModelConfig"]


class ModelConfig(Section):
    """One model as clients see it, with one or several deployments behind it."""

    deployments: list[DeploymentConfig] = Field(
        min_length=1, description="Its deployments; the settings of a single deployment may stand here directly."
    )
    routing: Literal["weighted", "least_busy", "lowest_usage", "fastest", "cheapest"] = Field(
        default="weighted",
        description="By weight; to the deployment with the fewest requests for its weight; to the one with the fewest "
        "tokens in this minute; to the one that has answered fastest lately; or to the one with the lowest prices.",
    )
    speed_seconds: Seconds = Field(default=3600.0, description="How long an answer counts for `routing: fastest`.")
    speed_slack: float = Field(
        default=0.0, ge=0, description="Deployments slower than the fastest by at most this share count as equal."
    )
    affinity: Literal["none", "conversation", "session"] = Field(
        "none",
        description="Keep a conversation on the deployment that has its prefix cached; `session` opens a sticky "
        "session of SageMaker for it, so that it stays on one instance, too.",
    )
    attempts: int = Field(default=3, ge=1, description="Calls in all for one request, before the first byte.")
    queue_seconds: float = Field(
        default=0.0, ge=0, le=MAX_SECONDS, description="How long a request waits if all deployments are full."
    )
    keepalive_seconds: Seconds = Field(
        default=15.0,
        description="How often a stream gets a comment while the model is silent, so that proxies keep it open.",
    )
    fallbacks: list[str] = Field(
        default_factory=list, description="Models that answer in its place, in this order, when it cannot."
    )
    context_fallbacks: list[str] = Field(
        default_factory=list, description="Models that answer conversations that are too long for it."
    )
    content_fallbacks: list[str] = Field(
        default_factory=list,
        description="Models that answer what its server refuses for its content (`content_policy_violation`).",
    )
    part_of: str | None = Field(
        default=None,
        description="A model with the same deployment: keys that may use that one may use this one, which is not "
        "listed. A fallback to one deployment of a model names such a part.",
    )
    hidden: bool = Field(default=False, description="Not in lists of models; callers who know its name may use it.")
    access_groups: list[str] = Field(
        default_factory=list,
        description="Names of groups; a key that lists such a name may use all models in the group.",
    )
    adapters: list[str] = Field(
        default_factory=list,
        description="LoRA adapters that callers may name in `adapter`; a key that lists models must list them, too.",
    )

    @model_validator(mode="after")
    def _sessions_need_endpoints(self) -> Self:
        if self.affinity == "session" and any(one.endpoint is None for one in self.deployments):
            raise ValueError("`affinity: session` needs SageMaker endpoints: servers behind a `url` have no sessions")
        return self

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        """Accept a deployment's own settings in place of a list of one deployment."""
        if not isinstance(value, dict) or "deployments" in value:
            return value
        inner = {name: item for name, item in value.items() if name in DeploymentConfig.model_fields}
        if not inner:
            return value
        outer = {name: item for name, item in value.items() if name not in inner}
        return {**outer, "deployments": [inner]}


class GatewayConfig(Section):
    """Everything a gateway is configured with."""

    models: dict[str, ModelConfig] = Field(
        min_length=1, description="Each model under the name that clients use; with stars in it, every name that fits."
    )
    aliases: dict[str, str] = Field(default_factory=dict, description="Further names of models.")
    hidden_aliases: list[str] = Field(default_factory=list, description="Aliases that are not listed.")
    default_fallbacks: list[str] = Field(
        default_factory=list, description="Fallbacks of models that do not name their own."
    )
    keys: list[KeyConfig] = Field(
        default_factory=list, description="API keys; without any, only this machine has access."
    )
    server: ServerConfig = Field(default=ServerConfig(), description="Settings of the gateway itself.")
    not_served: dict[str, str] = Field(
        default_factory=dict,
        description="Names, also with stars, that get a 404 with the reason given here, whatever pattern they fit.",
    )
    environment: dict[str, SecretStr] = Field(default_factory=dict, description="Environment variables to set.")
    notes: tuple[str, ...] = Field(default=(), description="Settings that were read and have no effect.", exclude=True)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        found = list(self._mistakes())
        if found:
            # Each with its place, so that the line can be named.
            raise ValidationError.from_exception_data(
                type(self).__name__,
                [
                    InitErrorDetails(type=PydanticCustomError("wrong", "{says}", {"says": says}), loc=place, input=None)
                    for place, says in found
                ],
                hide_input=True,
            )
        return self

    def _mistakes(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        for name, model in self.models.items():
            for number, says in mistakes(name, model):
                yield ("models", name, "deployments", number), says
            if model.part_of is not None and not self._is_part(model, self.models.get(model.part_of)):
                yield ("models", name, "part_of"), f"'{model.part_of}' is not a model with this deployment"
        yield from self._mistaken_aliases()
        for name in self.not_served:
            if name in self.models or name in self.aliases:
                yield ("not_served", name), f"'{name}' is served, too"
        for place, what, wanted in self._references():
            pattern = place[0] != "keys" and self.stars_in(wanted)
            if pattern:
                yield place, f"{what}: '{wanted}' is a pattern; say a name that fits it"
            elif "models" in place[2:] and (wanted in self._adapters or wanted in self.access_groups):
                continue
            elif wanted not in self.aliases and wanted not in self.models and self.canonical(wanted) is None:
                yield place, f"{what}: {unknown_name(wanted, [*self.models, *self.aliases], 'model')}"
        if len({key.name for key in self.keys}) < len(self.keys):
            yield ("keys",), "two keys have the same name"

    def _mistaken_aliases(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        for alias in self.aliases:
            if alias in self.models:
                yield ("aliases", alias), f"'{alias}' is both a model and an alias"
            if STAR in alias:
                yield ("aliases", alias), "an alias cannot have a star: make it a model with one"
            if self.aliases[alias] in self.aliases:
                yield ("aliases", alias), f"'{self.aliases[alias]}' is an alias, too: name the model"

    @staticmethod
    def _is_part(model: ModelConfig, whole: ModelConfig | None) -> bool:
        return (
            whole is not None and whole.part_of is None and all(one in whole.deployments for one in model.deployments)
        )

    def _references(self) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
        for alias, target in self.aliases.items():
            yield ("aliases", alias), f"alias '{alias}'", target
        for number, target in enumerate(self.default_fallbacks):
            yield ("default_fallbacks", number), "default_fallbacks", target
        for name, model in self.models.items():
            for field in ("fallbacks", "context_fallbacks", "content_fallbacks"):
                for number, target in enumerate(getattr(model, field)):
                    yield ("models", name, field, number), f"fallbacks of '{name}'", target
        for number, key in enumerate(self.keys):
            for at, target in enumerate(key.models or ()):
                yield ("keys", number, "models", at), f"models of the key '{key.name}'", target
            for target in key.model_limits:
                yield ("keys", number, "model_limits", target), f"model_limits of the key '{key.name}'", target

    @property
    def warnings(self) -> tuple[str, ...]:
        """What operators should know: settings without effect, and budgets that requests do not count towards."""
        with_budget = [key.name for key in self.keys if key.max_budget is not None]
        free = [name for name, model in self.models.items() if any(one.prices is None for one in model.deployments)]
        if not with_budget or not free:
            return self.notes
        says = f"requests of {', '.join(free)} cost nothing and pass the budget of {', '.join(with_budget)}: "
        return (*self.notes, says + "set input_cost_per_token and output_cost_per_token")

    @property
    def has_keys(self) -> bool:
        """Whether callers need a key."""
        return self.server.master_key is not None or bool(self.keys)

    def entry(self, name: str) -> str | None:
        """Return the entry of `models` for a name or alias, `None` if it is unknown.

        An entry of that very name wins, then the most specific pattern.
        """
        name = self.aliases.get(name, name)
        if name in self.models and STAR not in name:
            return name
        found = self._most_specific(name)
        return found if found in self.models else None

    def why_not(self, name: str) -> str | None:
        """Return the reason why a name is not served, `None` if there is none: it is served, or unknown."""
        return self.not_served.get(self._most_specific(self.aliases.get(name, name)) or "")

    def _most_specific(self, name: str) -> str | None:
        if (name in self.models and not self.stars_in(name)) or name in self.not_served:
            return name
        return next((one.name for one in self._patterns if one.stars(name) is not None), None)

    def canonical(self, name: str) -> str | None:
        """Return the model a name means, `None` for nothing known.

        What fits a pattern with stars in its deployments is its own model.
        """
        found = self.settings(name)
        return None if found is None else found[0]

    def settings(self, name: str) -> tuple[str, ModelConfig] | None:
        """Return the model a name means, and its settings; `None` for nothing known."""
        entry = self.entry(name)
        if entry is None:
            return None
        if not self.stars_in(entry):
            return entry, self.models[entry]
        name = self.aliases.get(name, name)
        settings = concrete(self.models[entry], Pattern(entry).stars(name) or ())
        return None if settings is None else (name, settings)

    @cached_property
    def access_groups(self) -> frozenset[str]:
        """The names of all groups of models."""
        return frozenset(group for model in self.models.values() for group in model.access_groups)

    @cached_property
    def _adapters(self) -> set[str]:
        return {adapter for model in self.models.values() for adapter in model.adapters}

    @cached_property
    def _patterns(self) -> list[Pattern]:
        return sorted_patterns([*self.models, *self.not_served])

    def stars_in(self, entry: str) -> bool:
        """Return whether an entry of `models` needs a name to become a model."""
        return STAR in entry and entry in self.models and has_star(self.models[entry].deployments[0])
