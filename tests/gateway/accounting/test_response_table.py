"""Stored answers in both databases: whose they are, how long, and how much."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from sagewire.gateway.accounting.database import Store, open_store
from sagewire.gateway.accounting.response_table import Chain, ResponseTable, StoredItem, StoredResponse
from sagewire.gateway.accounting.store_errors import StoreError
from sagewire.gateway.accounting.tables import RESPONSE_ITEMS, RESPONSES
from sagewire.gateway.keys import Key

NOW = datetime(2027, 1, 1, tzinfo=UTC)
LARGE, MANY = 10**6, 1000


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = f"sqlite:///{tmp_path}/keys.db" if request.param == "sqlite" else request.getfixturevalue("database")
    store = open_store(url)
    yield store
    store.close()


class Clock:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


def add(
    table: ResponseTable, id: str, previous: str | None = None, *, owner: str = "a", text: str = "", days: int = 7
) -> int:
    items = [
        StoredItem({"id": f"msg_{id}_in", "text": f"in {id} \0 é 漢 \U0001f600{text}"}),
        StoredItem({"id": "msg_of_client"}, made_here=False),
        StoredItem({"id": f"msg_{id}_out", "text": f"out {id}"}, output=True),
    ]
    stored = StoredResponse(id, {"id": id, "object": "response"}, items, previous)
    return table.add(owner, stored, NOW + timedelta(days=days), LARGE)


def rows(store: Store, table: sa.Table) -> int:
    return len(store.rows(sa.select(table), "count"))


def ids(chain: Chain | None) -> list[str]:
    assert chain is not None
    return [item["id"] for item in chain.items if item["id"] != "msg_of_client"]


def test_a_conversation_and_its_branches(store: Store) -> None:
    table = ResponseTable(store, Clock())
    size = add(table, "r1")
    for id, previous in (("r2", "r1"), ("r3", "r2"), ("other", "r1")):
        add(table, id, previous)
    assert ids(table.chain("a", "r3", LARGE, MANY)) == [f"msg_r{n}_{kind}" for n in (1, 2, 3) for kind in ("in", "out")]
    assert ids(table.chain("a", "other", LARGE, MANY, output=False)) == ["msg_r1_in", "msg_r1_out", "msg_other_in"]
    assert table.get("a", "r1") == {
        "id": "r1", "object": "response", "output": [{"id": "msg_r1_out", "text": "out r1"}],
    }  # fmt: skip
    # What is too large is not read, however long the way back is.
    found = table.chain("a", "r3", size + 1, MANY)
    assert found is not None
    assert (found.items, found.size > size + 1) == ([], True)
    assert set(table.items("a", ["msg_r1_in", "msg_r3_out", "msg_of_client", "no"], LARGE) or ()) == {
        "msg_r1_in", "msg_r3_out",
    }  # fmt: skip
    assert table.items("a", ["msg_r1_in", "msg_r3_out"], 20) is None
    assert table.delete("a", "r2")
    assert not table.delete("a", "r2")
    lost = table.chain("a", "r3", LARGE, MANY)
    assert lost is not None
    assert lost.missing == "r2"


def test_a_conversation_of_too_many_items_is_not_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    table = ResponseTable(store, Clock())
    for number in range(4):
        add(table, f"r{number}", f"r{number - 1}" if number else None)
    # Three items each; the last one's own output does not count if it is not asked for.
    read = [(most, output) for most in (10, 11, 12) for output in (True, False)]
    chains = [table.chain("a", "r3", LARGE, most, output=output) for most, output in read]
    assert [chain is not None and chain.too_many for chain in chains] == [True, True, True, False, False, False]
    assert [chain is not None and len(chain.items) for chain in chains] == [0, 0, 0, 11, 12, 11]
    # Nor one that goes farther back than is looked.
    monkeypatch.setattr("sagewire.gateway.accounting.response_table.MAX_TURNS", 2)
    far = table.chain("a", "r3", LARGE, MANY)
    assert far is not None
    assert (far.items, far.missing, far.too_many) == ([], None, True)


def test_another_key_has_none_of_it(store: Store) -> None:
    table = ResponseTable(store, Clock())
    add(table, "r1")
    # The same id is no conflict, and tells nobody that there is one.
    add(table, "r1", owner="b", text="b's own")
    assert table.get("c", "r1") is table.chain("c", "r1", LARGE, MANY) is None
    assert table.items("c", ["msg_r1_in"], LARGE) == {}
    assert "b's own" in str(table.items("b", ["msg_r1_in"], LARGE))
    assert not table.delete("c", "r1")
    # A conversation never goes on into that of another.
    add(table, "r9", "r1", owner="c")
    lost = table.chain("c", "r9", LARGE, MANY)
    assert lost is not None
    assert lost.missing == "r1"


def test_what_has_expired_is_not_read_and_deleted(store: Store) -> None:
    clock = Clock()
    table = ResponseTable(store, clock)
    add(table, "r1", days=1)
    add(table, "r2", "r1", days=2)
    clock.now = NOW + timedelta(days=1)
    assert table.get("a", "r1") is None
    assert table.items("a", ["msg_r1_in"], LARGE) == {}
    lost = table.chain("a", "r2", LARGE, MANY)
    assert lost is not None
    assert lost.missing == "r1"
    table.remove(table.expired())
    assert table.expired() == []
    assert (rows(store, RESPONSES), rows(store, RESPONSE_ITEMS)) == (1, 3)


def test_a_key_pushes_out_its_own_only(store: Store) -> None:
    table = ResponseTable(store, Clock())
    size = add(table, "r1", text="x" * 1000)
    for number in range(2, 8):
        add(table, f"r{number}", text="x" * 1000)
    add(table, "r1", owner="b", text="x" * 1000)
    table.remove(table.oldest("a", 3 * size))
    kept = store.rows(sa.select(RESPONSES.c.owner, RESPONSES.c.id).order_by(RESPONSES.c.number), "look")
    assert [(row["owner"], row["id"]) for row in kept] == [("a", "r5"), ("a", "r6"), ("a", "r7"), ("b", "r1")]
    assert rows(store, RESPONSE_ITEMS) == 12
    assert table.add("a", StoredResponse("big", {"id": "big", "text": "x" * 100}, []), NOW, 100) == 0
    assert table.get("a", "big") is None


def test_a_revoked_key_leaves_nothing_behind(store: Store) -> None:
    table = ResponseTable(store, Clock())
    for name in "ab":
        store.add_key(Key(name, name * 64))
        add(table, "r1", owner=name * 64)
    store.remove_key("a")
    assert {row["owner"] for row in store.rows(sa.select(RESPONSES), "look")} == {"b" * 64}
    assert {row["owner"] for row in store.rows(sa.select(RESPONSE_ITEMS), "look")} == {"b" * 64}


def test_a_revoked_key_is_gone_though_its_responses_cannot_be_deleted(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    table = ResponseTable(store, Clock())
    store.add_key(Key("a", "a" * 64))
    for number in range(5):
        add(table, f"r{number}", owner="a" * 64)
    monkeypatch.setattr("sagewire.gateway.accounting.database._RESPONSES_AT_ONCE", 2)
    begin, begun = store.transaction, list[str]()

    def transaction(doing: str) -> AbstractContextManager[sa.Connection]:
        begun.append(doing)
        if len(begun) == 3:
            raise StoreError("canceling statement due to statement timeout")
        return begin(doing)

    monkeypatch.setattr(store, "transaction", transaction)
    assert store.remove_key("a")
    assert store.key("a" * 64) is None
    assert "statement timeout" in caplog.text
    # The key first, and then a part of them.
    assert begun == ["remove a key from", "delete responses from", "delete responses from"]
    assert (rows(store, RESPONSES), rows(store, RESPONSE_ITEMS)) == (3, 9)
