"""Where a model keeps its chat template: a folder, a file, a dict, S3, or a repository on the Hugging Face Hub."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sagewire._extras import require
from sagewire.errors import UsageError

__all__ = ["TemplateFiles", "read_files"]

CONFIG = "tokenizer_config.json"
MAX_FILE_BYTES = 64 * 1024 * 1024
TEMPLATE_NAME = re.compile(r"\w[\w-]*")
TOKEN_NAMES = ("bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token", "mask_token")

# Added tokens that are no special ones, but mark something: `<tool_call>`, `]~b]`; not the words and blanks among them.
MARKUP = re.compile(r"(?=.{3}).*[<>\[\]|｜]")

Reader = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class TemplateFiles:
    """What a model's files say.

    Args:
        name: The name of the format.
        templates: Name -> source; the usual name is `default`.
        tokens: `bos_token` and the like -> text; what is null is left out.
        special_tokens: Every control token of the vocabulary that the files list.
        marks: Added tokens that are not special, but mark something, such as `<tool_call>`.
        stops: Tokens that end an answer.
        adds_bos: Whether the tokenizer puts `bos_token` before every text; `None` if the files do not say.
    """

    name: str
    templates: Mapping[str, str]
    tokens: Mapping[str, str]
    special_tokens: tuple[str, ...]
    stops: tuple[str, ...]
    marks: tuple[str, ...] = ()
    adds_bos: bool | None = None


def read_files(
    source: str | Path | Mapping[str, Any],
    template_name: str | None,
    revision: str | None,
    token: str | bool | None,
    local_files_only: bool,
    s3_client: Any = None,
) -> TemplateFiles:
    """Read a model's files; the arguments are those of `load_format`.

    Raises:
        UsageError: There are no such files, or they hold no chat template.
        AccessDenied: The model's files on S3 may not be read.
        MissingExtra: `source` is an id on the Hub, and huggingface_hub is not installed.
    """
    if isinstance(source, Mapping):
        return _gather("dict", dict(source), lambda name: None, template_name)
    if isinstance(source, str) and source.startswith("s3://"):
        return _from_s3(source, s3_client, template_name)
    path = Path(source).expanduser()
    if path.is_dir():
        return _from_reader(path.name or str(path), _folder_reader(path), template_name)
    if path.is_file():
        return _from_file(path, template_name)
    if isinstance(source, Path) or path.is_absolute() or str(source).startswith((".", "~")):
        raise UsageError(f"There is no file or folder {str(source)!r}.")
    repository, _, pinned = str(source).partition("@")
    reader = _hub_reader(repository, revision or pinned or None, token, local_files_only)
    return _from_reader(str(source), reader, template_name)


def _from_s3(uri: str, client: Any, template_name: str | None) -> TemplateFiles:
    from sagewire.prompt_formats.chat_template.s3 import S3Folder

    folder = S3Folder(uri, client, MAX_FILE_BYTES)
    try:
        return _from_reader(uri, folder.read, template_name)
    except UsageError:
        folder.require_access()
        raise


def _from_file(path: Path, template_name: str | None) -> TemplateFiles:
    text = _read_path(path)
    if path.suffix != ".json":
        return _gather(path.stem, {"chat_template": text}, lambda name: None, template_name)
    return _gather(path.stem, _parse(text, path.name), lambda name: None, template_name)


def _from_reader(name: str, read: Reader, template_name: str | None) -> TemplateFiles:
    text = read(CONFIG)
    config = {} if text is None else _parse(text, CONFIG)
    return _gather(name, config, read, template_name)


def _gather(name: str, config: dict[str, Any], read: Reader, template_name: str | None) -> TemplateFiles:
    templates = _templates(config.get("chat_template"), CONFIG)
    # Newer files hold the template in its own file, which then is the one that counts.
    text = read("chat_template.json")
    if text is not None:
        templates |= _templates(_parse(text, "chat_template.json").get("chat_template"), "chat_template.json")
    text = read("chat_template.jinja")
    if text is not None:
        templates["default"] = text
    if template_name is not None and template_name not in templates:
        if TEMPLATE_NAME.fullmatch(template_name) is None:
            raise UsageError(f"{template_name!r:.80} is not the name of a chat template.")
        text = read(f"additional_chat_templates/{template_name}.jinja")
        templates |= {} if text is None else {template_name: text}
    if not templates:
        raise UsageError(
            f"{name!r} has no chat template: neither {CONFIG} nor chat_template.jinja or .json holds one. "
            "Base models have none; name a format of sagewire's own with get_format()."
        )
    generation = read("generation_config.json")
    ends = _parse(generation, "generation_config.json").get("eos_token_id") if generation is not None else None
    tokens = {key: text for key in TOKEN_NAMES if (text := _token_text(config.get(key)))}
    by_id = _added_tokens(config) or _tokens_of_tokenizer(read("tokenizer.json"))
    listed = [by_id[str(end)][0] for end in (ends if isinstance(ends, list) else [ends]) if str(end) in by_id]
    return TemplateFiles(
        name=name,
        templates=templates,
        tokens=tokens,
        special_tokens=tuple(dict.fromkeys((
            *tokens.values(), *(text for text, special in by_id.values() if special),
            *_extra_tokens(config),
        ))),
        marks=tuple(text for text, special in by_id.values() if not special and MARKUP.match(text)),
        stops=tuple(dict.fromkeys((*filter(None, [tokens.get("eos_token")]), *listed))),
        adds_bos=config.get("add_bos_token"),
    )  # fmt: skip


def _templates(value: Any, file: str) -> dict[str, str]:
    """Return name -> source from a single template, a list of named ones, or a mapping."""
    if value is None:
        return {}
    if isinstance(value, str):
        return {"default": value}
    if isinstance(value, list) and all(isinstance(entry, dict) for entry in value):
        value = {entry.get("name"): entry.get("template") for entry in value}
    if isinstance(value, dict) and all(isinstance(k, str) and isinstance(v, str) for k, v in value.items()):
        return dict(value)
    raise UsageError(f"chat_template in {file} is neither text nor a list of named templates.")


def _token_text(value: Any) -> str | None:
    """Return a token's text, from a string or from a written-out AddedToken."""
    if isinstance(value, Mapping):
        value = value.get("content")
    return value if isinstance(value, str) and value else None


def _added_tokens(config: Mapping[str, Any]) -> dict[str, tuple[str, bool]]:
    added = config.get("added_tokens_decoder")
    found: dict[str, tuple[str, bool]] = {}
    for number, value in added.items() if isinstance(added, Mapping) else ():
        text = _token_text(value)
        if text is not None:
            found[str(number)] = (text, bool(isinstance(value, Mapping) and value.get("special")))
    return found


def _tokens_of_tokenizer(text: str | None) -> dict[str, tuple[str, bool]]:
    """Return the added tokens of `tokenizer.json`, the only file that lists them since transformers 5."""
    added = _parse(text, "tokenizer.json").get("added_tokens") if text is not None else None
    found: dict[str, tuple[str, bool]] = {}
    for value in added if isinstance(added, list) else ():
        token = _token_text(value) if isinstance(value, Mapping) else None
        if token is not None and "id" in value:
            found[str(value["id"])] = (token, bool(value.get("special")))
    return found


def _extra_tokens(config: Mapping[str, Any]) -> list[str]:
    extra = config.get("additional_special_tokens", config.get("extra_special_tokens"))
    values = extra.values() if isinstance(extra, Mapping) else extra if isinstance(extra, list) else ()
    return [text for value in values if (text := _token_text(value))]


def _parse(text: str, file: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file} is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise UsageError(f"{file} is not a JSON object.")
    return value


def _read_path(path: Path) -> str:
    if path.stat().st_size > MAX_FILE_BYTES:
        raise UsageError(f"{path.name} is larger than {MAX_FILE_BYTES} bytes, too large for a tokenizer configuration.")
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path.name} is not UTF-8: {error.reason}.") from None


def _folder_reader(folder: Path) -> Reader:
    def read(name: str) -> str | None:
        path = folder / name
        return _read_path(path) if path.is_file() else None

    return read


def _hub_reader(repository: str, revision: str | None, token: str | bool | None, local_files_only: bool) -> Reader:
    hub = require("huggingface_hub", "huggingface")
    errors = require("huggingface_hub.errors", "huggingface")

    def read(name: str) -> str | None:
        try:
            path = hub.hf_hub_download(
                repository, name, revision=revision, token=token, local_files_only=local_files_only
            )
        except errors.LocalEntryNotFoundError as error:
            if name != CONFIG:
                return None
            raise UsageError(
                f"{repository!r} is not in the local cache, and the Hub "
                + ("was not to be asked (local_files_only)." if local_files_only else f"could not be reached: {error}")
                + " A folder with the model's files, here or on S3 (s3://bucket/folder), can be named instead."
            ) from None
        except errors.EntryNotFoundError:
            return None
        except errors.GatedRepoError:
            raise UsageError(f"{repository!r} is gated: accept its terms on the Hub and pass a token.") from None
        except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError) as error:
            what = str(error).partition("\n")[0]
            raise UsageError(f"There is no repository or folder {repository!r}: {what}") from None
        except errors.HfHubHTTPError as error:
            what = str(error).partition("\n")[0]
            raise UsageError(f"The Hub did not give {name} of {repository!r}: {what}") from None
        return _read_path(Path(path))

    return read
