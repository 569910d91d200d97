"""The rows that need fresh processes: imports, cold starts, and what an installation brings along."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from beside.candidates import KEYS, REGION
from beside.environment import ROOT, install_in
from beside.rows import Row

__all__ = ["process_rows"]

IMPORT = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"
COLD = {
    "sagewire": """
from sagewire import Client
assert Client("chat", handler="openai_chat").chat("x").text
""",
    "boto3": """
import boto3, json
client = boto3.client("sagemaker-runtime")
body = json.dumps({"messages": [{"role": "user", "content": "x"}]})
answer = client.invoke_endpoint(EndpointName="chat", Body=body, ContentType="application/json")
assert json.loads(answer["Body"].read())["choices"][0]["message"]["content"]
""",
}
# The first streams open the connections and fill their buffers; from then on only what is kept of answers can grow.
STREAMS = """
import asyncio
from sagewire import AsyncClient
from sagewire.types import TextDelta

async def read(client):
    return sum([1 async for delta in client.stream("x", keep_reply=False) if isinstance(delta, TextDelta)])

async def together(endpoint):
    async with AsyncClient(endpoint, handler="openai_chat") as client:
        counts = await asyncio.gather(*[read(client) for _ in range(256)])
    assert set(counts) == {2000}, counts
    # Not from getrusage, which begins with the memory of the process this one was started by.
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024

narrow, wide = asyncio.run(together("chat")), asyncio.run(together("wide"))
print((wide - narrow) / 1e3)
"""
TIMED = "import time; start = time.perf_counter()\n{}\nprint(time.perf_counter() - start)"


def process_rows(url: str) -> list[Row]:
    """Return the rows; `url` is the server's."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {name.upper(): value for name, value in KEYS.items()}
    # All but the first start of a program find its modules compiled.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment |= {"AWS_ENDPOINT_URL": url, "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}

    def fresh(code: str) -> Callable[[], float]:
        def milliseconds() -> float:
            run = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)
            return float(run.stdout) * 1e3

        return milliseconds

    imports = {"sagewire": fresh(IMPORT.format("sagewire")), "boto3": fresh(IMPORT.format("boto3"))}
    cold = {name: fresh(TIMED.format(code)) for name, code in COLD.items()}
    # Once: it takes long. The value varies with how many connections happen to have full buffers at one moment.
    streams = cache(fresh(STREAMS))
    packages, megabytes = _base_install()
    return [
        Row("import sagewire", "ms", 60.0, "less", imports, "value"),
        Row("cold start to the first answer", "ms", 0.6, "less", cold),
        # asyncio reads up to 256 KiB of a connection at once, which makes 64 MiB; the streams have 5 MB each.
        Row("peak memory of 256 async streams, for 1.3 GB more", "MiB", 64, "less", {"sagewire": streams}, "value"),
        Row("base install", "packages", 18, "less", {"sagewire": lambda: packages}, "value"),
        Row("base install", "MiB", 36, "less", {"sagewire": lambda: megabytes}, "value"),
    ]


def _base_install() -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as place:
        install_in(Path(sys.executable), "--target", place, str(ROOT))
        files = [path for path in Path(place).rglob("*") if path.is_file() and path.suffix != ".pyc"]
        return len(list(Path(place).glob("*.dist-info"))), sum(path.stat().st_size for path in files) / 2**20
