"""Faults in the bytes of an answer: how it is cut, broken, delayed, or never finished."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from sagewire.emulator.faults.base import FOREVER, FaultInjection, number
from sagewire.emulator.http_values import Abort, Response, Step, StreamFailure, Wait
from sagewire.streaming.eventstream import encode_error

__all__ = [
    "BadCrc",
    "CloseMidFrame",
    "Crlf",
    "CutUtf8",
    "EmptyBody",
    "ErrorMidStream",
    "Hang",
    "InternalStreamFailure",
    "KeepAlive",
    "Merge",
    "ModelStreamError",
    "NoFinalNewline",
    "ResetMidStream",
    "SlowLoris",
    "SlowTokens",
    "SplitBytes",
    "SplitRandom",
    "TruncateStream",
    "TruncatedJson",
    "UnmodelledError",
    "WrongContentType",
]


def _each_bytes(steps: Iterator[Step], change: Callable[[bytes], Iterator[bytes]]) -> Iterator[Step]:
    for step in steps:
        if isinstance(step, bytes):
            yield from change(step)
        else:
            yield step


class _After(FaultInjection):
    """A fault in the middle of a stream: after so many pieces, two without a number."""

    default = 2

    def __init__(self, argument: str = "") -> None:
        super().__init__(argument)
        self.after = int(number(argument.partition(",")[0], self.default))

    def cut(self, steps: Iterator[Step], rest: Callable[[bytes], Iterator[Step]]) -> Iterator[Step]:
        """Yield the first pieces, then what `rest` makes of the next one, and no more."""
        sent = 0
        last = b""
        for step in steps:
            if isinstance(step, bytes):
                last = step
                if sent == self.after:
                    break
                sent += 1
            yield step
        yield from rest(last)


class SplitBytes(FaultInjection):
    """`split_bytes[:SIZE]`: the container's bytes arrive in pieces of this size; one byte each without a number."""

    def chunks(self, steps: Iterator[Step]) -> Iterator[Step]:
        """Cut."""
        size = max(1, int(number(self.argument, 1)))
        return _each_bytes(steps, lambda data: (data[at : at + size] for at in range(0, len(data), size)))


class SplitRandom(FaultInjection):
    """`split_random[:SEED]`: the container's bytes are cut anywhere, pieces of different events joined."""

    def chunks(self, steps: Iterator[Step]) -> Iterator[Step]:
        """Cut."""
        chance = random.Random(int(number(self.argument, 0)))
        held = b""
        for step in steps:
            if not isinstance(step, bytes):
                yield step
                continue
            held += step
            while len(held) > 40:
                size = chance.randint(1, 40)
                yield held[:size]
                held = held[size:]
        if held:
            yield held


class Merge(FaultInjection):
    """`merge[:COUNT]`: so many events arrive as one piece; four without a number."""

    def chunks(self, steps: Iterator[Step]) -> Iterator[Step]:
        """Join."""
        size, held = int(number(self.argument, 4)), list[bytes]()
        for step in steps:
            if isinstance(step, bytes):
                held.append(step)
            if held and (len(held) >= size or not isinstance(step, bytes)):
                yield b"".join(held)
                held.clear()
            if not isinstance(step, bytes):
                yield step
        if held:
            yield b"".join(held)


class CutUtf8(FaultInjection):
    """`cut_utf8`: every character of more than one byte is cut into its bytes."""

    def chunks(self, steps: Iterator[Step]) -> Iterator[Step]:
        """Cut."""
        return _each_bytes(steps, _cut_utf8)


def _cut_utf8(data: bytes) -> Iterator[bytes]:
    start = 0
    for position in range(1, len(data)):
        if data[position] & 0xC0 == 0x80:  # a continuation byte
            yield data[start:position]
            start = position
    yield data[start:]


class NoFinalNewline(FaultInjection):
    """`no_final_newline`: the last event lacks its line ends."""

    def chunks(self, steps: Iterator[Step]) -> Iterator[Step]:
        """Strip the end."""
        held = b""
        for step in steps:
            if not isinstance(step, bytes):
                yield step
                continue
            # Blank pieces at the end belong to the line end, too.
            if step.strip() and held:
                yield held
                held = b""
            held += step
        if held.rstrip(b"\r\n"):
            yield held.rstrip(b"\r\n")


class Crlf(FaultInjection):
    r"""`crlf`: lines end with `\r\n`."""

    def chunks(self, steps: Iterator[Step]) -> Iterator[Step]:
        """Replace."""
        return _each_bytes(steps, lambda data: iter([data.replace(b"\n", b"\r\n")]))


class KeepAlive(FaultInjection):
    """`keep_alive`: a comment line, as servers send it to keep proxies awake, before every event."""

    def chunks(self, steps: Iterator[Step]) -> Iterator[Step]:
        """Insert."""
        return _each_bytes(steps, lambda data: iter([b":\n\n", data] if data.startswith(b"data:") else [data]))


class ErrorMidStream(FaultInjection):
    """`error_mid_stream[:TOKENS]`: the model fails after so many tokens, and the container says so in its stream."""

    def __init__(self, argument: str = "") -> None:
        super().__init__(argument)
        self.fails_after = int(number(argument, 2))


class ModelStreamError(_After):
    """`model_stream_error[:PIECES[,CODE]]`: SageMaker reports `ModelStreamError`; its code is `StreamBroken`."""

    def chunks(self, steps: Iterator[Step]) -> Iterator[Step]:
        """End with the error."""
        code = self.argument.partition(",")[2] or "StreamBroken"
        text = (
            "Your invocation's stream broke"
            if code == "StreamBroken"
            else "Your model's invocation time exceeded the limit"
        )
        return self.cut(steps, lambda data: iter([StreamFailure("ModelStreamError", text, code)]))


class InternalStreamFailure(_After):
    """`internal_stream_failure[:PIECES]`: SageMaker reports `InternalStreamFailure`."""

    def chunks(self, steps: Iterator[Step]) -> Iterator[Step]:
        """End with the error."""
        return self.cut(
            steps,
            lambda data: iter([StreamFailure("InternalStreamFailure", "An internal failure occurred in the stream.")]),
        )


class UnmodelledError(_After):
    """`unmodelled_error[:PIECES]`: an error frame of no known shape, as any service of AWS may send."""

    def wire(self, steps: Iterator[Step]) -> Iterator[Step]:
        """End with the error."""
        return self.cut(steps, lambda data: iter([encode_error("InternalError", "We encountered an internal error.")]))


class BadCrc(_After):
    """`bad_crc[:PIECES]`: one byte of the next frame is not what its checksum says."""

    def wire(self, steps: Iterator[Step]) -> Iterator[Step]:
        """Damage one frame; what follows it is sent as it is."""
        sent = 0
        for step in steps:
            if isinstance(step, bytes):
                if sent == self.after:
                    middle = len(step) // 2
                    step = step[:middle] + bytes([step[middle] ^ 0x01]) + step[middle + 1 :]
                sent += 1
            yield step


class CloseMidFrame(_After):
    """`close_mid_frame[:PIECES]`: the connection closes in the middle of the next frame."""

    def wire(self, steps: Iterator[Step]) -> Iterator[Step]:
        """Send half."""
        return self.cut(steps, lambda data: iter([data[: len(data) // 2], Abort(reset=False)]))


class ResetMidStream(_After):
    """`reset_mid_stream[:PIECES]`: the connection is reset after so many frames."""

    def wire(self, steps: Iterator[Step]) -> Iterator[Step]:
        """Reset."""
        return self.cut(steps, lambda data: iter([Abort(reset=True)]))


class TruncateStream(_After):
    """`truncate_stream[:PIECES]`: the body ends after so many pieces as if it were complete."""

    def chunks(self, steps: Iterator[Step]) -> Iterator[Step]:
        """End."""
        return self.cut(steps, lambda data: iter(()))


class TruncateFrame(_After):
    """`truncate_frame[:PIECES]`: the body ends in the middle of a frame as if it were complete."""

    def wire(self, steps: Iterator[Step]) -> Iterator[Step]:
        """Send half."""
        return self.cut(steps, lambda data: iter([data[: len(data) // 2]]))


class Hang(_After):
    """`hang[:PIECES]`: the connection stays open, and nothing more comes."""

    def wire(self, steps: Iterator[Step]) -> Iterator[Step]:
        """Wait for ever."""
        return self.cut(steps, lambda data: iter([Wait(FOREVER)]))


class SlowTokens(FaultInjection):
    """`slow_tokens[:SECONDS]`: a pause before every piece; 0.05 seconds without a number."""

    def chunks(self, steps: Iterator[Step]) -> Iterator[Step]:
        """Wait before every piece."""
        seconds = number(self.argument, 0.05)
        for step in steps:
            yield Wait(seconds)
            yield step


class SlowLoris(FaultInjection):
    """`slow_loris[:SECONDS]`: one byte at a time with a pause after each; 0.1 seconds without a number."""

    def response(self, response: Response) -> Response:
        """Send one byte at a time."""
        seconds = number(self.argument, 0.1)
        steps = [response.body] if isinstance(response.body, bytes) else response.body

        def drip() -> Iterator[Step]:
            for step in steps:
                if not isinstance(step, bytes):
                    yield step
                    continue
                for position in range(len(step)):
                    yield step[position : position + 1]
                    yield Wait(seconds)

        return Response(response.status, response.headers, drip(), response.delay, response.reset)


class EmptyBody(FaultInjection):
    """`empty_body`: status 200 with an empty body."""

    def chunks(self, steps: Iterator[Step]) -> Iterator[Step]:
        """Send nothing."""
        return iter(())


class TruncatedJson(FaultInjection):
    """`truncated_json`: only the first half of a whole answer; of a stream, half of its first piece."""

    def chunks(self, steps: Iterator[Step]) -> Iterator[Step]:
        """Cut the body in half."""
        for step in steps:
            if isinstance(step, bytes):
                yield step[: len(step) // 2]
                return
            yield step


class WrongContentType(FaultInjection):
    """`wrong_content_type[:TYPE]`: the container names another media type; `text/html` without one."""

    @property
    def content_type(self) -> str:
        """The media type to name."""
        return self.argument or "text/html"
