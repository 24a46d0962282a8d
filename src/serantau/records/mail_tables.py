"""The tables of cases by mail: threads, letters out, and mails in. None replicates."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, LargeBinary, Table, Text

from serantau.records.columns import Number, metadata, numbered

# One thread a case and party that takes part by mail. `token`: what its subjects carry.
# `entries`: how many the case had when it was last looked at for something to tell.
# `root`, `last`: Message-IDs of our first and last letter; `theirs`: of their last one.
# `trouble`, `trouble_at`: what came back last, or what program answered.
thread = Table(
    "case_mail_thread",
    metadata,
    numbered(),
    Column("case_id", Text, nullable=False),
    Column("party", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("token", Text, nullable=False),
    Column("entries", BigInteger, nullable=False),
    Column("root", Text, nullable=False),
    Column("last", Text, nullable=False),
    Column("theirs", Text, nullable=False),
    Column("trouble", Text, nullable=False),
    Column("trouble_at", BigInteger, nullable=False),
    Index(None, "case_id", "party", unique=True),
    Index(None, "token", unique=True),
)

# One letter. Until it is taken it has no content: what it tells is chosen then, and
# stands in `entries` as a JSON list of ids from then on. `key`: of its Message-ID.
# `logged`: the key under which it is in the release log.
letter = Table(
    "case_mail_letter",
    metadata,
    numbered(),
    Column("thread", Number, nullable=False),
    Column("state", Text, nullable=False),
    Column("made", BigInteger, nullable=False),
    Column("key", Text, nullable=False),
    Column("entries", Text, nullable=False),
    Column("card", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("clear", Boolean, nullable=False),
    Column("due", BigInteger, nullable=False),
    Column("tries", BigInteger, nullable=False),
    Column("lease", BigInteger, nullable=False),
    Column("sent", BigInteger, nullable=False),
    Column("said", Text, nullable=False),
    Index(None, "thread"),
    Index(None, "state", "due"),
    Index(None, "key"),
    Index(None, "card"),
)

# One mail that belongs to a thread, whole. `entries`: what was made of it, as JSON.
mail = Table(
    "case_mail_in",
    metadata,
    numbered(),
    Column("thread", Number, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("signature", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("entries", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Index(None, "thread", "at"),
    Index(None, "state"),
)
