"""A lock on an open file that the operating system releases however the process ends."""

from __future__ import annotations

import sys

__all__ = ["try_lock"]

if sys.platform == "win32":
    import msvcrt

    def try_lock(file: int) -> bool:
        """Lock a file descriptor; return False if another process holds the lock."""
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def try_lock(file: int) -> bool:
        """Lock a file descriptor; return False if another process holds the lock."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
