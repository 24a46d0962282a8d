"""How texts and observable values are compared: folded, refanged, made canonical.

Two nodes find the same thing only when both write it the same way. `fold` is for words
in any script, `normalise` for values of a known kind, `find_values` for what a person
types or pastes into a search. Kinds are the names of STIX cyber-observable types
("ipv4-addr", "domain-name", ...), lower-case hash algorithms ("md5", "sha-256", ...)
and "cve". Nothing here raises for odd input: a value that does not fit its kind is
folded, so that it can still be found as it was written.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Final

import idna

# Unicode's Default_Ignorable_Code_Point: invisible, and in Thai, Khmer, Lao and Burmese
# texts put between words by one writer (zero width space) and not by the next.
_IGNORABLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)


def fold(text: str) -> str:
    """Give the text in which words are compared, whatever the script.

    Unicode's NFKC_Casefold: compatibility forms, case and invisible characters make no
    difference; letters, vowel signs and tone marks stay. Folding twice changes nothing.
    """
    if text.isascii():
        return text.lower()
    normal = unicodedata.normalize
    # Casefolding can undo a normal form and the other way round (U+0345 is both a mark
    # and a letter); Unicode §3.13 D147 therefore starts decomposed and does it twice.
    once = normal("NFKC", normal("NFD", text).casefold())
    return normal("NFKC", _IGNORABLE.sub("", once).casefold())


# --- Hash algorithms -----------------------------------------------------------------

_HASH_NAMES: Final = {
    "md5": "md5",
    "md6": "md6",
    "sha1": "sha-1",
    "sha224": "sha-224",
    "sha256": "sha-256",
    "sha384": "sha-384",
    "sha512": "sha-512",
    "sha512224": "sha-512/224",
    "sha512256": "sha-512/256",
    "sha3224": "sha3-224",
    "sha3256": "sha3-256",
    "sha3384": "sha3-384",
    "sha3512": "sha3-512",
    "ripemd160": "ripemd-160",
    "whirlpool": "whirlpool",
    "ssdeep": "ssdeep",
    "tlsh": "tlsh",
    "imphash": "imphash",
    "pehash": "pehash",
    "authentihash": "authentihash",
    "vhash": "vhash",
    "ja3": "ja3",
    "ja3s": "ja3s",
    "hassh": "hassh",
}
HASH_KINDS: Final = frozenset(_HASH_NAMES.values())


def hash_kind(algorithm: str) -> str:
    """Give the kind of a hash by its algorithm, however it is written.

    STIX 2.1 §10.12 (hash-algorithm-ov) has "SHA-256"; producers also write "sha256",
    "SHA256" and "sha_256". An algorithm that is not known is its own name, folded.
    """
    plain = fold(algorithm)
    squeezed = plain.replace("-", "").replace("_", "").replace("/", "")
    return _HASH_NAMES.get(squeezed.replace(" ", ""), plain)


# --- One rule a kind -----------------------------------------------------------------

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
_is_ipv4: Final = re.compile(_IPV4).fullmatch
# Surely canonical (RFC 5952) by shape alone: no group is zero, and either all eight are
# there or "::" stands for at least two. Everything else asks `ipaddress`.
_GROUP = "[1-9a-f][0-9a-f]{0,3}"
_is_plain_ipv6: Final = re.compile(
    rf"(?:{_GROUP}:){{7}}{_GROUP}"
    rf"|(?=(?:[^:]*:){{2,6}}[^:]*$)(?:{_GROUP}:){{1,6}}:(?:{_GROUP}(?::{_GROUP}){{0,4}})?"
).fullmatch
_ADDRESSES: Final = frozenset({"ipv4-addr", "ipv6-addr"})


def _address(value: str) -> str | None:
    """Give an address or network in its one form, or None when it is neither."""
    if _is_ipv4(value):
        return value
    if _is_plain_ipv6(lower := value.lower()):
        return lower
    try:
        if "/" in value:
            network = ipaddress.ip_network(value.strip(), strict=False)
            if network.num_addresses > 1:
                return str(network)
            address = network.network_address
        else:
            address = ipaddress.ip_address(value.strip().strip("[]"))
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


# RFC 1035 §2.3.4. What is longer is no name, and punycode takes quadratic time.
_LONGEST_NAME: Final = 253


def _label(label: str) -> str:
    """Give one label of a name outside the IDNA rules, as resolvers would ask it."""
    folded = fold(label)
    if folded.isascii():
        return folded
    return "xn--" + folded.encode("punycode").decode("ascii")


def _domain(value: str) -> str:
    if value.isascii():
        return value.lower().strip().rstrip(".")
    name = fold(value).strip().replace("。", ".").rstrip(".")
    if len(name) > _LONGEST_NAME:
        return name
    try:
        return idna.encode(name, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        # Emoji and other names outside IDNA 2008 are registered and used all the same.
        return ".".join(map(_label, name.split(".")))


_is_plain_url: Final = re.compile(
    r"https?://[a-z0-9.-]*[a-z0-9-]/[\x21-\x7e]*"
).fullmatch
_url_parts: Final = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#\\]*)(.*)", re.DOTALL
).fullmatch
_host_parts: Final = re.compile(
    r"((?:.*@)?)(\[[^\]]*\]|[^:]*)(?::([0-9]*))?", re.DOTALL
).fullmatch
_PORTS: Final = {"http": "80", "https": "443", "ftp": "21", "ws": "80", "wss": "443"}


def _url(value: str) -> str:
    """Give a URL with scheme and host in one form (RFC 3986 §6.2.2.1, §6.2.3)."""
    if _is_plain_url(value):
        return value
    parts = _url_parts(value.strip())
    if parts is None:
        return fold(value).strip()
    scheme, authority, rest = parts[1].lower(), parts[2], parts[3]
    host = _host_parts(authority)
    if host is not None:
        name = host[2].lower() if host[2].startswith("[") else _domain(host[2])
        port = host[3]
        tail = f":{port}" if port and port != _PORTS.get(scheme) else ""
        authority = f"{host[1]}{name}{tail}"
    if scheme in _PORTS and not rest.startswith("/"):
        rest = f"/{rest}"
    return f"{scheme}://{authority}{rest}"


def _email(value: str) -> str:
    if value.isascii():
        return value.strip().lower()
    # The local part is compared without case: no provider in use tells it apart.
    local, at, domain = value.strip().rpartition("@")
    if not at:
        return _word(domain)
    return f"{_word(local)}{at}{_domain(domain)}"


def _hex(value: str) -> str:
    return fold(value).strip()


def _tlsh(value: str) -> str:
    text = fold(value).strip()
    # Version 4 put "T1" before the same digest.
    return text[2:] if len(text) == 72 and text.startswith("t1") else text


def _ssdeep(value: str) -> str:
    # The letters of a fuzzy hash are base64: case is part of the value.
    return value.strip()


_is_mac: Final = re.compile(
    r"[0-9a-f]{2}(?:([:-])[0-9a-f]{2}(?:\1[0-9a-f]{2}){4})|[0-9a-f]{4}(?:\.[0-9a-f]{4}){2}"
    r"|[0-9a-f]{12}"
).fullmatch


_is_plain_mac: Final = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}").fullmatch


def _mac(value: str) -> str:
    if _is_plain_mac(value):
        return value
    text = fold(value).strip()
    if _is_mac(text) is None:
        return text
    digits = text.translate({ord(mark): None for mark in ":-."})
    return ":".join(digits[i : i + 2] for i in range(0, 12, 2))


def _cve(value: str) -> str:
    # Word processors turn the hyphen into a dash.
    return re.sub(r"[\s_\u2010-\u2015-]+", "-", value.strip()).upper()


_asn_parts: Final = re.compile(
    r"(?:as(?:n)?)?[ :#-]?([0-9]{1,10})(?:\.([0-9]{1,5}))?"
).fullmatch


def _asn(value: str) -> str:
    """Give the number alone; RFC 5396 asdot ("1.10") as one number."""
    text = fold(value).strip()
    parts = _asn_parts(text)
    if parts is None:
        return text
    high, low = parts.groups()
    return str(int(high) if low is None else (int(high) << 16) + int(low))


_HIVES: Final = {
    "hklm": "hkey_local_machine",
    "hkcu": "hkey_current_user",
    "hkcr": "hkey_classes_root",
    "hku": "hkey_users",
    "hkcc": "hkey_current_config",
}


def _registry(value: str) -> str:
    text = re.sub(r"\\+", r"\\", fold(value).strip()).rstrip("\\")
    hive, slash, path = text.partition("\\")
    hive = hive.rstrip(":")
    return f"{_HIVES.get(hive, hive)}{slash}{path}"


def _word(value: str) -> str:
    return fold(value).strip()


_RULES: Final[dict[str, Callable[[str], str]]] = {
    **dict.fromkeys(HASH_KINDS, _hex),
    "ssdeep": _ssdeep,
    "tlsh": _tlsh,
    "domain-name": _domain,
    "url": _url,
    "email-addr": _email,
    "mac-addr": _mac,
    "cve": _cve,
    "autonomous-system": _asn,
    "windows-registry-key": _registry,
}


def canonical(kind: str, value: str) -> tuple[str, str]:
    """Give (kind, value) under which a value is kept and looked up.

    Only addresses change their kind: an IPv4 address is one, also where it was written
    as an IPv4-mapped IPv6 address or put under the wrong type.
    """
    if kind in _ADDRESSES:
        if _is_ipv4(value):
            return "ipv4-addr", value
        address = _address(value)
        if address is None:
            return kind, fold(value).strip()
        return ("ipv6-addr" if ":" in address else "ipv4-addr"), address
    return kind, _RULES.get(kind, _word)(value)


def normalise(kind: str, value: str) -> str:
    """Give the value of a kind in the one form in which it is stored and compared."""
    return canonical(kind, value)[1]


# --- Defanged texts ------------------------------------------------------------------

_SCHEMES: Final = {
    "hxxp": "http",
    "hxxps": "https",
    "h**p": "http",
    "h**ps": "https",
    "h__p": "http",
    "h__ps": "https",
    "htxp": "http",
    "htxps": "https",
    "httx": "http",
    "httxs": "https",
    "meow": "http",
    "meows": "https",
    "fxp": "ftp",
    "fxps": "ftps",
    "http": "http",
    "https": "https",
    "http[s]": "https",
    "hxxp[s]": "https",
    "ftp": "ftp",
}
_scheme_marks: Final = re.compile(
    r"(?<![A-Za-z0-9])(http\[s\]|hxxp\[s\]|h(?:xx|\*\*|__|tx)ps?|httxs?|https?|meows?|f[tx]ps?)"
    r"(?:\[://\]|\(://\)|\[:\](?://|\\\\)|\(:\)//|:\[//\]|:\\\\|_?://)",
    re.IGNORECASE,
)
# \w leaves out the vowel signs and tone marks of the region's scripts, which Unicode
# calls marks and not letters.
_W = r"\w\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
# A mark counts only between two characters of a name. Blanks belong to it only inside
# its brackets or around a spelled-out word, so that "see (.) here" is left alone.
_DOT = r"\[\.\]|\(\.\)|\{\.\}|<\.>|\[\.|\.\]| ?[\[({<] ?(?:dot|punto) ?[\])}>] ?"
_AT = (
    r"\[@\]|\(@\)|\{@\}|<@>"
    rf"| ?[\[({{<] ?at ?[\])}}>] ?(?=[{_W}-]{{1,63}}(?:\.|[\[({{<]\.| ?[\[({{<] ?dot))"
)
_name_marks: Final = re.compile(
    rf"(?<=[{_W}\]:])(?:(?P<dot>{_DOT})|(?P<at>{_AT})|(?P<colon>\[:\]|\(:\)))"
    rf"(?=[{_W}:\[])|(?<=[{_W}])(?P<slash>\[/\])",
    re.IGNORECASE,
)
_MARKS: Final = {"dot": ".", "at": "@", "colon": ":", "slash": "/"}


def refang(text: str) -> str:
    """Undo what people do to addresses so that nobody clicks on them.

    Knows hxxp and its cousins, `[.]`, `(dot)`, `[at]`, `[:]//` and the like, only where
    they stand inside something that reads as a name or address.
    """
    text = _scheme_marks.sub(
        lambda found: f"{_SCHEMES.get(found[1].lower(), found[1])}://", text
    )
    return _name_marks.sub(lambda found: _MARKS[found.lastgroup or "dot"], text)


_NAME_LABEL = rf"[{_W}](?:[{_W}-]{{0,61}}[{_W}])?"
_clickable: Final = re.compile(
    rf"(?<![{_W}])(?:(?P<scheme>https?|ftps?)://(?P<host>[^\s/?#<>\"']*)(?P<path>[^\s<>\"']*)"
    rf"|(?P<name>(?:[\w.+-]{{1,64}}@)?{_NAME_LABEL}(?:\.{_NAME_LABEL}){{1,126}}))",
    re.IGNORECASE,
)
_FANGS: Final = {"http": "hxxp", "https": "hxxps", "ftp": "fxp", "ftps": "fxps"}


def defang(text: str) -> str:
    """Write addresses in a text so that no program makes a link of them.

    `refang` gives them back. Paths are left as they are: without scheme and host they
    cannot be followed.
    """

    def blunt(found: re.Match[str]) -> str:
        host = (found["host"] or found["name"] or "").replace(".", "[.]")
        host = host.replace("@", "[@]")
        scheme = found["scheme"]
        return f"{_FANGS[scheme.lower()]}://{host}{found['path']}" if scheme else host

    return _clickable.sub(blunt, text)


# --- What a typed text may be --------------------------------------------------------

_HEX_KINDS: Final = {
    32: ("md5",),
    40: ("sha-1",),
    56: ("sha-224",),
    64: ("sha-256",),
    70: ("tlsh",),
    96: ("sha-384",),
    128: ("sha-512",),
}
_is_hex: Final = re.compile(r"[0-9A-Fa-f]+").fullmatch
_is_tlsh: Final = re.compile(r"[Tt]1[0-9A-Fa-f]{70}").fullmatch
_is_ssdeep: Final = re.compile(
    r"[0-9]{1,10}:[A-Za-z0-9+/]{3,128}:[A-Za-z0-9+/]{3,128}"
).fullmatch
_is_typed_mac: Final = re.compile(
    r"[0-9A-F]{2}([:-])[0-9A-F]{2}(?:\1[0-9A-F]{2}){4}|[0-9A-F]{4}(?:\.[0-9A-F]{4}){2}",
    re.IGNORECASE,
).fullmatch
_is_cve: Final = re.compile(
    r"CVE[-_ \u2010-\u2015][0-9]{4}[-_ \u2010-\u2015][0-9]{4,19}", re.IGNORECASE
).fullmatch
_is_asn: Final = re.compile(r"ASN?[ :#-]?[0-9]{1,10}", re.IGNORECASE).fullmatch
_is_registry: Final = re.compile(
    r"(?:HKEY_[A-Z_]+|HKLM|HKCU|HKCR|HKU|HKCC):?\\.+", re.IGNORECASE
).fullmatch
_with_port: Final = re.compile(rf"({_IPV4}|\[[0-9A-Fa-f:.]+\]):[0-9]{{1,5}}").fullmatch
_is_email: Final = re.compile(r"[^\s@/]+@(?:[^\s@/.]+\.)+[^\s@/.]+").fullmatch
_LABEL = rf"[{_W}][{_W}-]*"
# The last label of a name is never a number: "3.14" is none.
_DOMAIN = rf"(?:{_LABEL}\.)+(?![0-9]+(?:[.:/]|$)){_LABEL}"
_is_domain: Final = re.compile(rf"{_DOMAIN}\.?").fullmatch
_schemeless: Final = re.compile(rf"({_DOMAIN})(?::[0-9]+)?(?:/\S*)?").fullmatch
_OPENING: Final = "\"'`<([{\u201c\u2018\u00ab"
_CLOSING: Final = "\"'`>)]},;.!?\u201d\u2019\u00bb"


def find_values(text: str) -> list[tuple[str, str]]:
    """Tell which values the text a person typed or pasted may be, defanged or not.

    Each blank-separated word is looked at by its own, and the whole text where a value
    may hold blanks. A word can be several kinds at once. Order is that of the text,
    without repeats; a text that holds no value gives an empty list.
    """
    plain = refang(text.strip())
    found: dict[tuple[str, str], None] = {}
    for kind, test in _WHOLE:
        if test(plain):
            return [canonical(kind, plain)]
    for word in plain.replace(",", " ").split():
        for kind, value in _kinds_of(word):
            found[canonical(kind, value)] = None
    return list(found)


_WHOLE: Final = (
    ("windows-registry-key", _is_registry),
    ("cve", _is_cve),
    ("autonomous-system", _is_asn),
)
_SHAPES: Final = (
    ("cve", _is_cve),
    ("autonomous-system", _is_asn),
    ("windows-registry-key", _is_registry),
    ("tlsh", _is_tlsh),
    ("ssdeep", _is_ssdeep),
    ("mac-addr", _is_typed_mac),
)


def _kinds_of(word: str) -> Iterator[tuple[str, str]]:
    """Give each (kind, value) that one word may be; the most telling shape ends it."""
    bare = word.lstrip(_OPENING).rstrip(_CLOSING)
    if _url_parts(bare):
        # A closing bracket may be the sentence's or the URL's own.
        yield "url", bare
        if len(own := word.lstrip(_OPENING)) > len(bare) and "(" in bare:
            yield "url", own
        return
    if bare.endswith(":") and not bare.endswith("::"):
        bare = bare[:-1]
    if _is_hex(bare):
        for kind in _HEX_KINDS.get(len(bare), ()):
            yield kind, bare
    for kind, test in _SHAPES:
        if test(bare):
            yield kind, bare
            return
    port = _with_port(word) or _with_port(bare)
    address = _address(port[1] if port else bare)
    if address is not None:
        yield "ipv6-addr", address
    elif _is_email(bare):
        yield "email-addr", bare
    elif _is_domain(bare):
        yield "domain-name", bare
    elif name := _schemeless(bare):
        yield "domain-name", name[1]
        yield "url", f"http://{bare}"
        yield "url", f"https://{bare}"
