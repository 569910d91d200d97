"""The command line in processes of its own: terminals, pipes and signals."""

import os
import pty
import signal
import subprocess
import sys

import pytest

from sagewire.emulator import Emulator

SAGEWIRE = [sys.executable, "-m", "sagewire"]


@pytest.fixture(scope="module")
def emulated():
    with Emulator({"vllm": "openai_chat:echo"}) as emulator:
        yield emulator


class Terminal:
    """A process in a terminal of its own."""

    def __init__(self, arguments, environment):
        self.process_id, self.keys = pty.fork()
        if self.process_id == 0:
            os.execve(SAGEWIRE[0], [*SAGEWIRE, *arguments], environment)
        self.seen = ""

    def until(self, text):
        """Read until a text appears; return what stood before it."""
        while text not in self.seen:
            self.seen += os.read(self.keys, 4096).decode()
        before, _, self.seen = self.seen.partition(text)
        return before

    def type(self, text):
        os.write(self.keys, text.encode())

    def end(self):
        _, status = os.waitpid(self.process_id, 0)
        os.close(self.keys)
        return os.waitstatus_to_exitcode(status)


def test_chat_in_a_terminal(emulated, clean_environment):
    terminal = Terminal(
        ["chat", "vllm"], {**os.environ, **emulated.environ(), "NO_COLOR": "1", "TERM": "xterm", "INPUTRC": "/dev/null"}
    )
    terminal.until("you> ")
    terminal.type("first words\r")
    terminal.until("first words\r\n")
    assert "first words" in terminal.until("you> ")
    # The line before comes back with the arrow key.
    terminal.type("\x1b[A\r")
    terminal.until("\n")
    assert "first words" in terminal.until("you> ")
    terminal.type("/history\r")
    assert terminal.until("you> ").count("first words") == 4
    terminal.type("/help\r")
    assert "/clear" in terminal.until("you> ")
    terminal.type("\x04")
    assert terminal.end() == 0


@pytest.mark.parametrize("arguments", [["formats"], ["handlers", "--json"]])
def test_a_reader_that_leaves_early_is_no_error_to_print(clean_environment, arguments):
    with subprocess.Popen([*SAGEWIRE, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) in (0, 1)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
@pytest.mark.parametrize("command", [["gateway", "--demo", "--port", "0"], ["emulator", "--port", "0"]])
def test_a_signal_ends_a_server_cleanly(clean_environment, command, number, code):
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [*SAGEWIRE, *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        # The first line is printed before the server runs: there is no moment at which the signal would kill.
        process.stdout.readline()
        process.send_signal(number)
        process.stdout.read()
        assert process.wait(60) == code


TOLD_EARLY = """
import signal, sys
import uvicorn
from sagewire.__main__ import main

run = uvicorn.Server.run

def told_early(server, **arguments):
    signal.raise_signal(signal.SIGTERM)
    run(server, **arguments)

uvicorn.Server.run = told_early
sys.argv[1:] = ["gateway", "--demo", "--port", "0"]
main()
"""


def test_a_gateway_that_is_told_to_end_before_it_listens_for_signals_ends(clean_environment):
    done = subprocess.run([sys.executable, "-c", TOLD_EARLY], stdout=subprocess.DEVNULL, timeout=60, check=False)
    assert done.returncode == 0
