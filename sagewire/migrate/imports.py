"""Rewriting import statements, each in its place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import libcst as cst
from libcst.codemod import CodemodContext
from libcst.codemod.visitors import AddImportsVisitor
from libcst.helpers import get_full_name_for_node

from sagewire.migrate.libraries import MODULES, SOURCES
from sagewire.migrate.survey import Survey

__all__ = ["rewrite_imports"]

# New module -> (name there, name in the program).
_Moved = dict[str, list[tuple[str, str | None]]]


def rewrite_imports(module: cst.Module, found: Survey) -> cst.Module:
    """Return the program with what moves imported from its new modules."""
    imports = _Imports(found)
    done = module.visit(imports)
    if imports.added or not found.errors:
        return done
    # No import of the whole program moves: only some inside of functions.
    context = CodemodContext()
    for name in sorted(found.errors):
        AddImportsVisitor.add_needed_import(context, "sagewire", name)
    return AddImportsVisitor(context).transform_module(done)


class _Imports(cst.CSTTransformer):
    def __init__(self, found: Survey) -> None:
        super().__init__()
        self._found = found
        self._depth = 0
        self.added = False

    def visit_IndentedBlock(self, node: cst.IndentedBlock) -> None:
        self._depth += 1

    def leave_IndentedBlock(self, original_node: cst.IndentedBlock, updated_node: cst.IndentedBlock) -> cst.BaseSuite:
        self._depth -= 1
        return updated_node

    def leave_SimpleStatementLine(
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> cst.SimpleStatementLine | cst.FlattenSentinel[cst.SimpleStatementLine] | cst.RemovalSentinel:
        body: list[cst.BaseSmallStatement] = []
        moved: _Moved = {}
        for statement in updated_node.body:
            if isinstance(statement, cst.ImportFrom):
                body += self._from(statement, moved)
            elif isinstance(statement, cst.Import):
                body += self._import(statement, moved)
            else:
                body.append(statement)
        if not moved:
            return updated_node
        if not self.added and self._depth == 0:
            self.added = True
            for name in sorted(self._found.errors):
                moved.setdefault("sagewire", []).append((name, None))
        fresh = [_statement(name, names) for name, names in moved.items()]
        rest = [updated_node.with_changes(body=_without_semicolon(body), leading_lines=[])] if body else []
        new = [cst.SimpleStatementLine([line]) for line in fresh]
        if new and not rest:
            new[0] = new[0].with_changes(trailing_whitespace=updated_node.trailing_whitespace)
        every = [*rest, *new]
        every[0] = every[0].with_changes(leading_lines=updated_node.leading_lines)
        return cst.FlattenSentinel(every)

    def _from(self, statement: cst.ImportFrom, moved: _Moved) -> list[cst.BaseSmallStatement]:
        module = (
            "" if statement.module is None or statement.relative else get_full_name_for_node(statement.module) or ""
        )
        if isinstance(statement.names, cst.ImportStar) or module not in MODULES:
            return [statement]
        kept = []
        for alias in statement.names:
            name = get_full_name_for_node(alias.name) or ""
            successor = self._found.successor(f"{module}.{name}")
            if successor is None:
                kept.append(alias)
                continue
            bound = _bound_name(alias)
            moved.setdefault(successor.module, []).append((successor.name, bound))
        if len(kept) == len(statement.names):
            return [statement]
        if not kept:
            return []
        kept[-1] = kept[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
        return [statement.with_changes(names=kept)]

    def _import(self, statement: cst.Import, moved: _Moved) -> list[cst.BaseSmallStatement]:
        kept: list[cst.ImportAlias] = []
        for alias in statement.names:
            name = get_full_name_for_node(alias.name) or ""
            target = self._found.module(name)
            if target is not None and name in SOURCES and (name == "litellm" or alias.asname is not None):
                parent, _, last = target.rpartition(".")
                moved.setdefault(parent, []).append((last, _bound_name(alias)))
            elif name in self._found.modules and name not in SOURCES:
                self._members(name, moved)
            else:
                kept.append(alias)
        if len(kept) == len(statement.names):
            return [statement]
        if not kept:
            return []
        kept[-1] = kept[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
        return [statement.with_changes(names=kept)]

    def _members(self, module: str, moved: _Moved) -> None:
        """Import the classes of a module that was imported whole; calls name them without it from now on."""
        for successor in MODULES[module].values():
            if successor.name in self._found.used:
                moved.setdefault(successor.module, []).append((successor.name, None))


def _bound_name(alias: cst.ImportAlias) -> str | None:
    return None if alias.asname is None else get_full_name_for_node(alias.asname.name)


def _statement(module: str, names: Iterable[tuple[str, str | None]]) -> cst.ImportFrom:
    unique = sorted(set(names), key=lambda pair: (pair[0], pair[1] or ""))
    aliases = [
        cst.ImportAlias(cst.Name(name), asname=None if bound in (None, name) else cst.AsName(cst.Name(bound or name)))
        for name, bound in unique
    ]
    return cst.ImportFrom(_dotted(module), aliases)


def _dotted(name: str) -> cst.Name | cst.Attribute:
    first, *rest = name.split(".")
    node: cst.Name | cst.Attribute = cst.Name(first)
    for part in rest:
        node = cst.Attribute(node, cst.Name(part))
    return node


def _without_semicolon(body: Sequence[cst.BaseSmallStatement]) -> list[cst.BaseSmallStatement]:
    return [*body[:-1], body[-1].with_changes(semicolon=cst.MaybeSentinel.DEFAULT)]
