"""What a node is told of its cases: their mail, and their clocks."""

from __future__ import annotations

import msgspec


class CasesSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How parties without a node take part in cases: by mail.

    mailbox: where their answers arrive, a maildir or `imaps://USER@HOST/FOLDER`, of
    its own; empty: nobody reads them. password_file: of that user. sender: the address
    that letters come from and are answered to; empty: `mail.sender`. clear: the highest
    TLP level that goes unencrypted. hourly: letters to, and mails from, one party in an
    hour; more wait. mail_bytes: how large a mail may be that is read. file_bytes: what
    is attached to it, together.
    """

    mailbox: str = ""
    password_file: str = ""
    sender: str = ""
    clear: str = "TLP:AMBER"
    hourly: int = 30
    mail_bytes: int = 15_000_000
    file_bytes: int = 10_000_000


class ClocksSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a running node acts on the clocks of its cases.

    page_url: the gateway that calls or texts the phone numbers of contact cards, which
    takes a POST; empty: pages go by mail only. page_secret_file: what signs that. pace:
    how many times as fast clocks run, which only an exercise changes.
    """

    page_url: str = ""
    page_secret_file: str = ""
    pace: float = 1.0
