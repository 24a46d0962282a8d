"""Make every table."""

import sqlalchemy as sa
from alembic import op

from serantau.records.migrations import touches
from serantau.records.tables import LEDGER

revision = "0001"
down_revision = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the store and its ledger."""
    lite = op.get_bind().dialect.name == "sqlite"
    if touches(LEDGER):
        if not lite:
            op.execute("CREATE SCHEMA IF NOT EXISTS ledger")
        _make_ledger()
    if not touches("store"):
        return
    _make_tables()
    op.execute("INSERT INTO stamp (n, last, epoch) VALUES (1, 0, 1)")
    if lite:
        op.execute(
            "CREATE VIRTUAL TABLE object_text USING fts5(text, content='', "
            "tokenize='trigram case_sensitive 1', detail='none')"
        )
        return
    op.create_table(
        "object_text",
        sa.Column("added", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("text", sa.Text(), nullable=False),
    )
    # Without the extension search still works, by reading all texts in turn.
    available = "SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'"
    if op.get_bind().exec_driver_sql(available).first():
        op.execute("SAVEPOINT trigrams")
        try:
            op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
            op.execute(
                "CREATE INDEX ix_object_text_text ON object_text "
                "USING gin (text gin_trgm_ops)"
            )
        except sa.exc.DBAPIError:
            op.execute("ROLLBACK TO SAVEPOINT trigrams")


def downgrade() -> None:
    """Drop everything."""
    if touches("store"):
        op.execute("DROP TABLE object_text")
        _drop_tables()
    if touches(LEDGER):
        _drop_ledger()
        if op.get_bind().dialect.name != "sqlite":
            op.execute("DROP SCHEMA ledger")


def _make_ledger() -> None:
    op.create_table(
        "grant_view",
        sa.Column("n", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("party", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_grant_view")),
        sa.UniqueConstraint("party", "digest", name=op.f("uq_grant_view_party_digest")),
        schema="ledger",
    )
    op.create_table(
        "release",
        sa.Column("n", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("party", sa.Integer(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("way", sa.Text(), nullable=False),
        sa.Column("collection", sa.Integer(), nullable=False),
        sa.Column("grant_view", sa.BigInteger(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("span", sa.SmallInteger(), nullable=False),
        sa.Column("low", sa.BigInteger(), nullable=False),
        sa.Column("high", sa.BigInteger(), nullable=False),
        sa.Column("stamps", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_release")),
        schema="ledger",
    )
    op.create_index(
        op.f("ix_release_party_at"),
        "release",
        ["party", "at"],
        unique=False,
        schema="ledger",
    )
    op.create_index(
        op.f("ix_release_span_low"),
        "release",
        ["span", "low"],
        unique=False,
        schema="ledger",
    )


def _make_tables() -> None:
    _make_notices()
    op.create_table(
        "batch",
        sa.Column("n", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("feed", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("report", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("tlp", sa.SmallInteger(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("lease", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("waived", sa.Boolean(), nullable=False),
        sa.Column("kept", sa.Boolean(), nullable=False),
        sa.Column("began", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("repeated", sa.BigInteger(), nullable=False),
        sa.Column("rejects", sa.BigInteger(), nullable=False),
        sa.Column("fault", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_batch")),
        sa.UniqueConstraint("digest", name=op.f("uq_batch_digest")),
    )
    op.create_index(op.f("ix_batch_feed_n"), "batch", ["feed", "n"], unique=False)
    op.create_index(op.f("ix_batch_state_n"), "batch", ["state", "n"], unique=False)
    op.create_table(
        "batch_body",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_batch_body")),
    )
    op.create_table(
        "circle",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("members", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_circle")),
        sa.UniqueConstraint("name", name=op.f("uq_circle_name")),
    )
    op.create_table(
        "collection",
        sa.Column("n", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("alias", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("box", sa.Boolean(), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("access", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_collection")),
        sa.UniqueConstraint("alias", name=op.f("uq_collection_alias")),
        sa.UniqueConstraint("id", name=op.f("uq_collection_id")),
    )
    op.create_table(
        "cursor",
        sa.Column("peer", sa.Integer(), nullable=False),
        sa.Column("collection", sa.Text(), nullable=False),
        sa.Column("added_after", sa.Text(), nullable=False),
        sa.Column("pulled", sa.BigInteger(), nullable=False),
        sa.Column("held", sa.BigInteger(), nullable=False),
        sa.Column("refused", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("fault", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("peer", "collection", name=op.f("pk_cursor")),
    )
    op.create_table(
        "edge",
        sa.Column("target", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("source", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("target", "kind", "source", name=op.f("pk_edge")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "entry",
        sa.Column("added", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("scope", sa.Integer(), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("type", sa.Integer(), nullable=False),
        sa.Column("object", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("added", name=op.f("pk_entry")),
    )
    op.create_index(op.f("ix_entry_object"), "entry", ["object"], unique=False)
    op.create_index(
        op.f("ix_entry_scope_slot_added"),
        "entry",
        ["scope", "slot", "added"],
        unique=False,
    )
    op.create_index(
        op.f("ix_entry_scope_slot_type_added"),
        "entry",
        ["scope", "slot", "type", "added"],
        unique=False,
    )
    op.create_table(
        "feed",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("modified", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("checked", sa.BigInteger(), nullable=False),
        sa.Column("fetched", sa.BigInteger(), nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("fault", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_feed")),
    )
    op.create_table(
        "marking_set",
        sa.Column("n", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_marking_set")),
        sa.UniqueConstraint("key", name=op.f("uq_marking_set_key")),
    )
    op.create_table(
        "meta",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_meta")),
    )
    op.create_table(
        "object",
        sa.Column("added", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("key", sa.BigInteger(), nullable=False),
        sa.Column("modified", sa.BigInteger(), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("type", sa.Integer(), nullable=False),
        sa.Column("source", sa.Integer(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("own_set", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("added", name=op.f("pk_object")),
        sa.UniqueConstraint("key", "modified", name=op.f("uq_object_key_modified")),
    )
    op.create_index(
        op.f("ix_object_modified_slot_added"),
        "object",
        ["modified", "slot", "added"],
        unique=False,
    )
    op.create_index(
        op.f("ix_object_slot_added"), "object", ["slot", "added"], unique=False
    )
    op.create_index(
        op.f("ix_object_slot_type_added"),
        "object",
        ["slot", "type", "added"],
        unique=False,
    )
    op.create_table(
        "party",
        sa.Column("n", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("client_of", sa.Text(), nullable=False),
        sa.Column("need_to_know", sa.Boolean(), nullable=False),
        sa.Column("blocked", sa.Boolean(), nullable=False),
        sa.Column("ceiling", sa.Text(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_party")),
        sa.UniqueConstraint("name", name=op.f("uq_party_name")),
    )
    op.create_table(
        "peer",
        sa.Column("n", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("collection", sa.Text(), nullable=False),
        sa.Column("user_name", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("certificate", sa.Text(), nullable=False),
        sa.Column("handle_as", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_peer")),
        sa.UniqueConstraint("name", name=op.f("uq_peer_name")),
    )
    op.create_table(
        "quarantine",
        sa.Column("n", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("got", sa.Text(), nullable=False),
        sa.Column("expected", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("handle_as", sa.Text(), nullable=False),
        sa.Column("collections", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_quarantine")),
        sa.UniqueConstraint(
            "source", "digest", name=op.f("uq_quarantine_source_digest")
        ),
    )
    op.create_table(
        "scope",
        sa.Column("n", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("collection", sa.Integer(), nullable=False),
        sa.Column("party", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_scope")),
        sa.UniqueConstraint(
            "collection", "party", name=op.f("uq_scope_collection_party")
        ),
    )
    op.create_table(
        "stamp",
        sa.Column("n", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_stamp")),
    )
    op.create_table(
        "status",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("party", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_status")),
    )
    op.create_index(op.f("ix_status_at"), "status", ["at"], unique=False)
    op.create_table(
        "token",
        sa.Column("n", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("user_account", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_token")),
        sa.UniqueConstraint("digest", name=op.f("uq_token_digest")),
    )
    op.create_index(
        op.f("ix_token_user_account"), "token", ["user_account"], unique=False
    )
    op.create_table(
        "user_account",
        sa.Column("n", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("party", sa.Integer(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("password", sa.Text(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_user_account")),
        sa.UniqueConstraint("name", name=op.f("uq_user_account_name")),
    )
    op.create_table(
        "value",
        sa.Column("digest", sa.BigInteger(), nullable=False),
        sa.Column("object", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", "object", name=op.f("pk_value")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "verdict",
        sa.Column("party", sa.Integer(), nullable=False),
        sa.Column("marking_set", sa.Integer(), nullable=False),
        sa.Column("released", sa.Boolean(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("got", sa.Text(), nullable=False),
        sa.Column("expected", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("party", "marking_set", name=op.f("pk_verdict")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "word",
        sa.Column("n", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_word")),
        sa.UniqueConstraint("text", name=op.f("uq_word_text")),
    )


def _make_notices() -> None:
    op.create_table(
        "asset",
        sa.Column("n", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("party", sa.Integer(), nullable=False),
        sa.Column("member", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_asset")),
        sa.UniqueConstraint(
            "party",
            "kind",
            "value",
            "since",
            name=op.f("uq_asset_party_kind_value_since"),
        ),
    )
    op.create_index(
        op.f("ix_asset_kind_value"), "asset", ["kind", "value"], unique=False
    )
    op.create_table(
        "contact",
        sa.Column("n", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("party", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("certificate", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("fault", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_contact")),
        sa.UniqueConstraint(
            "party", "kind", "address", name=op.f("uq_contact_party_kind_address")
        ),
    )
    op.create_table(
        "notice_setting",
        sa.Column("party", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("class", sa.Text(), nullable=False),
        sa.Column("automatic", sa.Boolean(), nullable=True),
        sa.Column("least_severity", sa.SmallInteger(), nullable=True),
        sa.Column("least_rows", sa.Integer(), nullable=True),
        sa.Column("compromised_days", sa.Integer(), nullable=True),
        sa.Column("other_days", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("party", "class", name=op.f("pk_notice_setting")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "mute",
        sa.Column("n", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("party", sa.Integer(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("class", sa.Text(), nullable=False),
        sa.Column("feed", sa.Text(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_mute")),
    )
    op.create_index(op.f("ix_mute_party"), "mute", ["party"], unique=False)
    op.create_table(
        "notice",
        sa.Column("n", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("party", sa.Integer(), nullable=False),
        sa.Column("class", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("made", sa.BigInteger(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("fault", sa.Text(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("rows_csv", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_notice")),
        sa.UniqueConstraint(
            "party",
            "class",
            "day",
            "round",
            name=op.f("uq_notice_party_class_day_round"),
        ),
    )
    op.create_index(op.f("ix_notice_state"), "notice", ["state"], unique=False)
    op.create_table(
        "delivery",
        sa.Column("n", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("notice", _NUMBER, nullable=False),
        sa.Column("contact", _NUMBER, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=False),
        sa.Column("lease", sa.BigInteger(), nullable=False),
        sa.Column("released", sa.Boolean(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("fault", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_delivery")),
        sa.UniqueConstraint("key", name=op.f("uq_delivery_key")),
        sa.UniqueConstraint(
            "notice", "contact", name=op.f("uq_delivery_notice_contact")
        ),
    )
    op.create_index(
        op.f("ix_delivery_state_due"), "delivery", ["state", "due"], unique=False
    )
    op.create_table(
        "told",
        sa.Column("party", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("finding", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("severity", sa.SmallInteger(), nullable=False),
        sa.Column("notice", _NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("party", "finding", name=op.f("pk_told")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_told_at"), "told", ["at"], unique=False)


def _drop_tables() -> None:
    _drop_notices()
    op.drop_table("word")
    op.drop_table("verdict")
    op.drop_table("value")
    op.drop_table("user_account")
    op.drop_index(op.f("ix_token_user_account"), table_name="token")
    op.drop_table("token")
    op.drop_index(op.f("ix_status_at"), table_name="status")
    op.drop_table("status")
    op.drop_table("stamp")
    op.drop_table("scope")
    op.drop_table("quarantine")
    op.drop_table("peer")
    op.drop_table("party")
    op.drop_index(op.f("ix_object_slot_type_added"), table_name="object")
    op.drop_index(op.f("ix_object_slot_added"), table_name="object")
    op.drop_index(op.f("ix_object_modified_slot_added"), table_name="object")
    op.drop_table("object")
    op.drop_table("meta")
    op.drop_table("marking_set")
    op.drop_index(op.f("ix_entry_scope_slot_type_added"), table_name="entry")
    op.drop_index(op.f("ix_entry_scope_slot_added"), table_name="entry")
    op.drop_index(op.f("ix_entry_object"), table_name="entry")
    op.drop_table("feed")
    op.drop_table("entry")
    op.drop_table("edge")
    op.drop_table("cursor")
    op.drop_table("collection")
    op.drop_table("circle")
    op.drop_table("batch_body")
    op.drop_index(op.f("ix_batch_state_n"), table_name="batch")
    op.drop_index(op.f("ix_batch_feed_n"), table_name="batch")
    op.drop_table("batch")


def _drop_notices() -> None:
    op.drop_index(op.f("ix_told_at"), table_name="told")
    op.drop_table("told")
    op.drop_index(op.f("ix_delivery_state_due"), table_name="delivery")
    op.drop_table("delivery")
    op.drop_index(op.f("ix_notice_state"), table_name="notice")
    op.drop_table("notice")
    op.drop_index(op.f("ix_mute_party"), table_name="mute")
    op.drop_table("mute")
    op.drop_table("notice_setting")
    op.drop_table("contact")
    op.drop_index(op.f("ix_asset_kind_value"), table_name="asset")
    op.drop_table("asset")


def _drop_ledger() -> None:
    op.drop_index(op.f("ix_release_span_low"), table_name="release", schema="ledger")
    op.drop_index(op.f("ix_release_party_at"), table_name="release", schema="ledger")
    op.drop_table("release", schema="ledger")
    op.drop_table("grant_view", schema="ledger")
