"""Foreign chat templates, rendered the way Hugging Face's engine does, in a sandbox with real bounds.

Jinja's own sandbox keeps templates away from Python; it does not keep them from running for hours or asking for all the
memory. Here every loop, call, filter, operator and literal is charged to a `Budget`: the template's syntax tree is
rewritten so that loops and concatenations pass through it, the rest passes through the environment anyway.

Facts about the engine (trim_blocks, lstrip_blocks, loop controls, `tojson` without HTML escapes, `raise_exception`,
`strftime_now`, generation blocks): transformers, utils/chat_template_utils.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from datetime import datetime
from functools import lru_cache
from typing import Any, NoReturn

from jinja2 import Environment, Template, TemplateError, nodes, pass_context
from jinja2.ext import Extension, loopcontrols
from jinja2.lexer import Token, TokenStream
from jinja2.parser import Parser
from jinja2.runtime import Context, str_join
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from sagewire.prompt_formats.chat_template.budget import (
    BUDGET,
    ELEMENT,
    MAX_TOKENS,
    Budget,
    TemplateLimit,
    TemplateLimits,
)
from sagewire.prompt_formats.chat_template.filters import (
    MAX_NUMBER,
    check_name,
    formatted_size,
    make_filters,
    product,
    replaced_size,
)

__all__ = ["compile_template", "render_template"]

NOW: ContextVar[datetime | None] = ContextVar("sagewire_template_now", default=None)

PADS = frozenset(("ljust", "rjust", "center", "zfill"))
# Methods of texts that look for another text from the right, or for each of its characters, by comparing all with all.
COMPARES = frozenset(("rfind", "rindex", "rsplit", "rpartition", "strip", "lstrip", "rstrip"))
# They make texts of any size, or bytes, which are not counted.
REFUSED = frozenset(("expandtabs", "translate", "encode", "to_bytes", "from_bytes"))


def compile_template(source: str, limits: TemplateLimits) -> Template:
    """Return the compiled template; raise a Jinja error if it is not valid."""
    if len(source) > limits.template:
        raise TemplateLimit(f"the chat template is longer than {limits.template} characters")
    environment = _environment()
    tree = _Charge().visit(environment.parse(source))
    code = environment.compile(tree)
    return Template.from_code(environment, code, environment.make_globals(None))


def render_template(
    template: Template, variables: Mapping[str, Any], limits: TemplateLimits, now: datetime | None
) -> str:
    """Render; raise a Jinja error, or whatever else the template's operations raise.

    Args:
        template: What `compile_template` returned.
        variables: JSON values only.
        limits: The most that it may cost.
        now: The time for `strftime_now`; `None`: the clock's.
    """
    budget = Budget(limits)
    budget_token, now_token = BUDGET.set(budget), NOW.set(now)
    try:
        pieces, size = [], 0
        for piece in template.generate(**variables):
            size += len(piece)
            budget.allow(size)
            pieces.append(piece)
        return "".join(pieces)
    finally:
        BUDGET.reset(budget_token)
        NOW.reset(now_token)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = _Sandbox(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_GenerationBlocks, loopcontrols, _CountedTokens],
        optimized=False,  # nothing is computed while compiling, where no budget applies
        finalize=_finalize,
    )
    environment.filters = make_filters()
    environment.globals = {
        "range": environment.globals["range"],
        "cycler": environment.globals["cycler"],
        "joiner": environment.globals["joiner"],
        "dict": _make_dict,
        "namespace": _Namespace,
        "raise_exception": _raise_exception,
        "strftime_now": _strftime_now,
    }
    return environment


class _Sandbox(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset(("+", "*", "**", "%"))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        budget = BUDGET.get()
        if operator == "*":
            for sequence, times in ((left, right), (right, left)):
                if isinstance(sequence, str | list | tuple) and isinstance(times, int):
                    budget.allow(budget.weigh(sequence) * max(times, 0))
        elif operator == "+" and isinstance(left, str | list | tuple):
            budget.allow(budget.weigh(left) + budget.weigh(right))
        elif operator == "**" and not (_small(left) and _small(right)):
            raise TemplateLimit("the chat template makes too large a number")
        elif operator == "%" and isinstance(left, str):
            budget.allow(formatted_size(budget, "%", left, right))
        return budget.check(super().call_binop(context, operator, left, right))

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        owner, name = getattr(__obj, "__self__", None), getattr(__obj, "__name__", "")
        if owner is __self:
            # Called by the rewritten tree.
            return __obj(*args)
        budget = BUDGET.get()
        budget.spend()
        if name in REFUSED:
            raise TemplateLimit(f"the chat template calls {name!r}, which is not available here")
        if isinstance(owner, str):
            args = _checked_text_arguments(budget, owner, name, args)
        made = budget.check(super().call(__context, __obj, *args, **kwargs))
        if isinstance(owner, str) and isinstance(made, list):
            # Each piece of a split text is a new text.
            budget.spend(ELEMENT * len(made))
        return made

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None

        def format(*args: Any, **kwargs: Any) -> str:
            budget = BUDGET.get()
            budget.allow(formatted_size(budget, "{", value.__self__, (args, kwargs)))
            return wrapped(*args, **kwargs)

        return format

    # Called by the rewritten tree.

    def charge(self, text: int) -> bool:
        """One more turn of a loop or a macro, which writes `text` characters of its own."""
        BUDGET.get().spend(text)
        return True

    def concatenate(self, *values: Any) -> str:
        """What `~` does."""
        budget = BUDGET.get()
        budget.allow(sum(map(budget.weigh, values)))
        joined = str_join(values)
        return str(budget.check(joined))

    def checked(self, value: Any) -> Any:
        """A list, tuple or dict that was written out, or a slice."""
        return BUDGET.get().check(value)

    def compared(self, value: Any) -> Any:
        """One side of a comparison or a test."""
        BUDGET.get().spend()
        return value


class _Charge(NodeTransformer):
    """Makes loops, macros, `~` and literals pass through the budget."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        _charge_body(node)
        if node.test is not None:
            node.test = nodes.And(_call(node, "charge", nodes.Const(0)), node.test).set_lineno(node.lineno)
        return node

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:
        self.generic_visit(node)
        _charge_body(node)
        return node

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.Node:
        self.generic_visit(node)
        _charge_body(node)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _call(node, "concatenate", *node.nodes)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        self.generic_visit(node)
        node.expr = _call(node, "compared", node.expr)
        return node

    def visit_Operand(self, node: nodes.Operand) -> nodes.Node:
        self.generic_visit(node)
        node.expr = _call(node, "compared", node.expr)
        return node

    def visit_Test(self, node: nodes.Test) -> nodes.Node:
        self.generic_visit(node)
        node.node = _call(node, "compared", node.node)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        self.generic_visit(node)
        return _call(node, "checked", node) if isinstance(node.arg, nodes.Slice) else node

    def visit_List(self, node: nodes.List) -> nodes.Node:
        self.generic_visit(node)
        return _call(node, "checked", node)

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:
        self.generic_visit(node)
        return _call(node, "checked", node)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:
        self.generic_visit(node)
        return node if node.ctx != "load" else _call(node, "checked", node)


def _call(node: nodes.Node, method: str, *arguments: nodes.Expr) -> nodes.Expr:
    call = nodes.Call(nodes.EnvironmentAttribute(method), list(arguments), [], None, None)
    call.set_lineno(node.lineno)
    return call


def _charge_body(node: nodes.For | nodes.Macro | nodes.CallBlock) -> None:
    # What the body itself writes is charged here, what its expressions write in `_finalize`.
    written = sum(len(data.data) for part in node.body for data in part.find_all(nodes.TemplateData))
    charge = nodes.ExprStmt(_call(node, "charge", nodes.Const(written)))
    node.body.insert(0, charge.set_lineno(node.lineno))


class _GenerationBlocks(Extension):
    """`{% generation %}` marks what the assistant says, for training; here it only groups."""

    tags = {"generation"}  # noqa: RUF012 - as Jinja declares it

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        # A call block, and not just the body, because it is its own scope in the original too.
        return nodes.CallBlock(self.call_method("said"), [], [], body).set_lineno(line)

    def said(self, caller: Callable[[], str]) -> str:
        """Return the block's text."""
        return caller()


class _CountedTokens(Extension):
    """Bounds what compiling costs: a template of short tokens takes a thousand times its size while it is compiled."""

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        """Pass tokens on to the parser, up to a limit."""
        for count, token in enumerate(stream, 1):
            if count > MAX_TOKENS:
                raise TemplateLimit(f"the chat template has more than {MAX_TOKENS} tokens")
            yield token


class _Namespace(Namespace):
    """Refuses names with underscores, through which templates have broken out of the sandbox."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        self, args = args[0], args[1:]
        values = _make_dict(*args, **kwargs)
        for name in values:
            check_name(name)
        Namespace.__init__(self, values)

    def __setitem__(self, name: str, value: Any) -> None:
        check_name(name)
        super().__setitem__(name, value)

    def __repr__(self) -> str:
        # Its elements may hold others, and are not counted.
        return "<Namespace>"


def _make_dict(*args: Any, **kwargs: Any) -> dict[Any, Any]:
    return dict(*args, **kwargs)


def _raise_exception(message: object) -> NoReturn:
    raise TemplateError(str(message))


def _strftime_now(format: str) -> str:
    budget = BUDGET.get()
    budget.allow(formatted_size(budget, "%", format, ()))
    return (NOW.get() or datetime.now()).strftime(format)


@pass_context  # which also keeps constants from being computed while compiling
def _finalize(context: Context, value: Any) -> Any:
    """What is written: charged before it is turned into text."""
    budget = BUDGET.get()
    if isinstance(value, str):
        budget.spend(len(value))
    else:
        weight = budget.weigh(value)
        budget.allow(weight)
        budget.spend(weight)
    return value


def _checked_text_arguments(budget: Budget, text: str, name: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuse what a method of a string would make too large."""
    if name == "replace" and len(args) > 1 and all(isinstance(arg, str) for arg in args[:2]):
        budget.allow(replaced_size(budget, text, *args[:2]))
    elif name == "join" and args:
        items = list(budget.each(args[0]))
        budget.allow(budget.weigh(items) + len(items) * len(text))
        return (items, *args[1:])
    elif name in COMPARES and args:
        product(budget, text, args[0])
    elif name in PADS and any(isinstance(arg, int) and arg > MAX_NUMBER for arg in args):
        raise TemplateLimit(f"the chat template gives {name!r} too large a number")
    return args


def _small(number: Any) -> bool:
    return isinstance(number, int | float) and abs(number) <= 1000
