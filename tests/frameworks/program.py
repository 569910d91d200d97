"""Run programs that may `await` outside of functions: `python program.py RESULTS FILE ...`, each on its own emulator.

What they print is written to RESULTS as one JSON object: file -> what was printed, and which endpoints were called.
"""

import ast
import asyncio
import contextlib
import inspect
import io
import json
import linecache
import os
import sys
from pathlib import Path

from sagewire import assume_role_session
from sagewire.emulator import Emulator

ROLE = "arn:aws:iam::222222222222:role/endpoint-users"


def run(path):
    printed = io.StringIO()
    code = compile(Path(path).read_text("utf-8"), path, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    with Emulator() as emulator, contextlib.redirect_stdout(printed):
        os.environ.update(emulator.environ())
        names = {"__name__": "__main__", "session": assume_role_session(ROLE, region_name="us-east-1")}
        if code.co_flags & inspect.CO_COROUTINE:
            asyncio.run(eval(code, names))
        else:
            exec(code, names)
        called = sorted({call.endpoint for call in emulator.calls})
    linecache.checkcache(path)
    return {"printed": printed.getvalue(), "called": called}


Path(sys.argv[1]).write_text(json.dumps({path: run(path) for path in sys.argv[2:]}), "utf-8")
