"""`sagewire migrate`: programs of other libraries, rewritten to sagewire."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sagewire._extras import install_command, require
from sagewire.cli._app import errors, friendly

if TYPE_CHECKING:
    from sagewire.migrate import FileMigration


@friendly
def migrate(
    paths: Annotated[list[Path], typer.Argument(help="Python files, notebooks, or folders of them.")],
    write: Annotated[
        bool, typer.Option("--write/--diff", help="Rewrite the files, or show what would change.")
    ] = False,
) -> None:
    """Rewrite programs of other libraries to sagewire: imports, names, arguments, exceptions.

    The libraries are langchain-community, langchain-aws, langchain-huggingface, llama-index-llms-sagemaker-endpoint and
    its embeddings, EasyLLM, and LiteLLM's SageMaker and Hugging Face parts. Notes of what a person must look at go to
    standard error.

    The exit code is 0 if nothing is left to do, 1 if files would change or something was left as it was.

    Example: sagewire migrate src notebooks --write
    """
    require("libcst", "migrate")
    from sagewire.migrate import find_programs, migrate_file

    done = [migrate_file(path) for path in find_programs(paths)]
    changed = [one for one in done if one.changed]
    for one in changed:
        if write:
            one.write()
        else:
            sys.stdout.write(one.diff())
    left = _show_notes(done)
    verb = "rewritten" if write else "would change"
    errors.print(_summary(done, changed, left, verb), markup=False, soft_wrap=True)
    if left or (changed and not write):
        raise typer.Exit(1)


def _show_notes(done: list[FileMigration]) -> int:
    """Print the notes on each file; return how many name something that is left to do."""
    notes = [(one.path, note) for one in done for note in one.migration.notes]
    for path, note in notes:
        kind = "left" if note.left else "note"
        errors.print(f"{path}:{note.line}: {kind}: {note.text}", markup=False, soft_wrap=True)
    return sum(note.left for _, note in notes)


def _summary(done: list[FileMigration], changed: list[FileMigration], left: int, verb: str) -> str:
    extras = sorted({extra for one in changed for extra in one.migration.extras})
    install = f"; {install_command(','.join(extras))}" if changed else ""
    return f"{len(changed)} of {len(done)} files {verb}, {left} things left to do{install}"
