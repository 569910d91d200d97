"""Names with stars: one entry for every endpoint or model whose name fits."""

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
    """A model's name with stars.

    Example:
        >>> Pattern("team-*").stars("team-llama"), Pattern("*-at-*").stars("qwen-at-home"), Pattern("team-*").stars("x")
        (('llama',), ('qwen', 'home'), None)
    """

    name: str

    def stars(self, name: str) -> tuple[str, ...] | None:
        """Return the parts of a name that the stars stand for, `None` if the name does not fit.

        Where several ways fit, each star from the left stands for as much as it can, as in LiteLLM. The texts between
        are looked for from the right, which finds the same in one pass: callers choose the names.
        """
        first, *between = self.name.split(STAR)
        if not between:
            return None
        last = between.pop()
        if len(name) < len(first) + len(last) or not (name.startswith(first) and name.endswith(last)):
            return None
        end = len(name) - len(last)
        found: list[str] = []
        for text in reversed(between):
            at = name.rfind(text, len(first), end)
            if at < 0:
                return None
            found.append(name[at + len(text) : end])
            end = at
        return (name[len(first) : end], *reversed(found))


def sorted_patterns(names: Iterable[str]) -> list[Pattern]:
    """Return the patterns among some names, the most specific first.

    The longest comes first, in the way in which LiteLLM measures (litellm/router_utils/pattern_match_deployments.py).
    """
    found = [Pattern(name) for name in names if STAR in name]
    return sorted(found, key=_specificity, reverse=True)


def _specificity(pattern: Pattern) -> tuple[int, int]:
    regex = re.escape(pattern.name).replace(re.escape(STAR), "(.*)")
    return len(regex), sum(regex.count(special) for special in "*+?\\^$|()")


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


def _filled(template: str, stars: Sequence[str]) -> str:
    """Return a text with what the stars stand for in their places."""
    first, *rest = template.split(STAR)
    return first + "".join(star + text for star, text in zip(stars, rest, strict=True))


def concrete(model: M, stars: Sequence[str]) -> M | None:
    """Return a pattern's settings for one name.

    Args:
        model: The settings with stars.
        stars: The caller's text in the places of the stars.

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
            changed[field] = _filled(template, stars)
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
        if starred[number] and STAR not in name:
            yield number, f"a star needs one in the model's name, for example '{name}-*'"
        elif starred[number] != starred[0]:
            yield number, f"of the deployments of {name!r} either all have a star or none"
        else:
            yield from ((number, message) for message in _mistakes_of(one, name.count(STAR)))


def _mistakes_of(deployment: Deployment, stars: int) -> Iterator[str]:
    if stars and STAR in (deployment.url or ""):
        yield f"`url` cannot have a star: callers would choose the server; {', '.join(_STARRED)} can"
    for field, rule in _STARRED.items():
        template = getattr(deployment, field) or ""
        own = template.count(STAR)
        if own not in (0, stars):
            yield f"`{field}` {template!r} has {own} stars, and the model's name {stars}: write as many, or none"
        elif STAR in template and not rule.fullmatch(template.replace(STAR, "x")):
            yield f"`{field}` {template!r} cannot become a valid name, whatever the star stands for"
    if deployment.format == STAR and not (stars and has_star(deployment)):
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
