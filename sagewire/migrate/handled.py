"""Exception handlers: what caught a library's errors catches sagewire's, too."""

from __future__ import annotations

import libcst as cst
import libcst.matchers as m
from libcst.metadata import MetadataWrapper, PositionProvider, QualifiedNameProvider

from sagewire.migrate.libraries import EXCEPTIONS
from sagewire.migrate.notes import Note
from sagewire.migrate.survey import Survey, imported_name

__all__ = ["rewrite_handlers"]


def rewrite_handlers(module: cst.Module, found: Survey) -> cst.Module:
    """Return the program with sagewire's exceptions beside those that the libraries raised."""
    roots = {name.partition(".")[0] for name in found.modules}
    wanted = {name: error for name, (error, libraries) in EXCEPTIONS.items() if roots & set(libraries)}
    return MetadataWrapper(module).visit(_Handlers(found, wanted)) if wanted else module


class _Handlers(cst.CSTTransformer):
    METADATA_DEPENDENCIES = (PositionProvider, QualifiedNameProvider)

    def __init__(self, found: Survey, wanted: dict[str, str]) -> None:
        super().__init__()
        self._found = found
        self._wanted = wanted

    def leave_ExceptHandler(
        self, original_node: cst.ExceptHandler, updated_node: cst.ExceptHandler
    ) -> cst.ExceptHandler:
        if original_node.type is None or updated_node.type is None:
            return updated_node
        old = original_node.type
        single = [element.value for element in old.elements] if isinstance(old, cst.Tuple) else [old]
        known = {imported_name(tuple(self.get_metadata(QualifiedNameProvider, node, set()))) for node in single}
        written = {node.value for node in single if isinstance(node, cst.Name)}
        new = sorted({self._wanted[name] for name in known if name in self._wanted} - written)
        if not new:
            return updated_node
        self._found.errors |= set(new)
        line: int = self.get_metadata(PositionProvider, original_node).start.line
        if m.findall(original_node.body, m.Attribute(attr=m.Name("response"))):
            cure = "an EndpointError has `code`, `status` and `request_id` in place of `response`"
            self._found.notes.append(Note(line, f"this handler reads `.response`: {cure}", left=True))
        names: list[cst.BaseExpression] = [*single, *map(cst.Name, new)]
        elements = [
            cst.Element(node, comma=cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))) for node in names[:-1]
        ]
        return updated_node.with_changes(type=cst.Tuple([*elements, cst.Element(names[-1])]))
