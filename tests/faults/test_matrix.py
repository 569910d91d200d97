"""Every fault, for everybody who can feel it: the whole text, or one typed error that carries what was read."""

from __future__ import annotations

import itertools

import pytest

from sagewire import errors
from sagewire.content_handlers import get_handler
from sagewire.emulator import FAULTS, EndpointSpec, Scripted
from sagewire.errors import SagewireError
from sagewire.http.deadlines import Timeouts

from .callers import CALLERS, Read
from .outcomes import TEXT, WHOLE, Broken, Row
from .rows import ROWS

_numbers = itertools.count()
MODES = {"chat": 0, "stream": 1}
CLIENTS = ("Client", "AsyncClient")
CASES = [
    pytest.param(row, mode, who, id=f"{row.name}-{mode}-{who}")
    for row in ROWS
    for mode in MODES
    for who in CALLERS
    if getattr(row, mode) is not None and (row.frameworks or who in CLIENTS)
]


def test_the_table_is_complete():
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names) >= 60
    used = {fault.partition(":")[0] for row in ROWS for fault in row.faults}
    # The container's name for a fault of the front door is tested with the credentials below it.
    assert used == set(FAULTS)


@pytest.mark.parametrize(("row", "mode", "who"), CASES)
def test_a_fault_has_one_right_outcome(row: Row, mode: str, who: str, emulator, raw_server, go_to):
    endpoint = f"row-{next(_numbers)}"
    engine = Scripted([TEXT], loop=True)
    if row.place != "no_such_endpoint":
        emulator.add(endpoint, EndpointSpec(row.wire, engine, faults=row.faults, **row.endpoint))
    raw_server.answers = list(row.raw)
    if row.place or row.raw:
        go_to(row.place or "raw")
    speaks = get_handler(row.wire).speaks
    settings = {"handler": row.wire, "format": "chatml" if speaks == "prompt" else None, "timeout": row.patience}
    read: Read = []
    expected = getattr(row, mode)
    ask = CALLERS[who][MODES[mode]]
    if expected is WHOLE:
        assert ask(endpoint, settings, read) == TEXT
        return
    with pytest.raises(SagewireError) as caught:
        ask(endpoint, settings, read)
    check(caught.value, expected, "".join(read))
    if expected.calls is not None:
        assert len([call for call in emulator.calls if call.endpoint == endpoint]) == expected.calls


def check(error: SagewireError, expected: Broken, read: str) -> None:
    # LangChain's classes are of both families; sagewire's comes first.
    kinds = [kind for kind in type(error).__mro__ if vars(errors).get(kind.__name__) is kind]
    assert kinds[0] is expected.kind, error
    assert expected.says in str(error)
    assert len(str(error)) < 3000
    if expected.code is not None:
        assert error.code == expected.code
    for name, value in expected.attributes.items():
        assert getattr(error, name) == value, name
    assert (error.partial.text if error.partial is not None else None) == expected.partial
    assert read == (expected.partial or "")
    assert TEXT.startswith(read)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("who", [who for who in CALLERS if "LlamaIndex" not in who])
def test_drops_that_keep_coming_end_with_the_total_limit(mode, who, emulator):
    emulator.add("drip", EndpointSpec("openai_chat", Scripted([TEXT], loop=True), faults=["slow_loris:0.02"]))
    settings = {"handler": "openai_chat", "format": None, "timeout": Timeouts(total=0.3)}
    with pytest.raises(TimeoutError) as caught:
        CALLERS[who][MODES[mode]]("drip", settings, [])
    assert caught.value.code == "total"
