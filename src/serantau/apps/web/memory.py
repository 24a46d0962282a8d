"""What a server asks of the C libraries that give it memory.

This imports nothing of the store: SQLite is asked before Python's module starts it.
"""

from __future__ import annotations

import ctypes
from importlib.util import find_spec
from typing import Final

# <malloc.h> of the GNU C library, mallopt(3).
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_KEPT_BYTES: Final = 64 << 20
_PAGE_BYTES: Final = 8 << 20
# <sqlite3.h>, sqlite3_config.
_CONFIG_MEMSTATUS: Final = 9


def keep_memory() -> None:
    """Let memory that a page used be kept for the next one.

    Left alone, the GNU C library gives pieces of this size back to the system and asks
    for them anew: a hundred page faults for each page of objects, a tenth of its time.
    At most 64 MiB are kept. Other C libraries go on as they do.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_MMAP_THRESHOLD, _PAGE_BYTES)
    mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)


def count_no_memory() -> bool:
    """Have SQLite not count the memory it takes; says whether it does as asked.

    Nobody reads that count, and for it all threads wait for one lock at every value
    that is read: a fifth of the time of two that read pages. SQLite listens only before
    it has started, so this comes before the module sqlite3; after it nothing happens.
    """
    found = find_spec("_sqlite3")
    if found is None:
        return False
    inside = found.origin in {None, "built-in"}
    try:
        library = ctypes.CDLL(None if inside else found.origin)
        return bool(library.sqlite3_config(_CONFIG_MEMSTATUS, 0) == 0)
    except (AttributeError, OSError):
        return False
