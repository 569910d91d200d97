"""Reading a program before it is rewritten: which names come from other libraries, and which of them can move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import libcst as cst
from libcst.helpers import get_full_name_for_node
from libcst.metadata import MetadataWrapper, PositionProvider, QualifiedNameProvider, QualifiedNameSource

from sagewire.migrate.libraries import HANDLERS, LITELLM, LOCAL_MODELS, MODULES, NAMES, SOURCES, Successor
from sagewire.migrate.notes import Note

__all__ = ["Survey", "imported_name", "survey"]

_LITELLM_MODELS = ("sagemaker/", "sagemaker_chat/", "sagemaker_nova/", "huggingface/")
_ROOTS = {name.partition(".")[0] for name in MODULES}


@dataclass(slots=True)
class Survey:
    """What was found in a program, and what becomes of it.

    Args:
        modules: Old modules from which something moves.
        targets: New modules.
        kept: Whole names that stay with their library.
        notes: The places that a person must look at.
        errors: Names of `sagewire` that exception handlers need.
        used: Classes that were called through their module and are now called by name.
    """

    modules: set[str] = field(default_factory=set)
    targets: list[str] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)
    notes: list[Note] = field(default_factory=list)
    errors: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)

    def successor(self, name: str | None) -> Successor | None:
        """Return the successor of a name, `None` if it stays."""
        if name is None or name in self.kept or ("litellm" in self.kept and name.startswith("litellm.")):
            return None
        return NAMES.get(name)

    def module(self, name: str) -> str | None:
        """Return the new module for one that is used as a value, `None` if it stays."""
        return None if name in self.kept else SOURCES.get(name)

    def moves(self, module: str, name: str) -> None:
        """Take down that a name moves from an old module to a new one."""
        self.modules.add(module)
        if name not in self.targets:
            self.targets.append(name)


def imported_name(names: Sequence[object]) -> str | None:
    """Return the one imported or built-in name that a node stands for."""
    found = [
        name.name  # type: ignore[attr-defined]
        for name in names
        if name.source in (QualifiedNameSource.IMPORT, QualifiedNameSource.BUILTIN)  # type: ignore[attr-defined]
    ]
    return found[0] if len(found) == 1 else None


def survey(wrapper: MetadataWrapper) -> Survey:
    """Return what a program uses of the libraries in the table."""
    reader = _Reader()
    wrapper.visit(reader)
    return reader.found


class _Reader(cst.CSTVisitor):
    METADATA_DEPENDENCIES = (PositionProvider, QualifiedNameProvider)

    def __init__(self) -> None:
        super().__init__()
        self.found = Survey()
        self._litellm: set[str] = set()
        self._other_models: list[tuple[int, str]] = []
        self._unknown: list[tuple[int, str]] = []
        self._variable_models = 0

    def _line(self, node: cst.CSTNode) -> int:
        line: int = self.get_metadata(PositionProvider, node).start.line
        return line

    def _name(self, node: cst.CSTNode) -> str | None:
        return imported_name(tuple(self.get_metadata(QualifiedNameProvider, node, set())))

    def visit_ImportFrom(self, node: cst.ImportFrom) -> bool:
        module = "" if node.module is None or node.relative else get_full_name_for_node(node.module) or ""
        if isinstance(node.names, cst.ImportStar):
            if module in MODULES:
                self._left(node, f"from {module} import * names nothing; import what the program uses by name")
            return False
        for alias in node.names:
            name = get_full_name_for_node(alias.name) or ""
            self._import(node, module, name)
        return False

    def _import(self, node: cst.CSTNode, module: str, name: str) -> None:
        whole = f"{module}.{name}"
        successor = MODULES.get(module, {}).get(name)
        if successor is not None:
            self.found.moves(module, successor.module)
            if module.startswith("litellm"):
                self._litellm.add(module)
        elif whole in MODULES and whole not in SOURCES:
            self._left(node, f"{whole} is imported as a module; import its classes by name")
        elif module.partition(".")[0] == "litellm":
            self._unknown.append((self._line(node), whole))
        elif name in LOCAL_MODELS:
            self._left(node, f"{name} runs the model in this process, which sagewire does not; it stays")
        elif module.partition(".")[0] in ("easyllm", "langchain_huggingface") and module in MODULES:
            self._left(node, f"{whole} has no successor here; it stays")

    def visit_Import(self, node: cst.Import) -> bool:
        for alias in node.names:
            name = get_full_name_for_node(alias.name) or ""
            if name in SOURCES:
                self.found.moves(name, SOURCES[name])
                if name == "litellm":
                    self._litellm.add(name)
            elif name in MODULES and name not in ("langchain", "easyllm"):
                self.found.modules.add(name)
        return False

    def visit_Attribute(self, node: cst.Attribute) -> None:
        name = self._name(node)
        if name is None or name.partition(".")[0] not in _ROOTS:
            return
        module, _, last = name.rpartition(".")
        if module == "litellm" and name not in NAMES and name != "litellm.exceptions":
            self._unknown.append((self._line(node), name))
        elif module in MODULES and last in MODULES[module] and module not in SOURCES:
            self.found.moves(module, MODULES[module][last].module)

    def visit_ClassDef(self, node: cst.ClassDef) -> None:
        for base in node.bases:
            name = self._name(base.value) or ""
            if name in NAMES and NAMES[name].name in HANDLERS:
                self.found.notes.append(
                    Note(
                        self._line(node),
                        f"{node.name.value} is kept as it is; sagewire finds the container's request format by itself, "
                        "so leave content_handler out to get streams, tools, token counts and async",
                    )
                )

    def visit_Call(self, node: cst.Call) -> None:
        name = self._name(node.func) or ""
        if not name.startswith("litellm.") or NAMES.get(name) is None:
            return
        given = [argument for argument in node.args if argument.keyword is not None]
        models = [argument.value for argument in given if argument.keyword and argument.keyword.value == "model"]
        models = models or [argument.value for argument in node.args[:1] if argument.keyword is None]
        for model in models:
            text = _text_of(model)
            if text is None:
                self._variable_models += 1
            elif not text.startswith(_LITELLM_MODELS):
                self._other_models.append((self._line(node), text))
        for argument in given:
            if argument.keyword and argument.keyword.value in ("fallbacks", "cache", "callbacks", "mock_response"):
                self._left(node, f"{argument.keyword.value}= of {name} has no counterpart; see the page on migrating")

    def leave_Module(self, original_node: cst.Module) -> None:
        if not (self._litellm or self._unknown):
            return
        reasons = [(line, f"the model {model!r} is another provider's") for line, model in self._other_models]
        reasons += [(line, f"{name} has no successor here") for line, name in self._unknown]
        if reasons:
            # One program, one library: half of it on each would need two sets of errors and settings.
            self.found.kept.add("litellm")
            self.found.modules -= self._litellm
            self.found.targets = [name for name in self.found.targets if not name.startswith(LITELLM)]
            for line, reason in reasons:
                self.found.notes.append(Note(line, f"litellm stays: {reason}", left=True))
        elif self._variable_models:
            self.found.notes.append(
                Note(1, "models that litellm is given at run time must be sagemaker/... or huggingface/... names")
            )

    def _left(self, node: cst.CSTNode, text: str) -> None:
        self.found.notes.append(Note(self._line(node), text, left=True))


def _text_of(node: cst.BaseExpression) -> str | None:
    """Return the beginning of a string that is written out, `None` for everything else."""
    if isinstance(node, cst.SimpleString):
        value = node.evaluated_value
        return value if isinstance(value, str) else None
    if isinstance(node, cst.ConcatenatedString):
        return _text_of(node.left)
    if isinstance(node, cst.FormattedString) and node.parts and isinstance(node.parts[0], cst.FormattedStringText):
        return node.parts[0].value
    return None
