"""What would tell that something comes from this node: names, hosts, ids, addresses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from serantau.node import Node
from serantau.records.assets import Assets
from serantau.records.contacts import Contacts
from serantau.records.database import Tx
from serantau.rules.asset import Kind as AssetKind
from serantau.rules.party import Kind
from serantau.rules.profile import NOT_LISTED, Profile
from serantau.rules.properties import OBSERVABLES
from serantau.rules.trace import Trace, Traces

# People's logins of fewer letters are words.
_SHORTEST_NAME: Final = 4
_IN_NAMES: Final = re.compile(r"[^\s'\"<>()\[\]{},;]+")


def traces_of(node: Node, tx: Tx, objects: Iterable[Mapping[str, Any]]) -> Traces:
    """Gather all that would name this node as the origin of some objects."""
    objects = list(objects)
    config = node.config
    own = config.node.member
    found = [
        Trace(own, "this member's code"),
        Trace(config.node.team, "this team's name"),
        Trace(_host(config.http.base_url), "this node's address"),
        Trace(_host(config.mail.sender), "this node's mail domain"),
        Trace(config.mail.host, "this node's mail server"),
        Trace(node.signer.key.id, "this node's key"),
        *(Trace(name, "a feed's name") for name in config.feeds),
        *_of_profile(node.profile, own),
    ]
    clients = {own}
    for _, party in node.registry.parties(tx).values():
        ours = party.kind is Kind.OWN
        client = party.kind is Kind.OPERATOR and party.client_of in {"", own}
        if ours or client:
            clients.add(party.name)
            what = "this organisation" if ours else "an operator of ours"
            found += [Trace(party.title, what), *_of_identity(node, tx, party.identity)]
            if client:
                found.append(Trace(party.name, what))
    found += [
        Trace(user.name, "a user of this node")
        for user in node.registry.users(tx)
        if user.party in clients and len(user.name) >= _SHORTEST_NAME
    ]
    for circle in node.audiences.circles(tx).values():
        found += [Trace(circle.id, "a circle"), Trace(circle.name, "a circle")]
    networks = []
    for asset in Assets().all(tx):
        if asset.party in clients and asset.kind is AssetKind.PREFIX:
            networks.append(asset.value)
        elif asset.party in clients and asset.kind is AssetKind.DOMAIN:
            found.append(Trace(asset.value, "a domain of ours"))
    for contact in Contacts().all(tx):
        if contact.party in clients:
            found += [
                Trace(contact.address, "a contact"),
                Trace(_host(contact.address), "a contact"),
            ]
    for data in objects:
        if data["type"] not in OBSERVABLES:
            found.append(Trace(str(data["id"]), "its id here"))
        found += [
            Trace(ref, "a marking here") for ref in data.get("object_marking_refs", ())
        ]
    found += [Trace(name, "a file's name here") for name in _files(tx, objects)]
    return Traces(found, networks)


def members_traces(profile: Profile) -> Traces:
    """Gather what would name any member, for who does not know whose something is."""
    return Traces(
        trace
        for member in profile.members
        for trace in _of_profile(profile, member.code)
    )


def _of_profile(profile: Profile, code: str) -> Iterator[Trace]:
    for member in profile.members:
        if member.code == code:
            yield Trace(member.state, f"the state {member.state}")
            for language in member.languages:
                if language.name != "English":
                    yield Trace(language.name, "a language of theirs")
            for team in member.teams:
                for text in (team.name, team.host, *team.sites):
                    if text != NOT_LISTED:
                        yield Trace(text, f"of {team.name}")


def _of_identity(node: Node, tx: Tx, identity: str) -> Iterator[Trace]:
    if not identity:
        return
    yield Trace(identity, "an identity of ours")
    for version in node.search.versions(tx, identity):
        data = orjson.loads(version.body)
        for name in ("name", "contact_information"):
            yield Trace(str(data.get(name, "")), "an identity of ours")


def _files(tx: Tx, objects: Iterable[Mapping[str, Any]]) -> list[str]:
    """Find names of files that were taken in here among the words of objects."""
    words = {
        word for data in objects for text in _texts(data) for word in _words_of(text)
    }
    rows = tx.rows(
        "SELECT DISTINCT name FROM batch WHERE name <> '' AND "  # noqa: S608 - ours
        + tx.among("name", "words"),
        words=tx.array(sorted(words)),
    )
    return [str(row.name) for row in rows]


def _words_of(text: str) -> Iterator[str]:
    for word in _IN_NAMES.findall(text):
        yield word
        yield word.rstrip(".:!?")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _host(address: str) -> str:
    """Give the host of a URL or mail address; empty for a folder."""
    if "://" in address:
        return urlsplit(address).hostname or ""
    return address.rpartition("@")[2] if "@" in address else ""
