"""Calls written as Python, `f(a=1, b=['x'])`: literals only, read by a small parser of their own. Nothing is evaluated.

Not `ast`: compiling what a model wrote costs a stack frame for each nested minus sign, and warns about the escapes
that models get wrong.
"""

from __future__ import annotations

import re
from typing import Any

from sagewire.prompt_formats.output_parsers.engine.json_text import to_json
from sagewire.prompt_formats.output_parsers.engine.source import NotACall, Source, Wait

__all__ = ["NAME_CHARACTERS", "escape_quotes", "parse_calls", "parse_literal", "read_balanced"]

MAX_DEPTH = 100
MAX_DIGITS = 1000  # Python refuses to print numbers of 4300 digits

NAME_CHARACTERS = re.compile(r"[\w.]*")
OPEN = {"(": ")", "[": "]", "{": "}"}
PLAIN = re.compile(r"[^'\"()\[\]{}#;`<>\\]*")
STRINGS = {quote: re.compile(rf"(?:[^{quote}\\\n]++|\\.)*+", re.DOTALL) for quote in "'\""}
QUOTE = re.compile(r"(?P<escaped>\\.)|['\"]", re.DOTALL)
ENDS_STRING = re.compile(r"\s*(?:[,)\]}:]|\Z)")
TOKEN = re.compile(
    r"""[ \t\r\n]*(?:
        (?P<string>'(?:[^'\\]++|\\.)*+'|"(?:[^"\\]++|\\.)*+")
      | (?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
      | (?P<name>[^\W\d]\w*(?:\.[^\W\d]\w*)*)
      | (?P<mark>[()\[\]{},:=])
    )""",
    re.VERBOSE | re.DOTALL,
)
ESCAPE = re.compile(
    r"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U(00(?:0[0-9a-fA-F]|10)[0-9a-fA-F]{4})|(.))", re.DOTALL
)
PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
SIMPLE_ESCAPES = {
    "\n": "", "\\": "\\", "'": "'", '"': '"', "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t",
    "v": "\v",
}  # fmt: skip
CONSTANTS = {"True": True, "False": False, "None": None, "true": True, "false": False, "null": None}


def read_balanced(source: Source) -> Wait[str]:
    """Read from an opening bracket to the one that closes it; return the text. Only the brackets are looked at.

    Raises:
        NotACall: The brackets do not match, or there is something between them that no literal has.
    """
    closing: list[str] = []
    pieces: list[str] = []
    while True:
        found = PLAIN.match(source.buffer, source.position)
        end = found.end() if found else source.position
        character = source.buffer[end : end + 1]
        if character and character not in "'\"()[]{}":
            raise NotACall(here=True)
        pieces.append(source.buffer[source.position : end] + character)
        source.position = end + len(character)
        if character in OPEN:
            closing.append(OPEN[character])
            if len(closing) > MAX_DEPTH:
                raise NotACall(here=True)
        elif character in STRINGS:
            yield from _read_string(source, character, pieces)
        elif character:
            if not closing or character != closing.pop():
                raise NotACall(here=True)
            if not closing:
                return "".join(pieces)
        elif not (yield from source.more()):
            raise NotACall(here=True)


def _read_string(source: Source, quote: str, pieces: list[str]) -> Wait[None]:
    while True:
        found = STRINGS[quote].match(source.buffer, source.position)
        end = found.end() if found else source.position
        pieces.append(source.buffer[source.position : end])
        source.position = end
        following = source.buffer[end : end + 1]
        if following == quote:
            pieces.append(quote)
            source.position += 1
            return
        # A backslash at the end waits for its character; a line break ends no string.
        if following == "\n" or not (yield from source.more()):
            raise NotACall(here=True)


def parse_calls(text: str) -> list[tuple[str, str]]:
    """Return the name and the arguments' JSON text of each call in a list.

    Raises:
        NotACall: It is not a list of calls with keyword arguments and literal values.

    Example:
        >>> parse_calls("[f(a=1, b=['x', None]), g()]")
        [('f', '{"a": 1, "b": ["x", null]}'), ('g', '{}')]
    """
    return _Parser(text).calls()


def escape_quotes(text: str) -> str:
    r"""Escape the quotation marks inside strings: those behind which neither a separator nor a bracket follows.

    Example:
        >>> print(escape_quotes("[f(a='It's here')]"))
        [f(a='It\'s here')]
    """
    pieces: list[str] = []
    opened, start = "", 0
    for found in QUOTE.finditer(text):
        mark = found[0]
        if found["escaped"] or (opened and mark != opened):
            continue
        if not opened:
            opened = mark
        elif ENDS_STRING.match(text, found.end()):
            opened = ""
        else:
            pieces += (text[start : found.start()], "\\")
            start = found.start()
    return "".join((*pieces, text[start:]))


def parse_literal(text: str, otherwise: Any = None) -> Any:
    """Return the value of a literal, or `otherwise` if the text is something else."""
    try:
        return _Parser(text).literal()
    except (NotACall, RecursionError):
        return otherwise


class _Parser:
    """Reads a text that is complete; one token ahead."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.kind = ""
        self.token = ""
        self._next()

    def calls(self) -> list[tuple[str, str]]:
        self._expect("[")
        found = [self._call()]
        while self._accept(","):
            if self.token == "]":
                break
            found.append(self._call())
        self._expect("]")
        if self.kind != "end":
            raise NotACall(here=True)
        return found

    def literal(self) -> Any:
        """Return the only value."""
        value = self._value()
        if self.kind != "end":
            raise NotACall(here=True)
        return value

    def _call(self) -> tuple[str, str]:
        name = self._name()
        self._expect("(")
        arguments: dict[str, Any] = {}
        while self.token != ")" or self.kind != "mark":
            key = self._name()
            self._expect("=")
            if key in arguments or "." in key:
                raise NotACall(here=True)
            arguments[key] = self._value()
            if not self._accept(","):
                break
        self._expect(")")
        try:
            return name, to_json(arguments)
        except ValueError:
            raise NotACall(here=True) from None

    def _value(self) -> Any:
        kind, token = self.kind, self.token
        if kind == "string":
            self._next()
            return _unescape(token[1:-1])
        if kind == "number":
            self._next()
            return _number(token)
        if kind == "name" and token in CONSTANTS:
            self._next()
            return CONSTANTS[token]
        if self._accept("["):
            return self._items("]")
        if self._accept("("):
            return self._items(")")
        if self._accept("{"):
            return self._members()
        raise NotACall(here=True)

    def _items(self, closing: str) -> list[Any]:
        items: list[Any] = []
        comma = True
        while not self._accept(closing):
            if not comma:
                raise NotACall(here=True)
            items.append(self._value())
            comma = self._accept(",")
        if closing == ")" and len(items) == 1 and not comma:
            # Parentheses around one value are no tuple; which of the two was meant is not for us to say.
            raise NotACall(here=True)
        return items

    def _members(self) -> dict[str, Any]:
        members: dict[str, Any] = {}
        comma = True
        while not self._accept("}"):
            if not comma or self.kind != "string":
                raise NotACall(here=True)
            key = _unescape(self.token[1:-1])
            self._next()
            self._expect(":")
            members[key] = self._value()
            comma = self._accept(",")
        return members

    def _name(self) -> str:
        if self.kind != "name":
            raise NotACall(here=True)
        token = self.token
        self._next()
        return token

    def _accept(self, mark: str) -> bool:
        if self.kind != "mark" or self.token != mark:
            return False
        self._next()
        return True

    def _expect(self, mark: str) -> None:
        if not self._accept(mark):
            raise NotACall(here=True)

    def _next(self) -> None:
        found = TOKEN.match(self.text, self.position)
        if found is not None:
            self.kind = found.lastgroup or ""
            self.token = found[self.kind]
            self.position = found.end()
        elif not self.text[self.position :].strip():
            self.kind = self.token = "end"
        else:
            raise NotACall(here=True)


def _number(token: str) -> int | float:
    if not any(character in token for character in ".eE"):
        if len(token) > MAX_DIGITS:
            raise NotACall(here=True)
        return int(token)
    return float(token)


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    text = ESCAPE.sub(_escaped, text)
    # Two halves of one character, written the way JSON does.
    return PAIR.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)


def _escaped(found: re.Match[str]) -> str:
    octal, *hexadecimal, character = found.groups()
    if octal is not None:
        return chr(int(octal, 8))
    for digits in hexadecimal:
        if digits is not None:
            return chr(int(digits, 16))
    # Python keeps the backslash of an escape it does not know.
    return SIMPLE_ESCAPES.get(character, found[0])
