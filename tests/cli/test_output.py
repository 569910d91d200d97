"""Standard output that cannot be written, and files that cannot be read or written: one sentence, nothing half done."""

import errno
import io
import os
import sys

import pytest

from sagewire.__main__ import main
from sagewire.cli._app import app
from sagewire.emulator import load_endpoints
from sagewire.errors import UsageError
from sagewire.migrate import find_programs, migrate_file
from tests.cases import each

OLD = "from langchain_community.llms import SagemakerEndpoint\n"


@pytest.fixture
def program(monkeypatch):
    """Run `sagewire` with a standard output; return the message or the code that it ends with."""

    def run(output, *arguments):
        monkeypatch.setattr(sys, "argv", ["sagewire", *arguments])
        monkeypatch.setattr(sys, "stdout", output)
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code

    return run


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
@each("arguments", [("--help",), ("--version",), ("formats",), ("handlers", "--json"), ("render", "chatml", "Hi")])
def test_a_full_disk(program, arguments):
    # Closing it writes what is left, and must not fail.
    with open("/dev/full", "w", encoding="utf-8") as output:
        assert program(output, *arguments) == "sagewire: the output cannot be written: No space left on device"


@pytest.mark.skipif(sys.platform == "win32", reason="pipes differ")
def test_a_reader_that_went_away(program):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", encoding="utf-8") as output:
        assert program(output, "formats") == 1


def test_characters_that_the_output_does_not_have_are_shown_by_their_codes(program):
    output = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    assert program(output, "render", "chatml", "Grüße 日本") == 0
    output.flush()
    assert b"Gr\\xfc\\xdfe \\u65e5\\u672c" in output.buffer.getvalue()


def test_other_errors_of_the_system_are_not_taken_for_that(program, monkeypatch):
    def fail(**_):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "settings")

    monkeypatch.setattr("sagewire.cli.app", fail)
    with pytest.raises(FileNotFoundError):
        program(io.StringIO(), "formats")
    assert app is not fail


def test_ctrl_c_before_a_command_has_begun(program, monkeypatch, capsys):
    def interrupt(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr("sagewire.cli.app", interrupt)
    assert program(io.StringIO(), "formats") == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "old.py"
    path.write_text(OLD, "utf-8")
    path.chmod(0o640)
    return path


def test_a_program_is_rewritten_all_of_it_or_not_at_all(old, monkeypatch):
    one = migrate_file(old)

    def full(path, data):
        with path.open("wb") as file:
            file.write(data[:5])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.write_bytes", full)
        with pytest.raises(UsageError, match=r"old\.py cannot be written: No space left on device; it is as it was"):
            one.write()
    assert old.read_text("utf-8") == OLD
    one.write()
    assert "sagewire" in old.read_text("utf-8")
    assert os.listdir(old.parent) == ["old.py"]
    if sys.platform != "win32":
        assert old.stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need a right there")
def test_a_link_to_a_program_stays_one(old):
    link = old.with_name("link.py")
    link.symlink_to(old)
    migrate_file(link).write()
    assert link.is_symlink()
    assert "sagewire" in old.read_text("utf-8")


def test_paths_that_are_no_programs(tmp_path):
    binary, folder, note = tmp_path / "binary.py", tmp_path / "empty", tmp_path / "note.txt"
    binary.write_bytes(b"\xff\xfe\x00")
    folder.mkdir()
    note.touch()
    told = {
        "does not exist": lambda: list(find_programs([tmp_path / "missing.py"])),
        "is not a Python file (.py) or a notebook (.ipynb)": lambda: list(find_programs([note])),
        "holds no Python file and no notebook": lambda: list(find_programs([folder])),
        "binary.py cannot be read: it is not text in UTF-8": lambda: migrate_file(binary),
        "empty cannot be read: Is a directory": lambda: load_endpoints(folder),
    }
    if sys.platform == "win32":
        told.popitem()
    for message, call in told.items():
        with pytest.raises(UsageError) as caught:
            call()
        assert message in str(caught.value)
        assert "Errno" not in str(caught.value)
