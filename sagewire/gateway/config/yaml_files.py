"""YAML files as trees of nodes that know their file and line; files that include others are joined into one tree."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from sagewire.errors import UsageError, why_unreadable

__all__ = ["compose", "construct", "digest_of", "join", "read_included", "read_text", "where"]

# Limits of a configuration file; aliases count each time.
MAX_BYTES = 10_000_000
MAX_DEPTH = 50
MAX_VALUES = 200_000
LITELLM_SECTIONS = frozenset({"model_list", "litellm_settings", "router_settings", "general_settings"})
INCLUDE = "include"
_NULL = "tag:yaml.org,2002:null"


def where(mark: yaml.Mark) -> str:
    """Return a place as it is named in messages."""
    return f"{mark.name}, line {mark.line + 1}"


def digest_of(path: Path) -> bytes:
    """Return what tells one state of a file from another; nothing for a file that is not there."""
    try:
        return hashlib.sha256(path.read_bytes()).digest() if path.is_file() else b""
    except OSError:
        return b""


def read_text(path: Path, files: dict[Path, bytes]) -> str:
    """Return a file's text.

    Args:
        path: The file.
        files: Gets its digest, or nothing for one that is not there.

    Raises:
        UsageError: It cannot be read.
    """
    files[path] = b""
    try:
        # Neither a pipe nor a device: reading those may never end.
        if path.exists() and not path.is_file():
            raise UsageError(f"cannot read {path}: it is not a regular file")
        data = path.read_bytes()
        if len(data) > MAX_BYTES:
            raise UsageError(f"cannot read {path}: it has more than {MAX_BYTES} bytes")
        files[path] = hashlib.sha256(data).digest()
        return data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {why_unreadable(error)}") from None


def compose(text: str, name: str) -> yaml.MappingNode:
    """Return the tree of a text.

    Raises:
        UsageError: It is not YAML, holds a key twice, or is not a mapping.
    """
    try:
        loader = yaml.SafeLoader(text)
        loader.name = name
        root = loader.get_single_node()
        if isinstance(root, yaml.MappingNode):
            _check_size(root, name)
            _refuse_duplicates(root)
            _flatten(root)
            return root
    except yaml.YAMLError as error:
        raise _not_yaml(error, name) from None
    except RecursionError:
        raise _too_deep(name) from None
    raise UsageError(f"{name}: expected a mapping with `models` or `model_list`, found nothing of that kind")


class _Loader(yaml.SafeLoader):
    """A loader that says where a value is that it cannot read."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, OverflowError, AttributeError) as error:
            if isinstance(error, UsageError) or not isinstance(node, yaml.ScalarNode):
                raise
            # A date such as 2027-13-45, or a number with more digits than Python reads.
            raise UsageError(f"{where(node.start_mark)}: a value cannot be read: {error}") from None


def construct(root: yaml.MappingNode, name: str) -> dict[str, Any]:
    """Return the values of a tree; plain ones only, whatever its tags say."""
    try:
        data = _Loader("").construct_document(root)
    except yaml.YAMLError as error:
        raise _not_yaml(error, name) from None
    except RecursionError:
        raise _too_deep(name) from None
    except UsageError:
        raise
    except (ValueError, TypeError, OverflowError, AttributeError) as error:
        raise UsageError(f"{name}: a value cannot be read: {error}") from None
    assert isinstance(data, dict), "the tree is a mapping"
    return data


def read_included(root: yaml.MappingNode, path: Path | None, files: dict[Path, bytes]) -> list[yaml.MappingNode]:
    """Return a tree and those of all files that it includes, and they, in the order in which they are joined.

    Names are relative to the file that has them. A file that is named twice is read once.

    Args:
        root: The first tree.
        path: Its file; without one, names are relative to the current directory.
        files: Gets the digest of each file that is read or looked for.

    Raises:
        UsageError: A file cannot be read, is not a mapping or includes itself; the message names the line.
    """
    above = () if path is None else (path.resolve(),)
    trees, seen = [root], set(above)
    waiting = [(entry, Path() if path is None else path.parent, above) for entry in _entries(root)]
    while waiting:
        entry, folder, above = waiting.pop(0)
        if "://" in entry.value:
            raise _error(entry, "only files of this machine can be included")
        path = folder / entry.value
        location = path.resolve()
        if location in above:
            raise _error(entry, f"{path} includes itself, directly or through another file")
        if location in seen:
            continue
        seen.add(location)
        try:
            text = read_text(path, files)
        except UsageError as error:
            raise _error(entry, str(error)) from None
        tree = compose(text, str(path))
        trees.append(tree)
        waiting += [(inner, path.parent, (*above, location)) for inner in _entries(tree)]
    return trees


def join(trees: Sequence[yaml.MappingNode]) -> yaml.MappingNode:
    """Return one tree out of several.

    Lists are appended. Of anything else LiteLLM takes the last (litellm/proxy/common_utils/config_includes.py), and so
    do files in its form. In sagewire's own form mappings are joined, and what is there twice is an error.

    Raises:
        UsageError: A file in sagewire's own form has something that an earlier one has, too.
    """
    theirs = any(key.value in LITELLM_SECTIONS for tree in trees for key, _ in tree.value)
    found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
    for tree in trees:
        for key, node in tree.value:
            if key.value == INCLUDE:
                continue
            before = found.get(key.value)
            found[key.value] = (key, node) if before is None else _joined(before, (key, node), theirs)
    first = trees[0]
    return yaml.MappingNode(first.tag, list(found.values()), first.start_mark, first.end_mark)


def _joined(
    before: tuple[yaml.Node, yaml.Node], after: tuple[yaml.Node, yaml.Node], theirs: bool
) -> tuple[yaml.Node, yaml.Node]:
    (key, old), (twin, new) = before, after
    if isinstance(old, yaml.SequenceNode) and isinstance(new, yaml.SequenceNode):
        return key, yaml.SequenceNode(old.tag, old.value + new.value, old.start_mark, old.end_mark)
    if theirs or old.tag == _NULL:
        return after
    if new.tag == _NULL:
        return before
    if not (isinstance(old, yaml.MappingNode) and isinstance(new, yaml.MappingNode)):
        raise _error(twin, f"{key.value} is in {where(key.start_mark)}, too")
    pairs = {name.value: (name, value) for name, value in _flatten(old).value}
    for name, value in _flatten(new).value:
        if name.value in pairs:
            place = where(pairs[name.value][0].start_mark)
            raise _error(name, f"{key.value}.{name.value} is in {place}, too; one of them would be lost")
        pairs[name.value] = name, value
    return key, yaml.MappingNode(old.tag, list(pairs.values()), old.start_mark, old.end_mark)


def _entries(root: yaml.MappingNode) -> Iterator[yaml.ScalarNode]:
    for key, node in root.value:
        if key.value != INCLUDE or node.tag == _NULL:
            continue
        for entry in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(entry, yaml.ScalarNode) or not entry.value:
                raise _error(entry, "should be the name of a file, or a list of such names")
            yield entry


def _error(node: yaml.Node, message: str) -> UsageError:
    return UsageError(f"{where(node.start_mark)}: include: {message}")


def _flatten(node: yaml.MappingNode) -> yaml.MappingNode:
    """Put what `<<` stands for in its place, so that keys can be looked at one by one."""
    try:
        yaml.constructor.SafeConstructor().flatten_mapping(node)
    except yaml.YAMLError as error:
        raise _not_yaml(error, node.start_mark.name) from None
    return node


def _check_size(root: yaml.Node, name: str) -> None:
    """Refuse a tree whose values, with aliases written out, are too many or nested too deeply."""
    sizes: dict[int, tuple[int, int]] = {}
    begun: set[int] = set()

    def measure(node: yaml.Node, depth: int) -> tuple[int, int]:
        if depth > MAX_DEPTH:
            raise UsageError(f"{where(node.start_mark)}: nested too deeply")
        if isinstance(node, yaml.ScalarNode):
            return 1, 0
        known = sizes.get(id(node))
        if known is None:
            if id(node) in begun:
                raise UsageError(f"{where(node.start_mark)}: an alias contains itself")
            begun.add(id(node))
            parts = [one for pair in node.value for one in pair] if isinstance(node, yaml.MappingNode) else node.value
            measured = [measure(one, depth + 1) for one in parts]
            known = 1 + sum(size for size, _ in measured), 1 + max((below for _, below in measured), default=0)
            sizes[id(node)] = known
        if depth + known[1] > MAX_DEPTH:
            raise _too_deep(name)
        if known[0] > MAX_VALUES:
            raise UsageError(f"{name}: more than {MAX_VALUES} values, aliases written out")
        return known

    measure(root, 0)


def _too_deep(name: str) -> UsageError:
    return UsageError(f"{name}: nested too deeply, or an alias contains itself")


def _refuse_duplicates(node: yaml.Node, looked_at: set[int] | None = None) -> None:
    looked_at = set() if looked_at is None else looked_at
    if id(node) in looked_at:
        return
    looked_at.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_duplicates(item, looked_at)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise UsageError(f"{where(key.start_mark)}: a key should be a word, not a list or a mapping")
            if key.value in seen and key.value != "<<":
                raise UsageError(f"{where(key.start_mark)}: {key.value!r} is there twice; the first would be lost")
            seen.add(key.value)
            _refuse_duplicates(value, looked_at)


def _not_yaml(error: yaml.YAMLError, name: str) -> UsageError:
    if not isinstance(error, yaml.MarkedYAMLError):
        return UsageError(f"{name}: not valid YAML: {error}")
    mark = error.problem_mark or error.context_mark
    place = f"{mark.name}: line {mark.line + 1}" if mark else name
    return UsageError(f"{place}: not valid YAML: {error.problem or error.context}")
