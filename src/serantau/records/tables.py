"""Every table in one place.

Instants are BIGINT microseconds. Small repeated texts (object types, kinds of values
and edges, sources) stand once in `word`. Ids of objects join by `key`, a 64-bit digest
of the id's text (`rules.stix.id_key`), so that rows are narrow and an edge can name an
object that is not here yet. The release log lives in the schema `ledger`: with SQLite
this is an attached file, so that serving a page never waits for someone who is loading
objects.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from serantau.records import (
    behalf_tables,
    card_tables,
    case_tables,
    columns,
    event_tables,
    log_tables,
    mail_tables,
    people_tables,
    recall_tables,
)
from serantau.records.columns import Number as _Number
from serantau.records.columns import numbered as _numbered

LEDGER = columns.LEDGER
metadata = columns.metadata
grant = log_tables.grant
release = log_tables.release
behalf_handed = behalf_tables.handed
behalf_link = behalf_tables.link
behalf_held = behalf_tables.held
recall = recall_tables.recall
case_entry = case_tables.entry
case_mail_thread = mail_tables.thread
session = people_tables.session
event_question = event_tables.question
card_ask = card_tables.ask

meta = Table(
    "meta",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

# One row. `last` is the newest stamp given out; `epoch` grows whenever what some party
# may see changes, so that whoever remembers a view knows when to look again.
stamp = Table(
    "stamp",
    metadata,
    Column("n", SmallInteger, primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
)

word = Table(
    "word", metadata, _numbered(), Column("text", Text, nullable=False, unique=True)
)

marking_set = Table(
    "marking_set",
    metadata,
    _numbered(),
    Column("key", Text, nullable=False, unique=True),
)

# An object version. `added` is its stamp: unique, growing in commit order. `slot` is
# 2 * marking_set for the newest version of an object and one more for superseded ones,
# so that one index answers both "the last versions" and "all versions" of a set.
# `prior` says what of the object is earlier, so that a question for the first version
# that a party sees need not look: nothing, a version of the same set, or others only.
object_ = Table(
    "object",
    metadata,
    Column("added", _Number, primary_key=True, autoincrement=False),
    Column("key", BigInteger, nullable=False),
    Column("modified", BigInteger, nullable=False),
    Column("slot", Integer, nullable=False),
    Column("type", Integer, nullable=False),
    Column("source", Integer, nullable=False),
    Column("id", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("own_set", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("prior", SmallInteger, nullable=False, server_default="0"),
    UniqueConstraint("key", "modified"),
    Index(None, "slot", "added"),
    Index(None, "slot", "type", "added"),
    Index(None, "modified", "slot", "added"),
)

# Which objects are marking definitions, each once with no circle, and once with each
# circle that it names: what a change of a circle means is found without a scan.
definition = Table(
    "definition",
    metadata,
    Column("added", _Number, primary_key=True, autoincrement=False),
    Column("circle", Text, primary_key=True),
    Index(None, "circle", "added"),
)

# PostgreSQL only; with SQLite it is a full-text table of trigrams without the text.
object_text = Table(
    "object_text",
    MetaData(),
    Column("added", BigInteger, primary_key=True, autoincrement=False),
    Column("text", Text, nullable=False),
)

# A second way into a view: membership of a box collection, or an older object that a
# party may see from now on. It has a stamp of its own, so that no cursor passes it by.
entry = Table(
    "entry",
    metadata,
    Column("added", _Number, primary_key=True, autoincrement=False),
    Column("scope", Integer, nullable=False),
    Column("slot", Integer, nullable=False),
    Column("type", Integer, nullable=False),
    Column("object", BigInteger, nullable=False),
    Index(None, "scope", "slot", "added"),
    Index(None, "scope", "slot", "type", "added"),
    Index(None, "object"),
)

# Whose entries: those of a collection (party 0), or those of one party in a collection.
# Collection 0 is the whole store.
scope = Table(
    "scope",
    metadata,
    _numbered(),
    Column("collection", Integer, nullable=False),
    Column("party", Integer, nullable=False),
    UniqueConstraint("collection", "party"),
)

# Who refers to an object: `target` is the key of an id that need not be here, `source`
# the stamp of the version that refers. What an object refers to stands in its body.
edge = Table(
    "edge",
    metadata,
    Column("target", BigInteger, primary_key=True),
    Column("kind", Integer, primary_key=True),
    Column("source", BigInteger, primary_key=True),
    sqlite_with_rowid=False,
)

# What an object is about: the 64-bit digest of "kind:normalised value".
value = Table(
    "value",
    metadata,
    Column("digest", BigInteger, primary_key=True),
    Column("object", BigInteger, primary_key=True),
    sqlite_with_rowid=False,
)

# `box`: holds what was put into it; otherwise a saved query over the whole store.
# `query`, `access`: JSON, as records.collections describes them.
collection = Table(
    "collection",
    metadata,
    _numbered(),
    Column("id", Text, nullable=False, unique=True),
    Column("alias", Text, nullable=False, unique=True),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("box", Boolean, nullable=False),
    Column("query", Text, nullable=False),
    Column("access", Text, nullable=False),
)

party = Table(
    "party",
    metadata,
    _numbered(),
    Column("name", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("identity", Text, nullable=False),
    Column("client_of", Text, nullable=False),
    Column("need_to_know", Boolean, nullable=False),
    Column("blocked", Boolean, nullable=False),
    Column("ceiling", Text, nullable=False),
    Column("until", BigInteger),
    Column("purposes", Text, nullable=False, server_default=text("''")),
)

circle = Table(
    "circle",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("members", Text, nullable=False),
)

# May this party have what is marked so? `since`: stamps up to it are in its view only
# by entries of its own; 0 where it could see them from the start.
verdict = Table(
    "verdict",
    metadata,
    Column("party", Integer, primary_key=True),
    Column("marking_set", Integer, primary_key=True),
    Column("released", Boolean, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("rule", Text, nullable=False),
    Column("got", Text, nullable=False),
    Column("expected", Text, nullable=False),
    sqlite_with_rowid=False,
)

user = Table(
    "user_account",
    metadata,
    _numbered(),
    Column("name", Text, nullable=False, unique=True),
    Column("party", Integer, nullable=False),
    Column("role", Text, nullable=False),
    Column("password", Text, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created", BigInteger, nullable=False),
)

token = Table(
    "token",
    metadata,
    _numbered(),
    Column("user_account", Integer, nullable=False, index=True),
    Column("digest", Text, nullable=False, unique=True),
    Column("label", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger),
)

# A node or server that this one pulls from. `secret` is sealed with the node's own key.
peer = Table(
    "peer",
    metadata,
    _numbered(),
    Column("name", Text, nullable=False, unique=True),
    Column("url", Text, nullable=False),
    Column("collection", Text, nullable=False),
    Column("user_name", Text, nullable=False),
    Column("secret", Text, nullable=False),
    Column("certificate", Text, nullable=False),
    Column("handle_as", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("signatures", Text, nullable=False, server_default="members"),
)

# A key that somebody said is a party's. `public` is empty until one with this
# fingerprint was met, `identity` until it was proven whose it is.
key_pin = Table(
    "key_pin",
    metadata,
    Column("party", Text, primary_key=True),
    Column("fingerprint", Text, primary_key=True),
    Column("public", Text, nullable=False),
    Column("identity", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("by_whom", Text, nullable=False),
)

# How far a pull from one collection of a peer has come.
cursor = Table(
    "cursor",
    metadata,
    Column("peer", Integer, primary_key=True),
    Column("collection", Text, primary_key=True),
    Column("added_after", Text, nullable=False),
    Column("pulled", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("refused", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("fault", Text, nullable=False),
)

quarantine = Table(
    "quarantine",
    metadata,
    _numbered(),
    Column("at", BigInteger, nullable=False),
    Column("source", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("got", Text, nullable=False),
    Column("expected", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("handle_as", Text, nullable=False),
    Column("collections", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("source", "digest"),
    Index(None, "rule", "n"),
)

# TAXII 2.1 §4.3: the status of a POST, kept for at least a day.
status = Table(
    "status",
    metadata,
    Column("id", Text, primary_key=True),
    Column("party", Integer, nullable=False),
    Column("at", BigInteger, nullable=False, index=True),
    Column("body", LargeBinary, nullable=False),
)

# A batch of events: bytes that are named by their SHA-256, and how far they came
# (records.batches). A second arrival of the same bytes makes no second row.
# `due`: not worked on before. `lease`: until when `worker` has it. `round`: how often
# it was asked for anew. `waived`: a person said that its odd size is right. `kept`: its
# bytes are still here.
batch = Table(
    "batch",
    metadata,
    _numbered(),
    Column("digest", Text, nullable=False, unique=True),
    Column("feed", Text, nullable=False),
    Column("format", Text, nullable=False),
    Column("report", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("tlp", SmallInteger),
    Column("size", BigInteger, nullable=False),
    Column("received", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("due", BigInteger, nullable=False),
    Column("worker", Text, nullable=False),
    Column("lease", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("round", Integer, nullable=False),
    Column("waived", Boolean, nullable=False),
    Column("kept", Boolean, nullable=False),
    Column("began", BigInteger, nullable=False),
    Column("ended", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("repeated", BigInteger, nullable=False),
    Column("rejects", BigInteger, nullable=False),
    Column("fault", Text, nullable=False),
    Index(None, "state", "n"),
    Index(None, "feed", "n"),
    Index(None, "ended"),
)

# The bytes of small batches: one commit makes them durable with their row. Those of
# others are files in the lane's folder.
batch_body = Table(
    "batch_body",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("body", LargeBinary, nullable=False),
)

# How the last look at a scheduled feed went. What it says belongs to one address.
feed = Table(
    "feed",
    metadata,
    Column("name", Text, primary_key=True),
    Column("address", Text, nullable=False),
    Column("etag", Text, nullable=False),
    Column("modified", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("checked", BigInteger, nullable=False),
    Column("fetched", BigInteger, nullable=False),
    Column("due", BigInteger, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("fault", Text, nullable=False),
)

# What a party answers for (rules.asset). `since` is 0 where it always held.
asset = Table(
    "asset",
    metadata,
    _numbered(),
    Column("party", Integer, nullable=False),
    Column("member", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("until", BigInteger),
    Column("source", Text, nullable=False),
    UniqueConstraint("party", "kind", "value", "since"),
    Index(None, "kind", "value"),
)

# Where a party is reached. `secret` is sealed with the node's own key.
contact = Table(
    "contact",
    metadata,
    _numbered(),
    Column("party", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("certificate", Text, nullable=False),
    Column("secret", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("fault", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("changed", BigInteger, nullable=False),
    UniqueConstraint("party", "kind", "address"),
)

# How one owner is told of one class: party 0 is all, an empty class is every one. NULL:
# as the wider row or the configuration says.
notice_setting = Table(
    "notice_setting",
    metadata,
    Column("party", Integer, primary_key=True, autoincrement=False),
    Column("class", Text, primary_key=True),
    Column("automatic", Boolean),
    Column("least_severity", SmallInteger),
    Column("least_rows", Integer),
    Column("compromised_days", Integer),
    Column("other_days", Integer),
    sqlite_with_rowid=False,
)

# What an owner does not want to be told; each filled column narrows it.
mute = Table(
    "mute",
    metadata,
    _numbered(),
    Column("party", Integer, nullable=False, index=True),
    Column("network", Text, nullable=False),
    Column("class", Text, nullable=False),
    Column("feed", Text, nullable=False),
    Column("until", BigInteger),
    Column("reason", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)

# Rows of one owner, class and day. `round` counts what came late for that day. `facts`:
# JSON, what its text is written from. `rows_csv`: what is attached, as zstd.
notice = Table(
    "notice",
    metadata,
    _numbered(),
    Column("party", Integer, nullable=False),
    Column("class", Text, nullable=False),
    Column("day", Text, nullable=False),
    Column("round", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("made", BigInteger, nullable=False),
    Column("changed", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("fault", Text, nullable=False),
    Column("facts", Text, nullable=False),
    Column("rows_csv", LargeBinary, nullable=False),
    UniqueConstraint("party", "class", "day", "round"),
    Index(None, "state"),
)

# One notice to one contact: the ledger of what was sent. `key` is the idempotency key,
# which a mail carries as its Message-ID.
delivery = Table(
    "delivery",
    metadata,
    _numbered(),
    Column("notice", _Number, nullable=False),
    Column("contact", _Number, nullable=False),
    Column("key", Text, nullable=False, unique=True),
    Column("state", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("due", BigInteger, nullable=False),
    Column("lease", BigInteger, nullable=False),
    Column("released", Boolean, nullable=False),
    Column("changed", BigInteger, nullable=False),
    Column("fault", Text, nullable=False),
    UniqueConstraint("notice", "contact"),
    Index(None, "state", "due"),
)

# What an owner was told of last: `finding` is a digest (rules.notice).
told = Table(
    "told",
    metadata,
    Column("party", Integer, primary_key=True, autoincrement=False),
    Column("finding", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False, index=True),
    Column("severity", SmallInteger, nullable=False),
    Column("notice", _Number, nullable=False),
    sqlite_with_rowid=False,
)

# What a running node does by the clock (records.chores). `lease`: until when `worker`
# does it. `done`: how far it is done, as an instant. `tried`: when it was last begun.
chore = Table(
    "chore",
    metadata,
    Column("name", Text, primary_key=True),
    Column("worker", Text, nullable=False),
    Column("lease", BigInteger, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("tried", BigInteger, nullable=False),
    Column("fault", Text, nullable=False),
)

# Event rows of other members (records.parcels). `n`: a stamp.
parcel = Table(
    "parcel",
    metadata,
    Column("n", BigInteger, primary_key=True, autoincrement=False),
    Column("member", Text, nullable=False),
    Column("batch", Text, nullable=False),
    Column("level", SmallInteger, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("size", Integer, nullable=False),
    Column("made", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index(None, "batch"),
)

# The parcels that their members' nodes fetch, in this order. `n`: a stamp. A parcel
# that is not here is a draft: its batch was not packed to its end.
parcel_turn = Table(
    "parcel_turn",
    metadata,
    Column("n", BigInteger, primary_key=True, autoincrement=False),
    Column("member", Text, nullable=False),
    Column("parcel", BigInteger, nullable=False),
    Index(None, "member", "n"),
    Index(None, "parcel", unique=True),
)

# How far each member's node has fetched, and how far this node has from each peer.
parcel_asked = Table(
    "parcel_asked",
    metadata,
    Column("member", Text, primary_key=True),
    Column("after", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
)

parcel_fetched = Table(
    "parcel_fetched",
    metadata,
    Column("peer", Integer, primary_key=True, autoincrement=False),
    Column("after", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
)

# Whose rows were erased on legal request, by whom, when and why. `scope` (JSON) names
# them while it is done, and is empty afterwards; `about` says it without naming any
# address or domain. `lease`: until when somebody is at it. `parcels`: rows in them.
erasure = Table(
    "erasure",
    metadata,
    _numbered(),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("about", Text, nullable=False),
    Column("lease", BigInteger, nullable=False),
    Column("ended", BigInteger, nullable=False),
    Column("events", BigInteger, nullable=False),
    Column("rejects", BigInteger, nullable=False),
    Column("batches", BigInteger, nullable=False),
    Column("originals", BigInteger, nullable=False),
    Column("parcels", BigInteger, nullable=False),
    Column("notices", BigInteger, nullable=False),
)

# The batches that one was found to be about, until it is done: each is counted once,
# however often the work begins anew.
erasure_batch = Table(
    "erasure_batch",
    metadata,
    Column("erasure", _Number, primary_key=True, autoincrement=False),
    Column("digest", Text, primary_key=True),
    Column("events", BigInteger, nullable=False),
    Column("rejects", BigInteger, nullable=False),
)
