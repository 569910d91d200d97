"""Tokens per second of sagewire's decoders beside botocore's event-stream parser, over the same bytes in one run.

    python benchmarks/decoders.py [--tokens 2000] [--rounds 15]

Each round runs every contestant once, in turn, so that a slow moment of the machine hits all of them; the medians are
printed, and how many times as fast as the first contestant of its table each one is. Nothing touches a network.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterable, Iterator

import botocore.session
from botocore.eventstream import EventStream, EventStreamBuffer
from botocore.parsers import create_parser

from sagewire.content_handlers import get_handler
from sagewire.streaming import (
    Accumulator,
    EventStreamDecoder,
    JsonEventDecoder,
    Pipeline,
    StopStage,
    decode,
    encode_payload_part,
)

TOKEN = (
    '{"index":%d,"token":{"id":27,"text":" there","logprob":-0.4,"special":false},"generated_text":%s,"details":null}'
)

Contestant = Callable[[list[bytes]], int]


def tgi_stream(tokens: int) -> list[bytes]:
    """What TGI streams: one event per token, the last one with the whole text."""
    texts = ["null"] * (tokens - 1) + [json.dumps(" there" * tokens)]
    return [f"data: {TOKEN % (number + 1, text)}\n\n".encode() for number, text in enumerate(texts)]


def botocore_frames(pieces: list[bytes]) -> int:
    buffer, count = EventStreamBuffer(), 0
    for piece in pieces:
        buffer.add_data(piece)
        count += sum(1 for _ in buffer)
    return count


def sagewire_frames(pieces: list[bytes]) -> int:
    return sum(1 for _ in decode(EventStreamDecoder(), pieces))


class _Raw:
    """The part of a urllib3 response that botocore's event stream uses."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    def stream(self) -> Iterator[bytes]:
        return iter(self._pieces)

    def close(self) -> None:
        """Nothing to close."""


def make_boto3_events() -> Contestant:
    """Everything boto3 does with the frames of a response, then what its users write: split lines, `json.loads`."""
    model = botocore.session.get_session().get_service_model("sagemaker-runtime")
    shape = model.operation_model("InvokeEndpointWithResponseStream").output_shape.members["Body"]
    parser = create_parser("rest-json")._event_stream_parser

    def run(pieces: list[bytes]) -> int:
        stream = EventStream(_Raw(pieces), shape, parser, "InvokeEndpointWithResponseStream")
        return _parse_lines(event["PayloadPart"]["Bytes"] for event in stream)

    return run


def botocore_events(pieces: list[bytes]) -> int:
    def payloads() -> Iterator[bytes]:
        buffer = EventStreamBuffer()
        for piece in pieces:
            buffer.add_data(piece)
            for message in buffer:
                yield message.payload

    return _parse_lines(payloads())


def _parse_lines(payloads: Iterable[bytes]) -> int:
    rest, count = b"", 0
    for payload in payloads:
        *lines, rest = (rest + payload).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                json.loads(line[5:])
                count += 1
    return count


def sagewire_events(pieces: list[bytes]) -> int:
    return sum(1 for _ in decode(Pipeline(EventStreamDecoder(), JsonEventDecoder()), pieces))


def sagewire_reply(pieces: list[bytes]) -> int:
    """All the way: frames, events, TGI's handler, stop strings, and the fold into a reply."""
    chain = Pipeline(EventStreamDecoder(), get_handler("tgi").stream_decoder("text/event-stream"), StopStage(["</s>"]))
    accumulator = Accumulator()
    for delta in decode(chain, pieces):
        accumulator.add(delta)
    return len(accumulator.reply().text) // len(" there")


def measure(contestants: dict[str, Contestant], pieces: list[bytes], tokens: int, rounds: int) -> dict[str, float]:
    """Return the median tokens per second of each, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, contestant in contestants.items():
            begin = time.perf_counter()
            count = contestant(pieces)
            elapsed = time.perf_counter() - begin
            if count != tokens:
                raise SystemExit(f"{name} found {count} of {tokens} tokens")
            if number:
                seconds[name].append(elapsed)
    return {name: tokens / statistics.median(values) for name, values in seconds.items()}


def show(title: str, rates: dict[str, float]) -> None:
    first = next(iter(rates.values()))
    rows = [(name, f"{rate:,.0f}", f"{1e6 / rate:.2f}", f"{rate / first:.1f}") for name, rate in rates.items()]
    header = ("", "tokens/s", "us/token", "ratio")
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        print(f"\n{title}")
        for row in (header, *rows):
            print(f"{row[0]:<44}{row[1]:>12}{row[2]:>10}{row[3]:>8}")
        return
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(header):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tokens", type=int, default=2000, help="tokens in the stream")
    parser.add_argument("--rounds", type=int, default=15, help="rounds of which the median is taken")
    options = parser.parse_args()

    frames = [encode_payload_part(event) for event in tgi_stream(options.tokens)]
    joined = b"".join(frames)
    arrivals = {
        "one frame at a time": frames,
        "16 KiB at a time": [joined[i : i + 16384] for i in range(0, len(joined), 16384)],
    }
    tables: dict[str, dict[str, Contestant]] = {
        "frames": {"botocore EventStreamBuffer": botocore_frames, "sagewire EventStreamDecoder": sagewire_frames},
        "frames, server-sent events, JSON": {
            "botocore EventStream, as boto3 gives it": make_boto3_events(),
            "botocore EventStreamBuffer, json": botocore_events,
            "sagewire Pipeline": sagewire_events,
            "sagewire, with handler, stops and reply": sagewire_reply,
        },
    }
    for title, contestants in tables.items():
        for arrival, pieces in arrivals.items():
            show(f"{title}; {arrival}", measure(contestants, pieces, options.tokens, options.rounds))


if __name__ == "__main__":
    main()
