"""Lengths of time as configuration files and clients write them: 30m, 12h, 7d, 1mo."""

from __future__ import annotations

import calendar
import re
from datetime import UTC, datetime, timedelta

from sagewire.errors import UsageError

__all__ = ["after"]

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = re.compile(r"([1-9]\d{0,5})(s|m|h|d|w|mo)")


def after(duration: str, moment: datetime | None = None) -> datetime:
    """Return the moment a length of time after another one.

    Args:
        duration: A number and a unit: `s`, `m`, `h`, `d`, `w`, or `mo` for calendar months.
        moment: Default: now.

    Raises:
        UsageError: The text is not a length of time, or the moment is beyond the year 9999.

    Example:
        >>> after("1mo", datetime(2027, 1, 31, tzinfo=UTC)).date().isoformat()
        '2027-02-28'
    """
    moment = moment or datetime.now(UTC)
    found = _DURATION.fullmatch(duration)
    if found is None:
        raise UsageError(f"{duration[:40]!r} is not a duration such as 30m, 12h, 30d or 1mo")
    number, unit = int(found[1]), found[2]
    try:
        return _months_after(moment, number) if unit == "mo" else moment + timedelta(**{_UNITS[unit]: number})
    except (OverflowError, ValueError):
        raise UsageError(f"{duration!r} from now is beyond the year 9999; choose a shorter one") from None


def _months_after(moment: datetime, number: int) -> datetime:
    years, month = divmod(moment.month - 1 + number, 12)
    year = moment.year + years
    day = min(moment.day, calendar.monthrange(year, month + 1)[1])
    return moment.replace(year=year, month=month + 1, day=day)
