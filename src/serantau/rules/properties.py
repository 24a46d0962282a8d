"""What the properties of STIX objects mean to this node: a table, not forty classes.

Everything that is read out of an object (references, values, words, times) is found by
the name of the property, so that unknown types and properties are read the same way.
"""

from __future__ import annotations

from typing import Final

from serantau.rules.sco import CONTRIBUTING

OBSERVABLES: Final = frozenset(CONTRIBUTING)

# STIX 2.1 §4, §5: (earlier, later, may they be equal) for types whose standard says so.
_SEEN: Final = (("first_seen", "last_seen", True),)
ORDERED_TIMES: Final[dict[str, tuple[tuple[str, str, bool], ...]]] = {
    "campaign": _SEEN,
    "indicator": (("valid_from", "valid_until", False),),
    "infrastructure": _SEEN,
    "intrusion-set": _SEEN,
    "malware": _SEEN,
    "network-traffic": (("start", "end", True),),
    "observed-data": (("first_observed", "last_observed", True),),
    "relationship": (("start_time", "stop_time", False),),
    "sighting": _SEEN,
    "threat-actor": _SEEN,
}

# Every property of type timestamp in STIX 2.1, wherever it stands.
TIMES: Final = frozenset(
    (
        *("created", "modified", "valid_from", "valid_until", "published"),
        *("first_seen", "last_seen", "first_observed", "last_observed"),
        *("start_time", "stop_time", "start", "end", "date", "object_modified"),
        *("ctime", "mtime", "atime", "created_time", "modified_time"),
        *("submitted", "analysis_started", "analysis_ended", "time_date_stamp"),
        *("account_created", "account_expires", "credential_last_changed"),
        *("account_first_login", "account_last_login"),
        *("validity_not_before", "validity_not_after"),
        *("private_key_usage_period_not_before", "private_key_usage_period_not_after"),
    )
)


# Texts, numbers and truth values that the schemas fix and that nothing is read from.
# `created` and `modified` are read with the header.
SILENT: Final = frozenset(
    (
        *("type", "id", "spec_version", "created", "modified", "revoked", "confidence"),
        *("lang", "defanged", "pattern", "pattern_type", "pattern_version", "count"),
        *("number_observed", "is_family", "relationship_type", "identity_class"),
    )
)


class Allowed:
    """The types that a reference may name."""

    __slots__ = ("_but", "_types")

    def __init__(self, *types: str, but: frozenset[str] = frozenset()) -> None:
        """Allow these types; or, when none is given, any type `but` some."""
        self._types = frozenset(types)
        self._but = but

    def __contains__(self, kind: str) -> bool:
        return kind in self._types if self._types else kind not in self._but

    @property
    def words(self) -> str:
        """Say it to a person."""
        if self._types:
            return f"the id of a {' or '.join(sorted(self._types))}"
        return "the id of a domain object, not of an observable"


_ARTIFACT: Final = Allowed("artifact")
_EMAIL: Final = Allowed("email-addr")
_FILES: Final = Allowed("file", "directory")
_RESOLVED: Final = {
    "resolves_to_refs": Allowed("mac-addr"),
    "belongs_to_refs": Allowed("autonomous-system"),
}
_TRAFFIC: Final = Allowed("network-traffic")
_USER: Final = Allowed("user-account")
_ENDPOINT: Final = Allowed("ipv4-addr", "ipv6-addr", "mac-addr", "domain-name")
_COMMON: Final = {
    "created_by_ref": Allowed("identity"),
    "object_marking_refs": Allowed("marking-definition"),
}
# What references may name, by type, extension or nested part. The schemas say the
# rest: relationship, sighting, malware-analysis and object_refs.
_TARGETS: Final[dict[str, dict[str, Allowed]]] = {
    "archive-ext": {"contains_refs": _FILES},
    "body_multipart": {"body_raw_ref": Allowed("artifact", "file")},
    "directory": {"contains_refs": _FILES},
    "domain-name": {
        "resolves_to_refs": Allowed("ipv4-addr", "ipv6-addr", "domain-name")
    },
    "email-addr": {"belongs_to_ref": _USER},
    "email-message": {
        **dict.fromkeys(
            ("from_ref", "sender_ref", "to_refs", "cc_refs", "bcc_refs"), _EMAIL
        ),
        "raw_email_ref": _ARTIFACT,
    },
    "file": {"parent_directory_ref": Allowed("directory"), "content_ref": _ARTIFACT},
    "http-request-ext": {"message_body_data_ref": _ARTIFACT},
    "ipv4-addr": _RESOLVED,
    "ipv6-addr": _RESOLVED,
    "malware": {"sample_refs": Allowed("artifact", "file")},
    "malware-analysis": {"analysis_sco_refs": Allowed(*OBSERVABLES)},
    "network-traffic": {
        **dict.fromkeys(("src_ref", "dst_ref"), _ENDPOINT),
        **dict.fromkeys(("src_payload_ref", "dst_payload_ref"), _ARTIFACT),
        **dict.fromkeys(("encapsulates_refs", "encapsulated_by_ref"), _TRAFFIC),
    },
    "process": {
        "opened_connection_refs": _TRAFFIC,
        "creator_user_ref": _USER,
        "image_ref": Allowed("file"),
        **dict.fromkeys(("parent_ref", "child_refs"), Allowed("process")),
    },
    # STIX 2.1 §5.2.1: what is sighted is a domain object.
    "sighting": {"sighting_of_ref": Allowed(but=OBSERVABLES)},
    "windows-registry-key": {"creator_user_ref": _USER},
    "windows-service-ext": {"service_dll_refs": Allowed("file")},
}


def targets(owner: str, name: str) -> Allowed | None:
    """Tell what a reference may name; None where the standard leaves it open.

    `owner` is the object's type, or the extension or part in which the reference is.
    """
    return _TARGETS.get(owner, {}).get(name) or _COMMON.get(name)


# Properties of a type that hold a value to search for and correlate by, as (property,
# kind of value). Hashes are read wherever a `hashes` dictionary stands.
VALUES: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "artifact": (("url", "url"),),
    "autonomous-system": (("number", "autonomous-system"),),
    "directory": (("path", "directory"),),
    "domain-name": (("value", "domain-name"),),
    "email-addr": (("value", "email-addr"),),
    "email-message": (("message_id", "email-message"),),
    "file": (("name", "file"),),
    "ipv4-addr": (("value", "ipv4-addr"),),
    "ipv6-addr": (("value", "ipv6-addr"),),
    "mac-addr": (("value", "mac-addr"),),
    "mutex": (("name", "mutex"),),
    "url": (("value", "url"),),
    "user-account": (("user_id", "user-account"), ("account_login", "user-account")),
    "windows-registry-key": (("key", "windows-registry-key"),),
    "x509-certificate": (("serial_number", "x509-certificate"),),
}

# Properties whose text people search in, in any type of object.
WORDS: Final = frozenset(
    (
        *("name", "description", "aliases", "labels", "abstract", "content", "title"),
        *("explanation", "objective", "goals", "result_name", "authors", "statement"),
        *("subject", "body", "display_name", "command_line", "vendor", "issuer"),
        *("contact_information", "administrative_area", "city"),
    )
)
# The first of these that is there names an object for a person.
NAMES: Final = (
    *("name", "value", "abstract", "display_name", "subject", "path", "key"),
    *("product", "command_line", "account_login", "user_id", "serial_number"),
    *("opinion", "content", "description", "context", "number"),
)
# Where most objects of a type have none of them, or another says more.
NAMES_OF: Final[dict[str, tuple[str, ...]]] = {
    "relationship": ("relationship_type",),
    "sighting": (),
    "observed-data": (),
}
