"""The mail server and the OpenPGP key of a node, opened as the settings say."""

from __future__ import annotations

from typing import Final

from serantau.errors import ConfigError
from serantau.node import Node
from serantau.wire.mail import Relay
from serantau.wire.openpgp import Key

KEY_FILE: Final = "openpgp.asc"


def open_relay(node: Node) -> Relay:
    """Give the mail server, not yet connected.

    Raises:
        ConfigError: the settings cannot be used.
    """
    mail = node.config.mail
    password = ""
    if mail.password_file:
        path = node.home / mail.password_file
        try:
            password = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as fault:
            raise ConfigError(f"mail.password_file {path}: {fault}.") from fault
    return Relay(
        mail.host,
        mail.port,
        security=mail.security,
        user=mail.user,
        password=password,
        sender=mail.bounces or mail.sender,
        ca=mail.ca,
        hello=mail.hello,
        timeout=mail.timeout_seconds,
    )


def signing_key(node: Node) -> Key | None:
    """Give the key that signs mail, when there is one.

    Raises:
        ConfigError: there is a file, and no key in it.
    """
    named = node.config.mail.key_file
    path = node.home / named if named else node.config.keys / KEY_FILE
    return Key.from_file(path) if named or path.exists() else None
