"""Names with a star: one entry for every endpoint or model whose name fits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar

from sagewire.errors import UsageError
from sagewire.prompt_formats import get_format

__all__ = [
    "HUGGING_FACE_ROUTER",
    "STAR",
    "Pattern",
    "concrete",
    "format_of",
    "has_star",
    "mistakes",
    "router_name",
    "sorted_patterns",
    "without_task",
]

STAR = "*"
HUGGING_FACE_ROUTER = "https://router.huggingface.co/v1"
# Words in front of a model's name that LiteLLM takes for the kind of task.
_HUGGING_FACE_TASKS = frozenset(
    {"conversational", "text-classification", "text-generation", "text-generation-inference"}
)
# SageMaker's rule for names of endpoints and inference components (API reference, CreateEndpoint).
_AWS_NAME = re.compile(r"(?=.{1,63}\Z)[a-zA-Z0-9](?:-*[a-zA-Z0-9])*")
# Names as served by vLLM and the Hub: words with slashes between, none of which is a dot or two.
_WORD = r"[A-Za-z0-9_][A-Za-z0-9_:@+=-]*(?:\.[A-Za-z0-9_:@+=-]+)*"
_MODEL_NAME = re.compile(rf"(?=.{{1,200}}\Z){_WORD}(?:/{_WORD})*")
# The fields that a star may stand in, and the values that must come out.
_STARRED = {"endpoint": _AWS_NAME, "inference_component": _AWS_NAME, "served_model": _MODEL_NAME}


@dataclass(frozen=True, slots=True)
class Pattern:
    """A model's name with one star.

    Example:
        >>> Pattern("team-*").star("team-llama"), Pattern("team-*").star("llama")
        ('llama', None)
    """

    name: str

    def star(self, name: str) -> str | None:
        """Return the part of a name that the star stands for, `None` if the name does not fit."""
        before, _, after = self.name.partition(STAR)
        fits = len(name) >= len(before) + len(after) and name.startswith(before) and name.endswith(after)
        return name[len(before) : len(name) - len(after)] if fits else None


def sorted_patterns(names: Iterable[str]) -> list[Pattern]:
    """Return the patterns among some names, the most specific first.

    The longest comes first, in the way in which LiteLLM measures (litellm/router_utils/pattern_match_deployments.py).
    """
    found = [Pattern(name) for name in names if STAR in name]
    return sorted(found, key=lambda pattern: len(re.escape(pattern.name)), reverse=True)


class Deployment(Protocol):
    """The parts of a deployment's settings that a star may stand in."""

    @property
    def url(self) -> str | None:
        """The server's URL."""
        ...

    @property
    def format(self) -> str | dict[str, Any] | None:
        """The prompt format."""
        ...

    def model_copy(self, *, update: Mapping[str, Any]) -> Self:
        """Return a copy with some settings changed."""
        ...


class Model(Protocol):
    """The parts of a model's settings that are used here."""

    @property
    def deployments(self) -> Sequence[Deployment]:
        """The deployments' settings."""
        ...

    def model_copy(self, *, update: Mapping[str, Any]) -> Self:
        """Return a copy with some settings changed."""
        ...


M = TypeVar("M", bound=Model)


def has_star(deployment: Deployment) -> bool:
    """Return whether a deployment needs a name to become one."""
    return any(STAR in (getattr(deployment, field) or "") for field in _STARRED)


def concrete(model: M, star: str) -> M | None:
    """Return a pattern's settings for one name.

    Args:
        model: The settings with stars.
        star: What the caller wrote in the place of the star.

    Returns:
        `None` if the name cannot belong to an endpoint or a model: it must neither leave its place in a URL nor be
        anything that could not be configured.
    """
    found = []
    for deployment in model.deployments:
        changed: dict[str, Any] = {}
        for field, rule in _STARRED.items():
            template = getattr(deployment, field)
            if template is None or STAR not in template:
                continue
            changed[field] = template.replace(STAR, star)
            if not rule.fullmatch(changed[field]):
                return None
        if "served_model" in changed and deployment.url == HUGGING_FACE_ROUTER:
            changed["served_model"] = router_name(changed["served_model"])
        if deployment.format == STAR:
            changed["format"] = format_of(next(iter(changed.values())))
        found.append(deployment.model_copy(update=changed))
    return model.model_copy(update={"deployments": found})


def mistakes(name: str, model: Model) -> Iterator[tuple[int, str]]:
    """Return the mistakes in the stars of a model: a deployment's number, and the message."""
    starred = [has_star(one) for one in model.deployments]
    for number, one in enumerate(model.deployments):
        if name.count(STAR) > 1:
            yield number, f"the name {name!r} may have one star, not {name.count(STAR)}"
        elif starred[number] and STAR not in name:
            yield number, f"a star needs one in the model's name, for example '{name}-*'"
        elif starred[number] != starred[0]:
            yield number, f"of the deployments of {name!r} either all have a star or none"
        else:
            yield from ((number, message) for message in _mistakes_of(one, STAR in name))


def _mistakes_of(deployment: Deployment, pattern: bool) -> Iterator[str]:
    if pattern and STAR in (deployment.url or ""):
        yield f"`url` cannot have a star: callers would choose the server; {', '.join(_STARRED)} can"
    for field, rule in _STARRED.items():
        template = getattr(deployment, field) or ""
        if template.count(STAR) > 1:
            yield f"`{field}` may have one star, not {template.count(STAR)}"
        elif STAR in template and not rule.fullmatch(template.replace(STAR, "x")):
            yield f"`{field}` {template!r} cannot become a valid name, whatever the star stands for"
    if deployment.format == STAR and not (pattern and has_star(deployment)):
        yield "`format: '*'` is for the deployments of a pattern"


def format_of(name: str) -> str:
    """Return the prompt format that a name implies; otherwise LiteLLM's default, the bare texts."""
    try:
        return get_format(model_id=name).name
    except UsageError:
        return "default_pt"


def without_task(name: str) -> str:
    """Return a Hugging Face model's name without the kind of task that LiteLLM has taken in front of it."""
    task, slash, rest = name.partition("/")
    return rest if slash and task in _HUGGING_FACE_TASKS else name


def router_name(name: str) -> str:
    """Return a model's name as Hugging Face's router takes it, given LiteLLM's with a provider or task in front.

    Example:
        >>> router_name("together/deepseek-ai/DeepSeek-R1")
        'deepseek-ai/DeepSeek-R1:together'
    """
    name = without_task(name)
    provider, _, rest = name.partition("/")
    return f"{rest}:{provider}" if name.count("/") == 2 else name
