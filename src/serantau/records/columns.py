"""What all tables are made with: their names' form, and the number of a row."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, MetaData

LEDGER = "ledger"

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers its rows itself only when the key is exactly INTEGER.
Number = BigInteger().with_variant(Integer, "sqlite")


def numbered() -> Column[int]:
    """Give the column of a row's number, which the database gives out."""
    return Column("n", Number, primary_key=True, autoincrement=True)
