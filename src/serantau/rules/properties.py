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

_ADDRESSES: Final = frozenset(("ipv4-addr", "ipv6-addr", "mac-addr", "domain-name"))
_SOFTWARE: Final = frozenset(("software",))
_ARTIFACT: Final = frozenset(("artifact",))
_EMAIL: Final = frozenset(("email-addr",))
_TRAFFIC: Final = frozenset(("network-traffic",))
_FILES: Final = frozenset(("file", "directory"))
# What a reference may name. `(type, property)` where types differ, else the property.
# The schemas say the rest (relationship, sighting and object_refs).
TARGETS: Final[dict[str | tuple[str, str], frozenset[str]]] = {
    "created_by_ref": frozenset(("identity",)),
    "object_marking_refs": frozenset(("marking-definition",)),
    "operating_system_refs": _SOFTWARE,
    "operating_system_ref": _SOFTWARE,
    "host_vm_ref": _SOFTWARE,
    "installed_software_refs": _SOFTWARE,
    "sample_refs": frozenset(("artifact", "file")),
    "analysis_sco_refs": OBSERVABLES,
    ("directory", "contains_refs"): _FILES,
    ("archive-ext", "contains_refs"): _FILES,
    ("domain-name", "resolves_to_refs"): _ADDRESSES - {"mac-addr"},
    ("ipv4-addr", "resolves_to_refs"): frozenset(("mac-addr",)),
    ("ipv6-addr", "resolves_to_refs"): frozenset(("mac-addr",)),
    "belongs_to_refs": frozenset(("autonomous-system",)),
    "belongs_to_ref": frozenset(("user-account",)),
    "body_raw_ref": frozenset(("artifact", "file")),
    "raw_email_ref": _ARTIFACT,
    "from_ref": _EMAIL,
    "sender_ref": _EMAIL,
    "to_refs": _EMAIL,
    "cc_refs": _EMAIL,
    "bcc_refs": _EMAIL,
    "parent_directory_ref": frozenset(("directory",)),
    "content_ref": _ARTIFACT,
    "message_body_data_ref": _ARTIFACT,
    "src_ref": _ADDRESSES,
    "dst_ref": _ADDRESSES,
    "src_payload_ref": _ARTIFACT,
    "dst_payload_ref": _ARTIFACT,
    "encapsulates_refs": _TRAFFIC,
    "encapsulated_by_ref": _TRAFFIC,
    "service_dll_refs": frozenset(("file",)),
    "opened_connection_refs": _TRAFFIC,
    "creator_user_ref": frozenset(("user-account",)),
    "image_ref": frozenset(("file",)),
    "parent_ref": frozenset(("process",)),
    "child_refs": frozenset(("process",)),
}
# STIX 2.1 §5.2.1: what is sighted is a domain object, never an observable.
NOT_TARGETS: Final[dict[tuple[str, str], frozenset[str]]] = {
    ("sighting", "sighting_of_ref"): OBSERVABLES,
}

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
EMBEDDED_HASHES: Final = ("hashes", "file_header_hashes")

# Properties whose text people search in, in any type of object.
WORDS: Final = frozenset(
    (
        *("name", "description", "aliases", "labels", "abstract", "content", "opinion"),
        *("explanation", "objective", "goals", "product", "result_name", "authors"),
        *("subject", "body", "display_name", "command_line", "cwd", "context", "cpe"),
        *("vendor", "issuer", "statement", "external_id", "source_name", "path"),
        *("country", "region", "city", "administrative_area", "relationship_type"),
        *("contact_information", "street_address", "sectors", "title", "summary"),
    )
)
# The first of these that is there names an object for a person.
NAMES: Final = (
    *("name", "value", "abstract", "display_name", "subject", "path", "key"),
    *("product", "relationship_type", "command_line", "account_login", "user_id"),
    *("opinion", "context", "content", "description", "serial_number", "number"),
)
