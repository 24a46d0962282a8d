"""Users: who may log in, with passwords and tokens."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from litestar.params import JSONBody, QueryParameter
from msgspec import Meta

from serantau.apps.web.api.door import caller_of, node_of, reading, verb, writing
from serantau.apps.web.api.words import (
    LABEL,
    USER,
    Answer,
    Count,
    Given,
    PartyName,
    Time,
    UserId,
    read_time,
)
from serantau.apps.web.hall import Asking
from serantau.clock import taxii_text
from serantau.errors import BadRequest, Conflict, NotFound
from serantau.records.database import Tx

Password = Annotated[str, Meta(min_length=12, max_length=1000)]
Role = Literal[
    "reader",
    "writer",
    "analyst",
    "lead",
    "coordinator",
    "policy",
    "operator",
    "guest",
    "auditor",
    "admin",
]
# A guest is let into one case until a day: by an invitation.
RoleGiven = Literal[
    "reader",
    "writer",
    "analyst",
    "lead",
    "coordinator",
    "policy",
    "operator",
    "auditor",
    "admin",
]


class UserTold(Answer):
    """A user. tokens: how many it has."""

    name: str
    party: str
    role: Role
    disabled: bool
    created: Time
    tokens: Count


class UserList(Answer):
    """The users by name."""

    users: list[UserTold]


class UserGiven(Given):
    """A new user. Without a password only tokens let it in."""

    name: Annotated[str, Meta(pattern=USER)]
    party: PartyName
    role: RoleGiven
    password: Password | None = None


class PasswordGiven(Given):
    """A new password."""

    password: Password


class TokenGiven(Given):
    """A new token. label: to end it by later. expires: never when left out."""

    label: Annotated[str, Meta(pattern=LABEL)]
    expires: Time | None = None


class TokenTold(Answer):
    """A token. It is told once and stored nowhere."""

    token: str
    user: str
    label: str


class TokensEnded(Answer):
    """How many tokens ended."""

    ended: Count


def _told(row: Any) -> UserTold:
    return UserTold(
        name=row.name,
        party=row.party,
        role=row.role,
        disabled=bool(row.disabled),
        created=taxii_text(int(row.created)),
        tokens=int(row.tokens),
    )


def _user(request: Asking, tx: Tx, name: str) -> UserTold:
    for row in node_of(request).registry.users(tx):
        if row.name == name:
            return _told(row)
    raise NotFound(f"No user is named {name!r}.")


@verb("GET", "/users", "users")
async def users(request: Asking) -> UserList:
    """List the users."""
    found = await reading(request, node_of(request).registry.users)
    return UserList(users=[_told(row) for row in found])


@verb("POST", "/users", "add-user", 404, 409, status=201)
async def add_user(request: Asking, data: JSONBody[UserGiven]) -> UserTold:
    """Add a user of a party."""
    registry = node_of(request).registry

    def work(tx: Tx) -> UserTold:
        registry.add_user(tx, data.name, data.party, data.role, data.password or "")
        return _user(request, tx, data.name)

    return await writing(request, work)


@verb("PUT", "/users/{name:str}/password", "set-password", 404)
async def set_password(
    request: Asking, name: UserId, data: JSONBody[PasswordGiven]
) -> UserTold:
    """Give a user a new password; the old one ends at once."""
    registry = node_of(request).registry

    def work(tx: Tx) -> UserTold:
        registry.set_user(tx, name, password=data.password)
        return _user(request, tx, name)

    return await writing(request, work)


@verb("POST", "/users/{name:str}/disable", "disable-user", 404, 409)
async def disable_user(request: Asking, name: UserId) -> UserTold:
    """Let a user in no longer, from now on; its tokens neither."""
    if name == caller_of(request).user:
        raise Conflict("Nobody disables themselves; another administrator does that.")
    return await _disable(request, name, disabled=True)


@verb("POST", "/users/{name:str}/enable", "enable-user", 404)
async def enable_user(request: Asking, name: UserId) -> UserTold:
    """Let a user in again."""
    return await _disable(request, name, disabled=False)


async def _disable(request: Asking, name: str, *, disabled: bool) -> UserTold:
    registry = node_of(request).registry

    def work(tx: Tx) -> UserTold:
        registry.set_user(tx, name, disabled=disabled)
        return _user(request, tx, name)

    return await writing(request, work)


@verb("POST", "/users/{name:str}/tokens", "add-token", 404, status=201)
async def add_token(
    request: Asking, name: UserId, data: JSONBody[TokenGiven]
) -> TokenTold:
    """Make a bearer token for a user; it is told in this answer only."""
    registry = node_of(request).registry
    expires = None if data.expires is None else read_time(data.expires, "expires")

    def work(tx: Tx) -> str:
        if expires is not None and expires <= tx.clock.now():
            raise BadRequest(f"expires is {data.expires}, expected a time to come.")
        return registry.add_token(tx, name, data.label, expires)

    token = await writing(request, work)
    return TokenTold(token=token, user=name, label=data.label)


@verb("DELETE", "/users/{name:str}/tokens", "drop-tokens", 404)
async def drop_tokens(
    request: Asking,
    name: UserId,
    label: Annotated[
        str | None,
        QueryParameter(pattern=LABEL, description="Only those with it."),
    ] = None,
) -> TokensEnded:
    """End a user's tokens, those of one label or all."""
    registry = node_of(request).registry

    def work(tx: Tx) -> TokensEnded:
        _user(request, tx, name)
        return TokensEnded(ended=registry.drop_tokens(tx, name, label or ""))

    return await writing(request, work)


HANDLERS: tuple[Any, ...] = (
    users,
    add_user,
    set_password,
    disable_user,
    enable_user,
    add_token,
    drop_tokens,
)
