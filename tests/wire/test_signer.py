"""The private key: read from its file, under a passphrase or not, and never shown."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from serantau.errors import ConfigError
from serantau.rules import jws
from serantau.wire.signer import Signer, keep_signer, new_signer


def test_a_key_is_kept_for_its_user_only_and_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    first, second = new_signer(), new_signer()
    assert keep_signer(path, first)
    assert not keep_signer(path, second)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [*tmp_path.iterdir()] == [path]
    again = Signer.read(path.read_bytes(), "", "here")
    assert again.key == first.key
    assert repr(again) == f"Signer({first.key.id})"
    token = jws.read(again.jws(b"what is signed"))
    assert jws.proves(token, b"what is signed", first.key.public)


def test_a_key_under_a_passphrase_opens_with_it_alone() -> None:
    signer = new_signer()
    pem = signer.pem("open, please")
    assert b"ENCRYPTED" in pem
    assert Signer.read(pem, "open, please", "here").key == signer.key
    for content, passphrase, told in (
        (pem, "", "none was given"),
        (pem, "another", "may be another"),
        (signer.pem(), "open, please", "is not under a passphrase"),
        (b"rubbish", "", "cannot be read"),
    ):
        with pytest.raises(ConfigError, match=told):
            Signer.read(content, passphrase, "here")


def test_a_key_of_another_kind_is_refused() -> None:
    key = generate_private_key(SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ConfigError, match="not an Ed25519 key"):
        Signer.read(pem, "", "here")
