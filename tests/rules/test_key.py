"""Keys: their names, and the words by which people compare them."""

from __future__ import annotations

import pytest

from serantau.rules.key import (
    Key,
    State,
    fits,
    read_fingerprint,
    thumbprint,
    unbase64,
    words_of,
)
from serantau.rules.wordlist import WORDS

# RFC 8037 appendix A.1 and A.3
_JWK = {
    "kty": "OKP",
    "crv": "Ed25519",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
}
_THUMBPRINT = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_a_key_is_named_as_the_standard_names_it() -> None:
    key = Key.from_jwk(_JWK)
    assert key.id == _THUMBPRINT
    assert key.jwk == _JWK
    assert (key.since, key.until, key.state) == (0, None, State.ACTIVE)


def test_the_words_are_those_of_bip_39() -> None:
    assert len(set(WORDS)) == len(WORDS) == 2048
    assert list(WORDS) == sorted(WORDS)
    assert len({word[:4] for word in WORDS}) == 2048
    # BIP 39's vector for 16 bytes of 0x7f
    zero = "f39_f39_f39_f39_f39_fwAAAAAAAAAAAAAAAAAAAAA"
    assert words_of(zero) == (
        "legal winner thank year wave sausage worth useful legal winner thank yellow"
    )


def test_a_key_is_known_by_its_id_and_by_its_words_however_they_are_typed() -> None:
    key = Key.from_jwk(_JWK)
    spoken = read_fingerprint("  " + key.words.upper().replace(" ", "  ") + "\n")
    assert fits(key, spoken)
    assert fits(key, read_fingerprint(f" {key.id} "))
    assert fits(key, read_fingerprint(key.words.replace(" ", " - ")))
    other = Key.of(bytes(32))
    assert not fits(other, spoken)
    assert not fits(other, key.id)
    assert other.id == thumbprint(bytes(32))


def test_a_word_misheard_is_noticed() -> None:
    words = Key.from_jwk(_JWK).words.split()
    noticed = 0
    for word in WORDS[::64]:
        try:
            read_fingerprint(" ".join([*words[:-1], word]))
        except ValueError:
            noticed += 1
    assert noticed >= 28
    for wrong, told in (
        (" ".join(words[:-1]), "11 words"),
        (" ".join([*words[:-1], "serantau"]), "serantau"),
        ("abc", "43 letters"),
        ("Ω" * 43, "base64url"),
    ):
        with pytest.raises(ValueError, match=told):
            read_fingerprint(wrong)


@pytest.mark.parametrize(
    "jwk",
    [
        None,
        {},
        {**_JWK, "d": "a private part"},
        {**_JWK, "crv": "X25519"},
        {**_JWK, "kty": "EC"},
        {**_JWK, "x": 7},
        {**_JWK, "x": "11qY"},
        # The last letter carries two bits too many: another text for the same bytes.
        {**_JWK, "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURp"},
    ],
)
def test_what_is_not_exactly_a_public_key_is_none(jwk: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        Key.from_jwk(jwk)


def test_base64_has_one_spelling() -> None:
    assert unbase64("AA") == b"\0"
    for text in ("AB", "AA==", "A A", "A", 7, "A+"):
        with pytest.raises(ValueError, match=r"."):
            unbase64(text)
