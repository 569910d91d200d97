"""Writes the tables and counts of these pages and the README: `python docs/tables.py`; `--check` only compares.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`. They are made from the code, and from what the
benchmarks have recorded.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import tables_of_benchmarks
from table_rows import code, first_line, table
from tables_of_commands import commands
from tables_of_formats import exact_formats, own_templates
from tables_of_litellm import litellm_documentation
from tables_of_settings import settings

from sagewire.content_handlers import EMBEDDING_HANDLERS, HANDLERS, RERANK_HANDLERS
from sagewire.emulator.dialects import DIALECTS
from sagewire.emulator.faults import FAULTS
from sagewire.prompt_formats import FORMATS, TurnFormat
from sagewire.prompt_formats.catalogue import FAMILIES, family_of

FOLDER = Path(__file__).parent
PLACE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
# What `Capabilities` calls them, and what a reader does.
CARRIES = {"streaming": "streams", "tools": "tools", "images": "images", "response_format": "JSON schema"}
CARRIES |= {"usage": "token counts", "logprobs": "logprobs", "n": "several answers"}
# Handlers by how their names begin.
CONTAINERS = {
    "Hugging Face TGI": ("tgi",),
    "vLLM, Ollama, any OpenAI server": ("openai",),
    "vLLM, pooling models": ("vllm",),
    "SGLang": ("sglang",),
    "AWS LMI (DJL Serving)": ("lmi",),
    "Hugging Face TEI": ("tei",),
    "llama.cpp": ("llamacpp",),
    "NVIDIA Triton": ("triton",),
    "JumpStart's own scripts": ("jumpstart",),
    "Hugging Face inference toolkit": ("hf_",),
    "Amazon Nova": ("nova",),
    "Mistral": ("mistral",),
    "Cohere": ("cohere",),
    "AI21": ("ai21",),
}


# Formats by how their names begin.
def handlers() -> str:
    """Return the table of content handlers."""
    rows = []
    for name, make in HANDLERS.items():
        handler = make()
        can = [what for field, what in CARRIES.items() if getattr(handler.can, field)]
        takes = "messages" if handler.speaks == "messages" else "text"
        rows.append((code(name), takes, code(handler.path), ", ".join(can)))
    return table(("Handler", "Takes", "Path over HTTP", "Carries"), rows)


def embeddings() -> str:
    """Return the table of embedding handlers."""
    rows = [(code(name), code(make().path), first_line(make())) for name, make in EMBEDDING_HANDLERS.items()]
    return table(("Handler", "Path over HTTP", "What it is"), rows)


def rerankers() -> str:
    """Return the table of rerank handlers."""
    rows = [(code(name), code(make().path), first_line(make())) for name, make in RERANK_HANDLERS.items()]
    return table(("Handler", "Path over HTTP", "What it is"), rows)


def dialects() -> str:
    """Return the table of the emulator's dialects."""
    return table(("Dialect", "Model"), [(code(name), code(make().model_id)) for name, make in DIALECTS.items()])


def faults() -> str:
    """Return the table of faults."""
    rows = []
    for fault in FAULTS.values():
        written, _, effect = " ".join((fault.__doc__ or "").split()).partition(": ")
        rows.append((written, effect[:1].upper() + effect[1:]))
    return table(("Fault", "What happens"), rows)


def formats() -> str:
    """Return the table of prompt formats."""
    rows = []
    for name, format in FORMATS.items():
        rows.append((code(name), "tools" if _offers_tools(name) else "", " ".join(map(code, format.stops))))
    return table(("Format", "Offers", "Stops on"), rows)


def containers() -> str:
    """Return the serving containers with the handlers for them, in short."""
    known = [*HANDLERS, *EMBEDDING_HANDLERS, *RERANK_HANDLERS]
    rows, seen = [], []
    for title, starts in CONTAINERS.items():
        names = [name for name in known if name.startswith(starts)]
        seen += names
        can = [HANDLERS[name]().can for name in names if name in HANDLERS]
        carries = [what for field, what in CARRIES.items() if any(getattr(one, field) for one in can)]
        carries += ["embeddings"] if any(name in EMBEDDING_HANDLERS for name in names) else []
        carries += ["reranking"] if any(name in RERANK_HANDLERS for name in names) else []
        rows.append((title, ", ".join(map(code, names)), ", ".join(carries)))
    _account_for(known, seen)
    return table(("Serving container", "Handlers", "Carries"), rows)


def families() -> str:
    """Return the model families with their formats, in short; in bold those that tell the model of tools."""
    rows, seen = [], []
    for title in FAMILIES:
        names = [name for name in FORMATS if family_of(name) == title]
        seen += names
        shown = [f"**{code(name)}**" if _offers_tools(name) else code(name) for name in names]
        rows.append((title, ", ".join(shown)))
    _account_for(FORMATS, seen)
    return table(("Family", "Formats"), rows)


def handler_classes() -> str:
    """Return the places of the reference where the classes of handlers for text are described."""
    return _described("sagewire.content_handlers", HANDLERS)


def embedding_classes() -> str:
    """Return the places of the reference where the classes of handlers for vectors are described."""
    return _described("sagewire.content_handlers.embeddings", EMBEDDING_HANDLERS)


def _described(place: str, makers: Mapping[str, Callable[[], object]]) -> str:
    classes = dict.fromkeys(type(make()).__name__ for make in makers.values())
    return "\n".join(f"::: {place}.{name}\n    options: {{ heading_level: 3, members: false }}\n" for name in classes)


def _offers_tools(name: str) -> bool:
    format = FORMATS[name]
    return isinstance(format, TurnFormat) and format.supports_tools


def _account_for(known: Collection[str], named: Sequence[str]) -> None:
    """Raise `ValueError` unless each name that is known is named, once."""
    wrong = [name for name in {*known, *named} if name not in known or named.count(name) != 1]
    if wrong:
        raise ValueError(f"not in one row of the table in short: {', '.join(sorted(wrong))}")


TABLES: dict[str, Callable[[], str]] = {
    made.__name__: made
    for made in (
        commands,
        containers,
        dialects,
        embedding_classes,
        embeddings,
        exact_formats,
        families,
        faults,
        formats,
        handler_classes,
        handlers,
        litellm_documentation,
        own_templates,
        rerankers,
        settings,
        tables_of_benchmarks.bulk_jobs,
        tables_of_benchmarks.bulk_memory,
        tables_of_benchmarks.bulk_pace,
        tables_of_benchmarks.fault_outcomes,
        tables_of_benchmarks.fault_summary,
        tables_of_benchmarks.gateway_cluster,
        tables_of_benchmarks.gateway_load,
        tables_of_benchmarks.measures,
        tables_of_benchmarks.measures_readme,
        tables_of_benchmarks.standard_suites,
    )
}
# What is counted in prose, by the words behind the number.
COUNTS = {
    "container dialects": len(DIALECTS),
    "faults on request": len(FAULTS),
    "content handlers": len(HANDLERS) + len(EMBEDDING_HANDLERS) + len(RERANK_HANDLERS),
    "prompt formats": len(FORMATS),
    "packages, itself included": tables_of_benchmarks.packages(),
}


def filled(text: str) -> str:
    """Return a page with its tables and counts written anew.

    Raises:
        KeyError: A page asks for a table that does not exist.
    """
    for words, count in COUNTS.items():
        text = re.sub(rf"\b\d+(?=\s{words}\b)", str(count), text)
    return PLACE.sub(lambda found: f"{found[1]}\n{TABLES[found[2]]()}\n{found[3]}", text)


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or say which ones are out of date."""
    stale = []
    for path in sorted([*FOLDER.rglob("*.md"), FOLDER.parent / "README.md"]):
        text = path.read_text("utf-8")
        new = filled(text)
        if new != text:
            stale.append(path.name)
            if "--check" not in arguments:
                path.write_text(new, "utf-8")
    if stale and "--check" in arguments:
        sys.stderr.write(f"out of date: {', '.join(stale)}; run python docs/tables.py\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
