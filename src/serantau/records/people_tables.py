"""The tables of people at the pages: who is signed in, and how. None replicates."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text

from serantau.records.columns import metadata, numbered

# Somebody who is signed in. `digest`: of the secret in the browser's cookie. `ways`: by
# what it was proven, as `password+totp`. `seen`: to the minute.
session = Table(
    "session",
    metadata,
    numbered(),
    Column("digest", Text, nullable=False),
    Column("user_account", Integer, nullable=False),
    Column("ways", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("seen", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("address", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Index(None, "digest", unique=True),
    Index(None, "user_account"),
)

# A secret that is good once: a link that invites, a sign-in that is half done, what a
# passkey is asked to sign. `purpose`: which of these. `body`: JSON.
ticket = Table(
    "ticket",
    metadata,
    numbered(),
    Column("digest", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("user_account", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Index(None, "digest", unique=True),
    Index(None, "user_account", "purpose"),
)

# What a user proves itself by beside the password. `kind`: totp, passkey, recovery or
# oidc. `key`: what it is found by. `secret`: sealed, or a public key.
factor = Table(
    "factor",
    metadata,
    numbered(),
    Column("user_account", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("secret", LargeBinary, nullable=False),
    Column("label", Text, nullable=False),
    Column("counter", BigInteger, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("used", BigInteger, nullable=False),
    Index(None, "user_account"),
    Index(None, "kind", "key", unique=True),
)

# How a user reads pages, and how far it is let in. `scope`: for a guest the case.
# `ends`: when it is let in no more, 0 for never. Nobody without a row: the defaults.
person = Table(
    "person",
    metadata,
    Column("user_account", Integer, primary_key=True, autoincrement=False),
    Column("full_name", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("zone", Text, nullable=False),
    Column("calendar", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("ends", BigInteger, nullable=False),
)
