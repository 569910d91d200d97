"""Rewriting names and the arguments of calls."""

from __future__ import annotations

import libcst as cst
from libcst.metadata import MetadataWrapper, ParentNodeProvider, PositionProvider, QualifiedNameProvider

from sagewire.migrate.libraries import MODULES, SOURCES, Successor
from sagewire.migrate.notes import Note
from sagewire.migrate.survey import Survey, imported_name

__all__ = ["rewrite_calls"]


def rewrite_calls(wrapper: MetadataWrapper, found: Survey) -> cst.Module:
    """Return the program with names and arguments as they are called here; exception handlers are marked."""
    return wrapper.visit(_Calls(found))


class _Calls(cst.CSTTransformer):
    METADATA_DEPENDENCIES = (ParentNodeProvider, PositionProvider, QualifiedNameProvider)

    def __init__(self, found: Survey) -> None:
        super().__init__()
        self._found = found

    def _name(self, node: cst.CSTNode) -> str | None:
        return imported_name(tuple(self.get_metadata(QualifiedNameProvider, node, set())))

    def visit_ImportFrom(self, node: cst.ImportFrom) -> bool:
        return False

    def visit_Import(self, node: cst.Import) -> bool:
        return False

    def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.BaseExpression:
        if isinstance(self.get_metadata(ParentNodeProvider, original_node, None), cst.Attribute | cst.Arg):
            parent = self.get_metadata(ParentNodeProvider, original_node)
            if (isinstance(parent, cst.Attribute) and parent.attr is original_node) or (
                isinstance(parent, cst.Arg) and parent.keyword is original_node
            ):
                return updated_node
        name = self._name(original_node)
        successor = self._found.successor(name)
        if successor is None or name is None or original_node.value != name.rpartition(".")[2]:
            return updated_node
        return updated_node.with_changes(value=successor.name)

    def leave_Attribute(self, original_node: cst.Attribute, updated_node: cst.Attribute) -> cst.BaseExpression:
        name = self._name(original_node)
        successor = self._found.successor(name)
        module = "" if name is None else name.rpartition(".")[0]
        if successor is None or module in SOURCES or module not in MODULES or module == "easyllm.clients":
            return updated_node
        self._found.used.add(successor.name)
        if module == "litellm.exceptions":
            return updated_node
        return cst.Name(successor.name)

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.Call:
        name = self._name(original_node.func)
        successor = self._found.successor(name)
        if successor is None:
            return updated_node
        line: int = self.get_metadata(PositionProvider, original_node).start.line
        if successor.note:
            self._found.notes.append(Note(line, f"{successor.name}: {successor.note}"))
        if any(argument.star == "**" for argument in original_node.args) and (successor.arguments or successor.added):
            told = ", ".join([*successor.arguments, *successor.added])
            self._found.notes.append(Note(line, f"{successor.name}: look for {told} in what ** unpacks"))
        return updated_node.with_changes(args=_arguments(updated_node, successor))


def _arguments(call: cst.Call, successor: Successor) -> list[cst.Arg]:
    arguments = [_renamed(argument, successor) for argument in call.args]
    given = {argument.keyword.value for argument in arguments if argument.keyword is not None}
    if any(argument.star == "**" for argument in arguments):
        return arguments
    for name, value in successor.added.items():
        if name not in given:
            arguments = _with(arguments, name, value)
    return arguments


def _renamed(argument: cst.Arg, successor: Successor) -> cst.Arg:
    if argument.keyword is None or argument.keyword.value not in successor.arguments:
        return argument
    return argument.with_changes(keyword=cst.Name(successor.arguments[argument.keyword.value]))


def _with(arguments: list[cst.Arg], name: str, value: str) -> list[cst.Arg]:
    """Return the arguments with one more, laid out as those before it."""
    tight = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
    new = cst.Arg(cst.parse_expression(value), keyword=cst.Name(name), equal=tight)
    if not arguments:
        return [new]
    last = arguments[-1]
    between = arguments[-2].comma if len(arguments) > 1 else cst.MaybeSentinel.DEFAULT
    if isinstance(last.comma, cst.Comma):
        # One argument a line, with a comma at the end: the new one takes over what followed the last.
        spaced = between if isinstance(between, cst.Comma) else _own_line(last.comma)
        return [*arguments[:-1], last.with_changes(comma=spaced), new.with_changes(comma=last.comma)]
    if isinstance(between, cst.Comma) and isinstance(between.whitespace_after, cst.ParenthesizedWhitespace):
        return [
            *arguments[:-1],
            last.with_changes(comma=between, whitespace_after_arg=cst.SimpleWhitespace("")),
            new.with_changes(whitespace_after_arg=last.whitespace_after_arg),
        ]
    closing = last.whitespace_after_arg
    return [
        *arguments[:-1],
        last.with_changes(
            comma=cst.Comma(whitespace_after=cst.SimpleWhitespace(" ")), whitespace_after_arg=cst.SimpleWhitespace("")
        ),
        new.with_changes(whitespace_after_arg=closing),
    ]


def _own_line(comma: cst.Comma) -> cst.Comma:
    after = comma.whitespace_after
    if isinstance(after, cst.ParenthesizedWhitespace):
        return comma.with_changes(
            whitespace_after=after.with_changes(indent=True, last_line=cst.SimpleWhitespace("    "))
        )
    return comma.with_changes(whitespace_after=cst.SimpleWhitespace(" "))
