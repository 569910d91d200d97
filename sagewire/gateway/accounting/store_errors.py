"""Errors of the database, without statements, parameters or passwords."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DataError, SQLAlchemyError

from sagewire.errors import SagewireError

__all__ = ["SchemaMismatch", "StoreBusy", "StoreError", "as_store_error"]


class StoreError(SagewireError):
    """A failure of the database: keys cannot be checked, or usage cannot be written."""


class StoreBusy(StoreError):
    """A database that answers, but has more to do than callers can wait for."""


class SchemaMismatch(StoreError):
    """A database whose tables are of a release that this one cannot work with."""


@contextmanager
def as_store_error(doing: str) -> Iterator[None]:
    """Turn SQLAlchemy's errors, which quote statements and parameters, into one line.

    Errors in the data itself stay as they are: another try would fail, too.
    """
    try:
        yield
    except DataError:
        raise
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or type(error).__name__
        reason = str(cause).strip().partition("\n")[0]
        raise StoreError(f"cannot {doing} the database: {reason}") from error
