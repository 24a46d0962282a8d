"""Certificates for S/MIME: read for who it is of and when it ends. Not checked further.

Whether an authority vouches for it is not judged: a person compared it, or did not.
"""

from __future__ import annotations

import hashlib

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from serantau.errors import BadInput
from serantau.rules.card import CardKey, KeyKind


def read_smime(data: bytes) -> CardKey:
    """Read one X.509 certificate, PEM or DER.

    Raises:
        BadInput: it is none, or a private key is with it, which is its owner's alone.
    """
    if b"PRIVATE KEY" in data:
        raise BadInput(
            "The file has a private key in it.",
            mend="Ask its owner for the certificate alone, and to make a new key.",
        )
    try:
        if b"-----BEGIN" in data:
            found = x509.load_pem_x509_certificate(data)
        else:
            found = x509.load_der_x509_certificate(data)
    except ValueError as fault:
        raise BadInput("This is no X.509 certificate, PEM or DER.") from fault
    ends = int(found.not_valid_after_utc.timestamp()) * 1_000_000
    whole = found.public_bytes(Encoding.DER)
    return CardKey(
        KeyKind.SMIME,
        hashlib.sha256(whole).hexdigest(),
        ends,
        found.public_bytes(Encoding.PEM).decode(),
    )
