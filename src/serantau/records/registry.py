"""Parties, circles, users, tokens and collections of this node."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
import orjson
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from serantau import typed
from serantau.errors import BadRequest, Conflict, NotFound
from serantau.records import acts, tables
from serantau.records.audiences import Audiences, Change
from serantau.records.database import Tx
from serantau.records.views import Saved
from serantau.rules.marking import CIRCLE, Tlp, tlp_of
from serantau.rules.party import NAME, Circle, Kind, Party
from serantau.rules.role import ROLES

# What people of other parties may be here.
OF_OTHERS = ("reader", "writer", "operator", "guest")
PUBLIC = "public"
EVERYONE = "everyone"
_HASHER = PasswordHasher()
_TOKEN_BYTES = 32
_SECOND = (
    "EXISTS (SELECT 1 FROM factor f WHERE f.user_account = u.n "
    "AND f.kind IN ('totp', 'passkey')) AS second"
)


@cache
def _nobody() -> str:
    """Give what is compared with for an unknown name, so that it costs the same."""
    return _HASHER.hash(secrets.token_hex(16))


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking. `party_number` is the row of `party`; role: see `rules.role`.

    second: besides the password it takes a second factor (`records.factors`).

    What its party may have, every role may read as the standards say it; a role of the
    API's rank `writer` may also put objects into collections that let its party.
    """

    user: str
    party_number: int
    party: Party
    role: str
    second: bool = False

    @property
    def own(self) -> bool:
        """Say whether the caller belongs to the node's own organisation."""
        return self.party.kind is Kind.OWN


class Access(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may read and write a collection.

    Each entry is `everyone`, a kind of party (`kind:member`) or one (`party:jp`).
    """

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()

    def allows(self, entries: Sequence[str], party: Party) -> bool:
        """Say whether one of `entries` names this party."""
        names = {EVERYONE, f"kind:{party.kind}", f"party:{party.name}"}
        return any(entry in names for entry in entries)


class Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a saved query holds: these types (all when empty), up to a TLP level."""

    types: tuple[str, ...] = ()
    up_to: str = ""


@dataclass(frozen=True, slots=True)
class Collection:
    """A named way to see the store: a box that was filled, or a saved query."""

    number: int
    id: str
    alias: str
    title: str
    description: str
    box: bool
    query: Query
    access: Access

    def readable_by(self, party: Party) -> bool:
        """Say whether the collection's rights let a party read."""
        return self.access.allows(self.access.read, party)

    def writable_by(self, party: Party) -> bool:
        """Say whether the collection's rights let a party write; never when blocked."""
        allowed = self.access.allows(self.access.write, party)
        return self.box and allowed and not party.blocked


class Registry:
    """Reads and changes who is who; a change that alters release is judged at once."""

    def __init__(self, audiences: Audiences) -> None:
        """Carry out changes of parties and circles through `audiences`."""
        self._audiences = audiences

    def parties(self, tx: Tx) -> dict[str, tuple[int, Party]]:
        """Give every party by name, with its number."""
        found = self._audiences.parties(tx)
        return {party.name: (number, party) for number, party in found.items()}

    def party(self, tx: Tx, name: str) -> tuple[int, Party]:
        """Give one party and its number.

        Raises:
            NotFound: no party has this name.
        """
        found = self._audiences.parties(tx, name)
        if not found:
            raise NotFound(
                f"No party is named {name!r}.", mend="`serantau party list` shows them."
            )
        return next(iter(found.items()))

    def put_party(self, tx: Tx, party: Party, why: str = "") -> list[Change]:
        """Add a party, or change the one of that name; gives what changed for it.

        `why`: the reason, if one was given.

        Raises:
            BadRequest: a name that is none, or a second party of kind `own`.
        """
        if not NAME.fullmatch(party.name):
            raise BadRequest(
                f"{party.name!r} is not a party's name: "
                "lower-case letters, digits and hyphens, as in 'th' or 'id-operator-1'."
            )
        if party.kind is Kind.OWN and party.name != self._audiences.own:
            raise BadRequest(f"This node's own party is {self._audiences.own!r}.")
        row = {
            "name": party.name,
            "kind": str(party.kind),
            "title": party.title,
            "identity": party.identity,
            "client_of": party.client_of,
            "need_to_know": party.need_to_know,
            "blocked": party.blocked,
            "ceiling": "" if party.ceiling is None else party.ceiling.label,
            "until": party.until,
            "purposes": " ".join(sorted(party.purposes)),
        }
        names = ", ".join(row)
        held = tx.row(f"SELECT {names} FROM party WHERE name = :name", name=party.name)
        if held is None:
            acts.decided(tx, "added a party", party.name, after=row, why=why)
            number = tx.insert(tables.party, row)
            self._audiences.admit_party(tx, number)
            return []
        before = acts.as_told(held, row)
        acts.decided(
            tx, "changed a party", party.name, before=before, after=row, why=why
        )
        fields = ", ".join(f"{name} = :{name}" for name in row)
        tx.run(f"UPDATE party SET {fields} WHERE name = :name", **row)
        return [change for _, change in self._audiences.refresh(tx)]

    def put_circle(
        self, tx: Tx, name: str, members: Iterable[str], *, circle_id: str = ""
    ) -> Circle:
        """Make a circle, or change who is in it. Its id tells nothing of either."""
        known = self.parties(tx)
        listed = sorted(set(members))
        for member in listed:
            if member not in known:
                raise NotFound(f"No party is named {member!r}.")
        if not name.strip() or not name.isprintable():
            raise BadRequest(f"{name!r} is not a circle's name: printable text.")
        row = tx.row("SELECT id, members FROM circle WHERE name = :name", name=name)
        acts.decided(
            tx,
            "changed a circle" if row else "made a circle",
            name,
            before={"members": orjson.loads(row.members)} if row else None,
            after={"members": listed},
        )
        if row is None:
            given = circle_id or f"circle--{uuid.uuid4()}"
            if not CIRCLE.fullmatch(given):
                raise BadRequest(
                    f"{given!r} is not a circle's id: circle--UUID in lower case."
                )
            if tx.row("SELECT 1 FROM circle WHERE id = :id", id=given):
                raise Conflict(f"A circle of another name has the id {given!r}.")
            tx.run(
                "INSERT INTO circle (id, name, members) VALUES (:id, :name, :members)",
                id=given,
                name=name,
                members=orjson.dumps(listed).decode(),
            )
        else:
            given = row.id
            tx.run(
                "UPDATE circle SET members = :members WHERE id = :id",
                id=given,
                members=orjson.dumps(listed).decode(),
            )
        self._audiences.refresh(tx)
        return Circle(given, name, frozenset(listed))

    def drop_circle(self, tx: Tx, name: str, why: str = "") -> None:
        """Forget a circle: nobody is in it any more. `why`: the reason, if given."""
        held = tx.value("SELECT members FROM circle WHERE name = :name", name=name)
        if not tx.run("DELETE FROM circle WHERE name = :name", name=name):
            raise NotFound(f"No circle is named {name!r}.")
        before = {"members": orjson.loads(held)}
        acts.decided(tx, "dropped a circle", name, before=before, why=why)
        self._audiences.refresh(tx)

    def add_user(
        self, tx: Tx, name: str, party: str, role: str, password: str = ""
    ) -> int:
        """Add a user of a party. Without a password only tokens let it in.

        Raises:
            BadRequest: an unknown role, or an administrator of another party.
            Conflict: the name is taken.
        """
        number, held = self.party(tx, party)
        _check_role(name, held, role)
        if ":" in name or not name.isprintable() or not name.strip():
            raise BadRequest(
                f"{name!r} is not a user's name: printable, without a colon."
            )
        if tx.row("SELECT 1 FROM user_account WHERE name = :name", name=name):
            raise Conflict(f"User {name!r} is here already.")
        acts.decided(tx, "added a user", name, after={"party": party, "role": role})
        return tx.insert(
            tables.user,
            {
                "name": name,
                "party": number,
                "role": role,
                "password": _HASHER.hash(password) if password else "",
                "disabled": False,
                "created": tx.clock.now(),
            },
        )

    def set_user(
        self,
        tx: Tx,
        name: str,
        *,
        password: str | None = None,
        disabled: bool | None = None,
        role: str | None = None,
        keep: int = 0,
    ) -> None:
        """Change a user's password or role, or let it in or not.

        A new password, and keeping out, end its sessions at the pages and its links.

        Args:
            tx: a transaction that writes.
            name: whose.
            password: a new one.
            disabled: whether it is kept out.
            role: what it may do from now on.
            keep: the number of a session that goes on.

        Raises:
            NotFound: no user has this name.
            BadRequest: its party's people may not have this role.
        """
        values: dict[str, Any] = {}
        if password is not None:
            values["password"] = _HASHER.hash(password)
        if disabled is not None:
            values["disabled"] = disabled
        if role is not None:
            before = self._check_new_role(tx, name, role)
            values["role"] = role
        fields = ", ".join(f"{field} = :{field}" for field in values)
        if values and not tx.run(
            f"UPDATE user_account SET {fields} WHERE name = :name",
            name=name,
            **values,
        ):
            raise NotFound(f"No user is named {name!r}.")
        if password is not None or disabled:
            whose = "user_account = (SELECT n FROM user_account WHERE name = :name)"
            tx.run(
                f"UPDATE session SET expires = :now WHERE {whose} "
                "AND expires > :now AND n <> :keep",
                name=name,
                keep=keep,
                now=tx.clock.now(),
            )
            tx.run(f"DELETE FROM ticket WHERE {whose}", name=name)
        if password is not None:
            acts.decided(tx, "set a user's password", name)
        if role is not None:
            was, now = {"role": before}, {"role": role}
            acts.decided(tx, "changed a user's role", name, before=was, after=now)
        if disabled is not None:
            acts.decided(tx, "kept a user out" if disabled else "let a user in", name)

    def _check_new_role(self, tx: Tx, name: str, role: str) -> str:
        row = tx.row(
            "SELECT u.role, p.name AS party FROM user_account u "
            "JOIN party p ON p.n = u.party WHERE u.name = :name",
            name=name,
        )
        if row is None:
            raise NotFound(f"No user is named {name!r}.")
        _check_role(name, self.party(tx, row.party)[1], role)
        return str(row.role)

    def users(self, tx: Tx) -> list[Any]:
        """List users: name, party, role, disabled, created, tokens (how many)."""
        return tx.rows(
            "SELECT u.name, p.name AS party, u.role, u.disabled, u.created, "
            "(SELECT count(*) FROM token t WHERE t.user_account = u.n) AS tokens "
            "FROM user_account u JOIN party p ON p.n = u.party ORDER BY u.name"
        )

    def add_token(
        self, tx: Tx, user: str, label: str, expires: int | None = None
    ) -> str:
        """Make a bearer token for a user. The text is shown once and stored nowhere."""
        number = tx.value("SELECT n FROM user_account WHERE name = :name", name=user)
        if number is None:
            raise NotFound(f"No user is named {user!r}.")
        acts.decided(tx, "made a token", user, after={"label": label})
        secret = secrets.token_urlsafe(_TOKEN_BYTES)
        tx.insert(
            tables.token,
            {
                "user_account": number,
                "digest": _digest(secret),
                "label": label,
                "created": tx.clock.now(),
                "expires": expires,
            },
        )
        return secret

    def tokens(self, tx: Tx, limit: int) -> list[Any]:
        """List tokens, the newest first: user, party, label, created, expires."""
        return tx.rows(
            "SELECT u.name AS user, p.name AS party, t.label, t.created, t.expires "
            "FROM token t JOIN user_account u ON u.n = t.user_account "
            "JOIN party p ON p.n = u.party ORDER BY t.n DESC LIMIT :limit",
            limit=limit,
        )

    def drop_tokens(self, tx: Tx, user: str, label: str = "", why: str = "") -> int:
        """End a user's tokens, those of one label or all; gives how many."""
        before = {"label": label or "all"}
        acts.decided(tx, "ended tokens", user, before=before, why=why)
        return tx.run(
            "DELETE FROM token WHERE user_account = "
            "(SELECT n FROM user_account WHERE name = :name) "
            "AND (:label = '' OR label = :label)",
            name=user,
            label=label,
        )

    def caller_by_token(self, tx: Tx, secret: str) -> Caller | None:
        """Give who holds this bearer token, if anyone may with it now."""
        digest = _digest(secret)
        row = tx.kept(
            ("token", digest),
            lambda: tx.row(
                "SELECT u.name, u.party, u.role, 0 AS second, t.expires FROM token t "
                "JOIN user_account u ON u.n = t.user_account "
                "WHERE t.digest = :digest AND NOT u.disabled",
                digest=digest,
            ),
        )
        now = tx.clock.now()
        if row is None or (row.expires is not None and row.expires <= now):
            return None
        return self._caller(tx, row, now)

    def caller_by_password(self, tx: Tx, name: str, password: str) -> Caller | None:
        """Give the user of this name when the password is right. Slow by design."""
        row = tx.row(
            f"SELECT name, party, role, password, {_SECOND} FROM user_account u "
            "WHERE name = :name AND NOT disabled",
            name=_storable(name),
        )
        try:
            _HASHER.verify(
                row.password if row and row.password else _nobody(),
                password.encode("utf-8", "surrogatepass"),
            )
        except (VerificationError, InvalidHashError):
            return None
        return None if row is None else self._caller(tx, row, tx.clock.now())

    def caller_by_name(self, tx: Tx, name: str) -> Caller | None:
        """Give a user by name: for a caller whose password was verified before."""
        row = tx.row(
            f"SELECT name, party, role, {_SECOND} FROM user_account u "
            "WHERE name = :name AND NOT disabled",
            name=_storable(name),
        )
        return None if row is None else self._caller(tx, row, tx.clock.now())

    def password_digest(self, tx: Tx, name: str) -> str:
        """Give a text that changes whenever the user's password or state does."""
        row = tx.row(
            "SELECT password, disabled FROM user_account WHERE name = :name",
            name=_storable(name),
        )
        return "" if row is None else _digest(f"{row.password}:{row.disabled}")

    def _caller(self, tx: Tx, row: Any, now: int) -> Caller | None:
        number = int(row.party)
        party = tx.kept(("party", number), lambda: self._audiences.party(tx, number))
        if not party.active(now):
            return None
        return Caller(row.name, int(row.party), party, row.role, bool(row.second))

    def collections(self, tx: Tx) -> list[Collection]:
        """List the collections, in the order in which they were made."""
        return [
            _collection(row) for row in tx.rows("SELECT * FROM collection ORDER BY n")
        ]

    def collection(self, tx: Tx, name: str) -> Collection:
        """Give a collection by id or alias.

        Raises:
            NotFound: there is none.
        """
        return tx.kept(("collection", name), lambda: self._named(tx, name))

    @staticmethod
    def _named(tx: Tx, name: str) -> Collection:
        row = tx.row(
            "SELECT * FROM collection WHERE id = :name OR alias = :name",
            name=_storable(name),
        )
        if row is None:
            raise NotFound(f"No collection is named {name!r}.")
        return _collection(row)

    def put_collection(
        self,
        tx: Tx,
        alias: str,
        title: str,
        *,
        description: str = "",
        box: bool = False,
        query: Query | None = None,
        access: Access | None = None,
        collection_id: str = "",
    ) -> Collection:
        """Make a collection, or change the one with this alias.

        Raises:
            Conflict: the alias is another collection's id, or the id another's.
            BadRequest: the level of the query is none.
        """
        if query is not None and query.up_to:
            try:
                Tlp.parse(query.up_to)
            except ValueError as fault:
                raise BadRequest(f"A collection's level: {fault}.") from fault
        for other in self.collections(tx):
            if other.alias != alias and other.id in {alias, collection_id}:
                raise Conflict(f"Collection {other.alias!r} has the id {other.id!r}.")
        values: dict[str, Any] = {
            "alias": alias,
            "title": title,
            "description": description,
            "box": box,
            "query": orjson.dumps(msgspec.to_builtins(query or Query())).decode(),
            "access": orjson.dumps(msgspec.to_builtins(access or Access())).decode(),
        }
        held = tx.row("SELECT * FROM collection WHERE alias = :alias", alias=alias)
        before = None if held is None else acts.as_told(held, values)
        what = "made a collection" if held is None else "changed a collection"
        acts.decided(tx, what, alias, before=before, after=values)
        if held is not None:
            fields = ", ".join(f"{field} = :{field}" for field in values)
            tx.run(f"UPDATE collection SET {fields} WHERE alias = :alias", **values)
            # Whoever remembers a view of it has to look again.
            tx.run("UPDATE stamp SET epoch = epoch + 1")
        else:
            # TAXII 2.1 §2: a collection's id is a version 4 UUID.
            values["id"] = collection_id or str(uuid.uuid4())
            tx.insert(tables.collection, values)
        return self.collection(tx, alias)

    def saved(self, tx: Tx, collection: Collection) -> Saved:
        """Turn a collection into what `Views` reads."""
        sets = None
        if collection.query.up_to:
            level = Tlp.parse(collection.query.up_to)
            known = self._audiences.known(tx)
            sets = frozenset(
                number
                for number, marked in self._audiences.sets(tx).items()
                if tlp_of(marked, known) <= level
            )
        return Saved(
            box=collection.number if collection.box else 0,
            types=collection.query.types,
            marking_sets=sets,
        )


def _collection(row: Any) -> Collection:
    return Collection(
        number=int(row.n),
        id=row.id,
        alias=row.alias,
        title=row.title,
        description=row.description,
        box=bool(row.box),
        query=typed.read(row.query, Query),
        access=typed.read(row.access, Access),
    )


def _check_role(name: str, party: Party, role: str) -> None:
    if role not in ROLES:
        raise BadRequest(f"Role {role!r} is none of {', '.join(ROLES)}.")
    if party.kind is not Kind.OWN and role not in OF_OTHERS:
        raise BadRequest(
            f"{name!r} is of party {party.name!r}: its people may have the roles "
            f"{', '.join(OF_OTHERS)}; only the node's own people have {role}."
        )


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _storable(name: str) -> str:
    """Give a name to look up; one that no database takes is nobody's name."""
    return name if name.isprintable() else ""
