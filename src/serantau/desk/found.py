"""Founding a node: its configuration, its keys, its store, and who is in its region."""

from __future__ import annotations

import os
import secrets
import tomllib
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import tomli_w

from serantau.clock import Clock, SystemClock, moment, stix_text
from serantau.config import FILE_NAME, NodeConfig, load_config
from serantau.desk.signing import pin_profile
from serantau.errors import BadRequest, Conflict
from serantau.node import SEAL_FILE, SIGNING_FILE, Node
from serantau.records.database import Tx
from serantau.records.pins import PinRow, Pins
from serantau.records.registry import EVERYONE, PUBLIC, Access, Query
from serantau.records.seal import Seal
from serantau.rules.marking import TLP_2_IDS, Tlp, audience_extension_objects
from serantau.rules.party import Kind, Party
from serantau.rules.profile import Member, Profile
from serantau.rules.signature import signed
from serantau.rules.statement import declare_keys, key_extension_objects
from serantau.wire.profile import load_profile
from serantau.wire.signer import Signer, keep_signer, new_signer

ADMIN = "admin"
SOURCE = "founding"
_HEADER = """\
# The configuration of a Serantau node. docs/operations.md lists every setting; what is
# not said here has the default given there. `serantau doctor` checks it.

"""


@dataclass(frozen=True, slots=True)
class Charter:
    """What a new node is told.

    member: the code of the member or partner that it belongs to, as the profile writes
    it. team: the team's name. role: `member` or `coordinator`. coordinators: codes of
    the members whose nodes coordinate. url: how others reach it. store: a database's
    URL, empty for SQLite in the folder. host, port: where it listens.
    """

    member: str
    team: str
    role: str = "member"
    profile: str = "asean-2025"
    realm: str = "live"
    url: str = ""
    store: str = ""
    host: str = ""
    port: int = 0
    coordinators: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Founded:
    """A node that was made.

    password: of the user `admin`, kept nowhere in clear; empty when it has none.
    """

    home: Path
    identity: str
    password: str
    parties: int


def new_password() -> str:
    """Make a password that a person can type: 120 bits in groups of letters."""
    letters = "abcdefghjkmnpqrstuvwxyz23456789"
    groups = ("".join(secrets.choice(letters) for _ in range(6)) for _ in range(4))
    return "-".join(groups)


def found(
    home: Path, charter: Charter, clock: Clock | None = None, *, password: bool = True
) -> Founded:
    """Make a node in a folder; its configuration is written last, when all is there.

    Args:
        home: the folder.
        charter: what the node is.
        clock: the system's otherwise.
        password: make one for `admin`; without it `serantau serve` tells a link.

    Raises:
        Conflict: there is a node already, in the folder or in the database.
        BadRequest: the profile does not know the member.
        ConfigError: a value that the configuration does not take.
    """
    clock = clock or SystemClock()
    refuse_second(home)
    profile = load_profile(charter.profile)
    _check(charter, profile)
    identity = f"identity--{uuid.uuid4()}"
    text = _configuration(charter, identity)
    config = check_configuration(home, text)
    make_home(home)
    make_keys(config)
    made = new_password() if password else ""
    with Node(config, clock) as node, node.db.write() as tx:
        signer = node.signer
        refuse_occupied(node, tx)
        parties = _parties(charter, profile, identity, clock)
        for party in parties:
            node.registry.put_party(tx, party)
        _collections(node, tx)
        node.registry.add_user(tx, ADMIN, charter.member, "admin", made)
        _first_objects(node, tx, identity, signer)
    write_whole(home / FILE_NAME, text.encode())
    return Founded(home, identity, made, len(parties))


def refuse_second(home: Path) -> None:
    """Make sure that a folder has no node.

    Raises:
        Conflict: it has.
    """
    if (home / FILE_NAME).exists():
        raise Conflict(
            f"There is a node in {home} already; nothing was changed.",
            mend="Name another folder with --home, or work with this one.",
        )


def refuse_occupied(node: Node, tx: Tx) -> None:
    """Make sure that a store belongs to no node.

    Raises:
        Conflict: it does.
    """
    if node.registry.parties(tx):
        raise Conflict(
            f"The database {node.db.shown} has a node's data already.",
            mend="Give an empty one with --store, or move the old data away first.",
        )


def check_configuration(home: Path, text: str) -> NodeConfig:
    """Read a configuration's text as it will be read from `home`.

    Raises:
        ConfigError: it cannot be used.
    """
    return load_config(home, None, tomllib.loads(text))


def write_whole(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a file so that it is there whole or not at all, also after a power cut."""
    draft = path.with_name(f".{path.name}.new")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def make_home(home: Path) -> None:
    """Make the node's folder, for its user's eyes only; one that is there stays."""
    if not home.exists():
        home.mkdir(parents=True, mode=0o700)


def make_keys(config: NodeConfig) -> None:
    """Make the node's private keys, for its user's eyes only; those there stay."""
    config.keys.mkdir(mode=0o700, exist_ok=True)
    config.keys.chmod(0o700)
    if not (config.keys / SIGNING_FILE).exists():
        realm = config.node.realm
        keep_signer(config.keys / SIGNING_FILE, new_signer(), realm=realm)
    if not (config.keys / SEAL_FILE).exists():
        write_whole(config.keys / SEAL_FILE, Seal.new_key())


def _check(charter: Charter, profile: Profile) -> None:
    codes = [each.code for each in profile.members]
    partners = [each.code for each in profile.partners]
    if charter.member not in [*codes, *partners]:
        raise BadRequest(
            f"{charter.member!r} is no code of the profile {profile.name}.",
            mend=f"Members: {', '.join(codes)}. Partners: {', '.join(partners)}. "
            "A profile of your own is named by its path.",
        )
    unknown = [code for code in charter.coordinators if code not in codes]
    if unknown:
        raise BadRequest(
            f"{unknown[0]!r} is no member of the profile {profile.name}, "
            "so its node cannot coordinate."
        )
    if not charter.team.strip():
        raise BadRequest("The team has no name.")


def _configuration(charter: Charter, identity: str) -> str:
    tables: dict[str, dict[str, Any]] = {
        "node": {
            "member": charter.member,
            "team": charter.team,
            "role": charter.role,
            "profile": charter.profile,
            "realm": charter.realm,
            "identity": identity,
        }
    }
    if charter.store:
        tables["store"] = {"url": charter.store}
    http = {"host": charter.host, "port": charter.port, "base_url": charter.url}
    given = {name: value for name, value in http.items() if value}
    if given:
        tables["http"] = given
    return _HEADER + tomli_w.dumps(tables)


def _parties(
    charter: Charter, profile: Profile, identity: str, clock: Clock
) -> list[Party]:
    """Give everyone whom the profile knows: audiences can name them from the start."""
    today = moment(clock.now()).date().isoformat()
    own = Party(charter.member, Kind.OWN, charter.team, identity)
    found = [own, Party(PUBLIC, Kind.PUBLIC, "Everyone else")]
    for member in profile.members_on(today):
        coordinates = member.code in charter.coordinators
        kind = Kind.COORDINATOR if coordinates else Kind.MEMBER
        found.append(Party(member.code, kind, _title(member)))
    found += [
        Party(partner.code, Kind.PARTNER, partner.name) for partner in profile.partners
    ]
    others = [each for each in found[1:] if each.name != charter.member]
    return [own, *others]


def _title(member: Member) -> str:
    national = [team.name for team in member.teams if team.scope == "national"]
    return f"{member.state} ({national[0]})" if national else member.state


def _collections(node: Node, tx: Tx) -> None:
    put = node.registry.put_collection
    everyone = Access(read=(EVERYONE,))
    put(
        tx,
        "released",
        "What this node releases to you",
        description="Everything here that your party may have, in every version.",
        access=everyone,
    )
    put(
        tx,
        "indicators",
        "Indicators released to you",
        description="Only indicators, for those who feed detection with them.",
        query=Query(types=("indicator",)),
        access=everyone,
    )
    givers = (Kind.MEMBER, Kind.COORDINATOR, Kind.PARTNER, Kind.OPERATOR, Kind.OWN)
    put(
        tx,
        "inbox",
        "What others hand to this node",
        description="Write here what you want this team to have.",
        box=True,
        access=Access(
            read=(f"kind:{Kind.OWN}",), write=tuple(f"kind:{kind}" for kind in givers)
        ),
    )


def _first_objects(node: Node, tx: Tx, identity: str, signer: Signer) -> None:
    """Store who we are, and what makes our markings and signatures readable."""
    now = stix_text(tx.clock.now())
    config = node.config.node
    ours: dict[str, Any] = {
        "type": "identity",
        "spec_version": "2.1",
        "id": identity,
        # Of its own making: nobody else may bring a newer version of it.
        "created_by_ref": identity,
        "created": now,
        "modified": now,
        "object_marking_refs": [TLP_2_IDS[Tlp.GREEN]],
        "name": config.team,
        "identity_class": "organization",
    }
    if config.realm != "live":
        ours["x_serantau_realm"] = config.realm
    versions = [
        node.reader.read(orjson.dumps(each))
        for each in (
            signed(declare_keys(ours, signer.key), signer.jws),
            *audience_extension_objects(),
            *key_extension_objects(),
        )
    ]
    node.objects.admit(
        tx, versions, source=SOURCE, handling=lambda version: Tlp.AMBER_STRICT
    )
    pin_profile(node, tx)
    own = PinRow(
        config.member, signer.key.id, signer.key, identity, tx.clock.now(), SOURCE
    )
    Pins().put(tx, own)
    Pins.sign_with(tx, signer.key.id)
