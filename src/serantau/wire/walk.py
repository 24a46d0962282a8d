"""A walk over a server's pages, which ends even when the server's does not."""

from __future__ import annotations

import hashlib
from typing import Final

from serantau.clock import instant
from serantau.errors import PeerError
from serantau.wire.envelope import Envelope
from serantau.wire.taxii import LAST_HEADER

_EMPTY_PAGES: Final = 10


class Walk:
    """Ends a walk over pages that would not end by itself."""

    def __init__(self, name: str, bound: int) -> None:
        """Walk over at most `bound` pages of the server that is called `name`."""
        self._name = name
        self._bound = bound
        self._count = 0
        self._empty = 0
        self._pages: set[bytes] = set()
        self._tokens: set[str] = set()

    def step(self, envelope: Envelope, first: str, last: str) -> None:
        """Look at one more page."""
        self._count += 1
        if self._count > self._bound:
            raise self._fault(f"gives more than {self._bound:,} pages", "an end")
        if not envelope.objects:
            self._empty += 1
            if envelope.more and self._empty > _EMPTY_PAGES:
                raise self._fault(
                    f"says `more` on {self._empty} empty pages in a row", "objects"
                )
        else:
            self._empty = 0
            seen = hashlib.blake2b(f"{first} {last} ".encode(), digest_size=16)
            for text in envelope.objects:
                seen.update(text)
            if seen.digest() in self._pages:
                raise self._fault(
                    f"gives the same page twice: page {self._count:,}, "
                    f"{len(envelope.objects):,} objects, {first or 'no date'} "
                    f"to {last or 'no date'}",
                    "the page after it",
                )
            self._pages.add(seen.digest())
        if envelope.more and envelope.next:
            if envelope.next in self._tokens:
                raise self._fault("gives the same `next` twice", "a new one or an end")
            self._tokens.add(envelope.next)

    def past(self, after: str, last: str) -> None:
        """Check that a walk without `next` gets on."""
        if not last:
            raise self._fault(
                "says `more` and gives neither `next` nor a date to go on from",
                f"`next`, or {LAST_HEADER}",
            )
        if after and order_of(last) <= order_of(after):
            raise self._fault(
                f"says `more` after {after} and gives nothing later", "later objects"
            )

    def _fault(self, got: str, expected: str) -> PeerError:
        return PeerError(f"{self._name} {got}, expected {expected}.")


def order_of(text: str) -> int:
    """Give a time as a number to compare, -1 for what is none."""
    try:
        return instant(text)
    except ValueError:
        return -1
