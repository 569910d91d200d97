"""What reading an answer back costs: microseconds per chunk of each style, and whether the time grows with the length.

    python benchmarks/readers.py [--rounds 5]

Each style reads the same prose in chunks of four characters (about a token), at 250 kB and at 1 MB, and then a call
with a long string as its argument. "growth" is the time of 1 MB over four times that of 250 kB: 1.0 is linear.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

from sagewire.prompt_formats.output_parsers import OUTPUT_PARSERS, get_output_parser

PROSE = "The quick brown fox jumps over the lazy dog, and then it rests. {It} [says] <so>.\n"
CHUNK = 4
CALLS = {
    "deepseek": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>%s<｜tool▁call▁end｜>",
    "functionary": "<function=f>%s</function>",
    "gpt_oss": "<|channel|>commentary to=functions.f<|message|>%s<|call|>",
    "hermes": '<tool_call>{"name": "f", "arguments": %s}</tool_call>',
    "llama3_json": '{"name": "f", "parameters": %s}',
    "mistral": "[TOOL_CALLS]f[ARGS]%s",
}


def seconds(style: str, text: str) -> float:
    """Return how long one reader takes for the text in chunks."""
    chunks = [text[start : start + CHUNK] for start in range(0, len(text), CHUNK)]
    reader = get_output_parser(style, prompt="known")
    started = time.perf_counter()
    for chunk in chunks:
        reader.feed(chunk)
    reader.close()
    return time.perf_counter() - started


def median(measure: Callable[[], float], rounds: int) -> float:
    """Return the median of several measurements."""
    return statistics.median(measure() for _ in range(rounds))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    prose = (PROSE * (1_000_000 // len(PROSE) + 1))[:1_000_000]
    arguments = '{"text": "%s"}' % ("It says so. " * (1_000_000 // 12))
    print(f"{'style':<14}{'us/chunk':>10}{'1 MB text':>12}{'growth':>8}{'1 MB call':>12}")
    for style in OUTPUT_PARSERS:
        short = median(lambda style=style: seconds(style, prose[:250_000]), rounds)
        whole = median(lambda style=style: seconds(style, prose), rounds)
        call = median(lambda style=style: seconds(style, CALLS[style] % arguments), rounds) if style in CALLS else None
        per_chunk = whole / (len(prose) / CHUNK) * 1e6
        shown = "" if call is None else f"{call:.2f} s"
        print(f"{style:<14}{per_chunk:>10.2f}{whole:>10.2f} s{whole / 4 / short:>8.2f}{shown:>12}")


if __name__ == "__main__":
    main()
