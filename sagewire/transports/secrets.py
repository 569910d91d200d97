"""Keeping secrets out of errors: debug pages and proxies repeat the headers they receive."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from sagewire.errors import SagewireError
from sagewire.types.secret import Secret

__all__ = ["Redactor", "secrets_of"]

MASK = "***"
# Headers whose values are not secrets. Any other may be: gateways read their keys from headers of any name.
_HARMLESS = frozenset(
    {
        "accept",
        "accept-encoding",
        "content-type",
        "host",
        "user-agent",
        "x-amz-content-sha256",
        "x-amz-date",
        "x-request-id",
    }
)
_HARMLESS_PREFIX = "x-amzn-sagemaker-"
# Masking shorter words would make messages unreadable, and so short a value is not a secret.
_SHORTEST = 6
# The parts of a signature are known by their names, whoever made it.
_SIGNED = re.compile(
    r"(\bX-Amz-(?:Signature|Security-Token|Credential)(?:=|%3D)|\bSignature=)[^&\s\"'<>\\,]{6,}", re.IGNORECASE
)
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")
_CAUSES = 32
# Characters of a text in another library's exception.
_KEPT = 20_000
_SIMPLE = (str, bytes, int, float, type(None))
# Characters of the longest spelling of one character, and of the dots that a cut text ends with.
_LONGEST = 64
# Digits of an encoding that may be shown where a text is cut.
_LONGEST_SEEN = 12
# How often a text may be gone through in vain.
_STEPS = 3


def secrets_of(headers: Mapping[str, str], path: str = "") -> tuple[str, ...]:
    """Return what must not be shown of a request, the longest first.

    Args:
        headers: The request's headers.
        path: Its path and query; some servers take their key there.

    Example:
        >>> secrets_of({"Authorization": "Bearer hf_0123456789", "Accept": "application/json"})
        ('Bearer hf_0123456789', 'hf_0123456789')
    """
    found = {value for _, value in parse_qsl(path.partition("?")[2])}
    for name, value in headers.items():
        lower = name.lower()
        if lower not in _HARMLESS and not lower.startswith(_HARMLESS_PREFIX):
            found |= {value, *_parts(value)}
    return tuple(sorted((value for value in found if len(value) >= _SHORTEST), key=len, reverse=True))


def _parts(value: str) -> Iterator[str]:
    scheme, _, rest = value.partition(" ")
    yield rest.strip()
    if scheme.startswith("AWS4-"):
        yield value.rpartition("Signature=")[2]
        return
    if scheme.lower() == "basic":
        try:
            login = base64.b64decode(rest, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            login = ""
        yield login
        yield login.partition(":")[2]
    # Cookies and the like: name=value; name=value
    for piece in re.split(r"[;,\s]+", value):
        yield piece.partition("=")[2].strip("\"'")


class Redactor:
    """Masks secrets in texts: as they are, in base64 or hexadecimal, and as JSON, HTML and URLs write them.

    A text that ends inside a secret, as the excerpt of an answer may, is masked from the secret's beginning.

    Args:
        secrets: The secrets, the longest first.

    Example:
        >>> Redactor(["hf_0123456789"]).text('{"seen": "Bearer hf_0123456789"}')
        '{"seen": "Bearer ***"}'
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        kept = [secret for secret in secrets if len(secret) >= _SHORTEST]
        self._secrets = Secret([(secret, _encodings(secret)) for secret in kept])

    def text(self, text: str) -> str:
        """Return a text without the secrets."""
        for secret, encodings in self._secrets.reveal():
            for encoding in encodings:
                text = _without(text, encoding)
            text = _masked(text, secret)
        return _SIGNED.sub(rf"\g<1>{MASK}", text)

    def value(self, value: Any) -> Any:
        """Return a text, bytes, or a list or mapping of such without the secrets; anything else as it is."""
        if isinstance(value, str):
            return self.text(value)
        if type(value) is bytes:
            return self.text(value.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        if type(value) in (list, tuple):
            return type(value)(self.value(item) for item in value)
        if type(value) is dict:
            return {self.value(name): self.value(item) for name, item in value.items()}
        return value

    def error(self, error: BaseException) -> None:
        """Mask the secrets in all that an error and its causes say, and in what they hold."""
        found = [error]
        seen = set[int]()
        while found and len(seen) < _CAUSES:
            one = found.pop()
            if id(one) in seen:
                continue
            seen.add(id(one))
            mask = self.value if isinstance(one, SagewireError) else self._held_by_others
            args = mask(one.args)
            if args != one.args:
                one.args = args
            for name, value in list(vars(one).items()):
                shown = mask(value)
                if shown is not value and shown != value:
                    setattr(one, name, shown)
            inside = [*one.args, *vars(one).values(), *getattr(one, "exceptions", ())]
            causes = (one.__context__, one.__cause__)
            found += [each for each in (*inside, *causes) if isinstance(each, BaseException)]

    def _held_by_others(self, value: Any) -> Any:
        """Return something that another library's exception holds, without the secrets: aiohttp's hold the request."""
        try:
            return self._held(value)
        except Exception:
            # A foreign object that cannot be looked at, or that holds itself, is left out: it may hold anything.
            return f"<{type(value).__name__}>"

    def _held(self, value: Any) -> Any:
        if isinstance(value, str | bytes) and len(value) > _KEPT:
            # The whole answer that could not be read: to look through megabytes takes seconds, and nobody reads them.
            return self.value(value[:_KEPT])
        if isinstance(value, _SIMPLE):
            return self.value(value)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return tuple.__new__(type(value), map(self._held, value))
        if isinstance(value, list | tuple):
            # Subclasses may be made of other arguments.
            kind = list if isinstance(value, list) else tuple
            items = kind(map(self._held, value))
            return value if items == value else items
        if isinstance(value, Mapping):
            held = {self._held(name): self._held(item) for name, item in value.items()}
            return held if held != dict(value) else value
        if isinstance(value, type | BaseException) or callable(value):
            return value
        try:
            shown = repr(value)
        except Exception:  # anything a foreign object's __repr__ raises
            return value
        masked = self.text(shown[:_KEPT])
        return value if masked == shown[:_KEPT] else masked


def _encodings(secret: str) -> list[str]:
    """Return what a secret looks like inside text in base64, wherever it begins there, and in hexadecimal digits."""
    data = secret.encode("utf-8", "surrogateescape")
    found = [data.hex(), data.hex().upper()]
    for offset in range(3):
        text = base64.b64encode(bytes(offset) + data)
        # The digits that depend on the secret alone.
        inner = text[(offset * 8 + 5) // 6 : (offset + len(data)) * 8 // 6].decode()
        found += {inner, inner.replace("+", "-").replace("/", "_")}
    return found


def _without(text: str, encoding: str) -> str:
    """Return a text in which an encoding is masked, also one that the text ends inside of."""
    text = text.replace(encoding, MASK)
    at = text.find(encoding[:_LONGEST_SEEN])
    while at >= 0:
        left = text[at : at + len(encoding) + 3]
        cut = left.removesuffix("...")
        if (cut != left or at + len(left) == len(text)) and encoding.startswith(cut):
            return text[:at] + MASK + text[at + len(cut) :]
        at = text.find(encoding[:_LONGEST_SEEN], at + 1)
    return text


def _masked(text: str, secret: str) -> str:
    first = secret[0]
    if first not in _PLAIN:
        # A secret begins with its first letter or digit, after any text before it.
        plain = next((at for at, char in enumerate(secret) if char in _PLAIN), None)
        if plain is None or len(secret) - plain < _SHORTEST:
            return text.replace(secret, MASK)
        return _masked(text, secret[plain:])
    pieces: list[str] = []
    done, steps = 0, _STEPS * len(text) + 10_000
    for found in _beginning(secret[:4]).finditer(text):
        at = found.start()
        if at < done:
            continue
        end, length = _end_of(secret, text, at)
        if end is not None:
            pieces += [text[done:at], MASK]
            done = end
        elif (steps := steps - length) < 0:
            # A text made to be looked through in vain, letter by letter.
            return "".join([*pieces, text[done:].replace(secret, MASK)])
    return "".join([*pieces, text[done:]]) if pieces else text


def _beginning(secret: str) -> re.Pattern[str]:
    """Return the pattern of the first characters of a secret; `re` keeps the newest ones compiled."""
    pattern = re.escape(secret[0])
    for char in secret[1:]:
        spelled = "|".join(map(re.escape, _spellings(char)))
        pattern += rf"\\{{0,8}}(?{'' if char in _PLAIN else 'i'}:{spelled})"
    return re.compile(pattern)


def _end_of(secret: str, text: str, at: int) -> tuple[int | None, int]:
    """Return where a secret ends that begins at `at`, in any spelling, and how many of its characters are there."""
    for number, char in enumerate(secret):
        if text.startswith(char, at) and char not in "%&\\":
            at += 1
            continue
        if char != "\\":
            while text.startswith("\\", at):
                at += 1
        plain = char in _PLAIN
        spelling = next((one for one in _spellings(char) if _is_at(one, text, at, plain)), None)
        if spelling is None or spelling in "%&":
            # Either of these also begins a longer spelling, which may be cut.
            end = _end_of_cut(char, text, at) if number >= _SHORTEST else None
            if spelling is None or end is not None:
                return end, number
        at += len(spelling)
    return at, len(secret)


def _end_of_cut(char: str, text: str, at: int) -> int | None:
    """Return where a text ends that was cut at or inside a spelling of `char`; `None` if it goes on."""
    left = text[at : at + _LONGEST].partition("...")
    if (left[1] or at + _LONGEST >= len(text)) and any(one.startswith(left[0].lower()) for one in _spellings(char)):
        return at + len(left[0])
    return None


def _is_at(spelling: str, text: str, at: int, plain: bool) -> bool:
    found = text[at : at + len(spelling)]
    return found == spelling if plain else found.lower() == spelling


@lru_cache(maxsize=512)
def _spellings(char: str) -> tuple[str, ...]:
    """Return how JSON, URLs and HTML write a character, in small letters, the longest first."""
    if char in _PLAIN:
        return (char,)
    # Needed for errors alone.
    import html

    code = ord(char)
    url = "".join(f"%{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))
    found = {char, f"u{code:04x}", f"&#{code};", f"&#x{code:x};", html.escape(char)}
    # A URL in the query of a URL is encoded twice, and so on.
    found |= {url.replace("%", f"%{'25' * times}") for times in range(4)}
    if char == " ":
        found.add("+")
    return tuple(sorted(found, key=len, reverse=True))
