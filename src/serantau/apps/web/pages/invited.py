"""The page behind an invitation. Opening it changes nothing: sending its form does."""

from __future__ import annotations

from litestar import Response

from serantau.apps.web.hall import Asking, Lane, hall_of
from serantau.apps.web.pages import reader
from serantau.apps.web.pages.door import (
    action,
    language_of,
    node_of,
    page,
    reading,
    shown,
    words_of,
)
from serantau.apps.web.pages.form import Form
from serantau.apps.web.pages.signin import enter
from serantau.desk.signin import INVITED_PATH, LINK, Invited
from serantau.records.sessions import Person
from serantau.rules.password import weakness
from serantau.rules.role import ROLES

_LONGEST = 100


@page(INVITED_PATH, open_to_all=True)
async def invited(request: Asking) -> Response[bytes]:
    """Ask whom a link is for for a password."""
    secret = request.query_params.get("t", "")[:_LONGEST]
    return await _asking(request, secret, Form())


async def _asking(
    request: Asking, secret: str, form: Form, status: int = 200
) -> Response[bytes]:
    who = await _who(request, secret)
    if who is None:
        return await shown(request, "invited-over.html", status=404)
    reads = Person(
        language=who.person.language or language_of(request),
        zone=who.person.zone,
        calendar=who.person.calendar,
    )
    oidc = node_of(request).config.oidc
    return await shown(
        request,
        "invited.html",
        status=status,
        form=form,
        who=who,
        role=ROLES[who.role],
        secret=secret,
        reads=reads,
        provider=(oidc.title or oidc.issuer) if oidc.issuer else "",
        **reader.choices(words_of(request)),
    )


async def _who(request: Asking, secret: str) -> Invited | None:
    return await reading(
        request, lambda tx: hall_of(request).signin.invited(tx, secret)
    )


@action(INVITED_PATH, open_to_all=True)
async def accepting(request: Asking, form: Form) -> Response[bytes]:
    """Set the password, and sign in."""
    hall, _ = hall_of(request), words_of(request)
    secret = form.given("t")[:_LONGEST]
    reads = reader.read(form)
    password = new_password(request, form, await _who(request, secret))
    if not form.ok:
        return await _asking(request, secret, form, 422)

    def work() -> Invited | None:
        with hall.node.db.write() as tx:
            return hall.signin.accept(tx, secret, password, reads)

    # It is hashed while a writer waits: as rare as people are invited.
    done = await hall.run(Lane.WRITE, work)
    if done is None:
        return await _asking(request, secret, form, 404)
    return await enter(request, done.name, LINK, "/")


def new_password(request: Asking, form: Form, who: Invited | None) -> str:
    """Read a new password, typed twice."""
    _ = words_of(request)
    password = form.given("password")
    names = () if who is None else (who.name, who.person.full_name)
    why = weakness(password, *names, *hall_of(request).signin.names)
    if why is not None:
        form.fault("password", _(str(why)))
    elif form.given("again") != password:
        form.fault("again", _("This is not the same as above."))
    return password


HANDLERS = (invited, accepting)
