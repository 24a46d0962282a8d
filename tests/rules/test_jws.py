"""Detached signatures: ours verify elsewhere, others' here, and nothing else passes."""

from __future__ import annotations

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jws as oracle
from joserfc.jwk import OKPKey

from serantau.rules import jws
from serantau.rules.key import Key, base64

_SECRET = bytes(range(32))
_PRIVATE = Ed25519PrivateKey.from_private_bytes(_SECRET)
_KEY = Key.of(_PRIVATE.public_key().public_bytes_raw())
_JWK = OKPKey.import_key({**_KEY.jwk, "d": base64(_SECRET)})
_PAYLOAD = '{"name":"ภาษาไทย"}'.encode()


def _ours() -> str:
    return jws.sign(_PAYLOAD, _KEY.id, _PRIVATE.sign)


def _token(header: object, signature: bytes = bytes(64)) -> str:
    return f"{base64(orjson.dumps(header))}..{base64(signature)}"


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
def test_another_library_verifies_ours_and_names_the_key_the_same() -> None:
    registry = oracle.JWSRegistry(algorithms=["EdDSA", "Ed25519"])
    header, _, signature = _ours().split(".")
    whole = f"{header}.{base64(_PAYLOAD)}.{signature}"
    found = oracle.deserialize_compact(whole, _JWK, registry=registry)
    assert found.payload == _PAYLOAD
    assert found.headers() == {"alg": "EdDSA", "kid": _JWK.thumbprint()}


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@pytest.mark.parametrize("algorithm", ["EdDSA", "Ed25519"])
def test_what_another_library_signed_verifies_here(algorithm: str) -> None:
    registry = oracle.JWSRegistry(algorithms=["EdDSA", "Ed25519"])
    made = oracle.serialize_compact(
        {"alg": algorithm, "kid": _KEY.id}, _PAYLOAD, _JWK, registry=registry
    )
    header, _, signature = made.split(".")
    token = jws.read(f"{header}..{signature}")
    assert token.key_id == _KEY.id
    assert jws.proves(token, _PAYLOAD, _KEY.public)
    assert not jws.proves(token, _PAYLOAD + b" ", _KEY.public)
    assert not jws.proves(token, _PAYLOAD, bytes(32))


def test_a_key_that_fits_any_payload_is_not_believed() -> None:
    # RFC 8032 §5.1.7 with the neutral point for A and R, and 0 for S: it always holds.
    neutral = b"\x01" + bytes(31)
    header = _token({"alg": "EdDSA", "kid": Key.of(neutral).id}).split(".")[0]
    token = jws.read(f"{header}..{base64(neutral + bytes(32))}")
    assert not jws.proves(token, _PAYLOAD, neutral)
    with pytest.raises(ValueError, match="31 bytes, expected 32"):
        jws.proves(token, _PAYLOAD, neutral[1:])


def test_a_signature_is_the_same_each_time() -> None:
    assert _ours() == _ours()


@pytest.mark.parametrize(
    "token",
    [
        None,
        "",
        "a.b",
        "x" * 2000,
        _ours().replace("..", f".{base64(_PAYLOAD)}."),
        _token({"alg": "none", "kid": _KEY.id}),
        _token({"alg": "HS256", "kid": _KEY.id}),
        _token({"alg": "EdDSA"}),
        _token({"alg": "EdDSA", "kid": 1}),
        _token({"alg": "EdDSA", "kid": _KEY.id, "jwk": _KEY.jwk}),
        _token({"alg": "EdDSA", "kid": _KEY.id, "crit": ["b64"], "b64": False}),
        _token([]),
        _token({"alg": "EdDSA", "kid": _KEY.id}, bytes(63)),
        f"e30K..{base64(bytes(64))}",
        f"{base64(b'not JSON')}..{base64(bytes(64))}",
        _ours() + "=",
    ],
)
def test_nothing_in_a_signature_chooses_how_it_is_verified(token: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        jws.read(token)
