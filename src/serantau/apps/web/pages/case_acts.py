"""What a person writes into a case: one form an act, and what is kept beside it.

What leaves is shown first: who gets it and who does not, and what others wrote since
the page was opened. Only then it is written. What was typed is kept all the while.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from litestar import Response

from serantau.apps.web.hall import Asking
from serantau.apps.web.pages.asked import whole, whole_of
from serantau.apps.web.pages.case import (
    case_name,
    found,
    path_of,
    show_case,
    viewed,
    words_for,
)
from serantau.apps.web.pages.case_entries import (
    ACTS,
    Act,
    Given,
    Here,
    named,
)
from serantau.apps.web.pages.case_fields import (
    line,
    read_fields,
    time,
)
from serantau.apps.web.pages.case_words import (
    Said,
    say,
)
from serantau.apps.web.pages.door import (
    action,
    doing,
    gone_to,
    node_of,
    page,
    reader_zone,
    shown,
    words_of,
)
from serantau.apps.web.pages.form import Form
from serantau.desk.case_mail import CaseMail
from serantau.desk.case_private import MOST_FILE, Private
from serantau.desk.case_reach import Reach, Receiver
from serantau.desk.case_replies import CaseReplies
from serantau.desk.cases import Unseen, View
from serantau.errors import NotFound, TheirError
from serantau.rules.role import Power

# The form of an act


@dataclass(frozen=True, slots=True)
class Sight:
    """What a person sees before something is written.

    receivers: who has the log then. unseen: objects that some of them may not have.
    last: the stamp of the last entry here. news: what came since the form was opened.
    """

    receivers: Sequence[Receiver]
    unseen: Sequence[Unseen]
    last: int
    news: Sequence[Said]

    @property
    def digest(self) -> str:
        """Name what was seen: another text when it changes."""
        return digest_of(self.receivers, self.unseen)


def digest_of(*seen: Sequence[object]) -> str:
    """Name what a person was shown."""
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:32]


@page("/cases/{case:str}/do/{act:str}", Power.WORK)
async def act_form(request: Asking) -> Response[bytes]:
    """Ask for what is to be written; what stands in the address is filled in."""
    here, act = await _here(request)
    form = Form(request.query_params.multi_items(), here._)
    seen = whole(request, "seen")
    sight = await doing(request, lambda: _sight(here, act, {}, seen))
    return await _form(request, here, act, form, sight, sure=False)


@action("/cases/{case:str}/do/{act:str}", Power.WORK)
async def act_done(request: Asking, form: Form) -> Response[bytes]:
    """Show whom it reaches; write it when that was seen."""
    here, act = await _here(request)
    fields = await doing(request, lambda: act.fields(here))
    given = read_fields(form, fields, reader_zone(request), words_of(request))
    seen = whole_of(form.given("last"))
    try:
        sight = await doing(request, lambda: _sight(here, act, given, seen))
    except TheirError as fault:
        form.fault("", str(fault))
        sight = await doing(request, lambda: _sight(here, act, {}, seen))
    looked = (
        form.ticked("sure") and form.given("reach") == sight.digest and not sight.news
    )
    if form.ok and looked:
        try:
            await doing(request, lambda: act.do(here, given))
        except TheirError as fault:
            form.fault("", str(fault))
        else:
            return gone_to(request, path_of(here.case), "written")
    status = 422 if not form.ok else 409 if form.ticked("sure") else 200
    return await _form(request, here, act, form, sight, sure=form.ok, status=status)


async def _here(request: Asking) -> tuple[Here, Act]:
    act = ACTS.get(str(request.path_params["act"]))
    if act is None:
        raise NotFound
    view = await viewed(request)
    return Here(node_of(request), view, words_of(request)), act


def _sight(here: Here, act: Act, given: Given, seen: int) -> Sight:
    reach, _ = Reach(here.node), here._
    invited = given.get("parties", ()) if act is ACTS["invite"] else ()
    by_mail = bool(given.get("by_mail"))
    receivers = reach.of(here.case, invited, by_mail=by_mail)
    unseen: list[Unseen] = []
    if act is ACTS["evidence"] and given:
        unseen = reach.unseen(here.case, named(here, given))
    last, fresh = (
        reach.since(here.case, seen) if seen else (reach.since(here.case, 0)[0], [])
    )
    news = [say(one, here.view.state, here.view.name, _) for one in fresh]
    return Sight(receivers, unseen, last, news)


async def _form(
    request: Asking,
    here: Here,
    act: Act,
    form: Form,
    sight: Sight,
    *,
    sure: bool,
    status: int = 200,
) -> Response[bytes]:
    fields = await doing(request, lambda: act.fields(here))
    return await shown(
        request,
        "case-act.html",
        status=status,
        case=here.view.summary,
        act=act,
        key=request.path_params["act"],
        fields=fields,
        form=form,
        sight=sight,
        sure=sure,
        words=words_for(here._),
        name=here.view.name,
    )


# What stays here


@action("/cases/{case:str}/private/note", Power.WORK)
async def note(request: Asking, form: Form) -> Response[bytes]:
    """Keep a private note."""
    said = form.text("note")
    return await _kept(request, form, lambda it, case: it.note(case, said))


@action("/cases/{case:str}/private/task", Power.WORK)
async def own_task(request: Asking, form: Form) -> Response[bytes]:
    """Keep a private task."""
    fields = [line("own_task", "", needed=True, most=300), time("own_due", "")]
    given = read_fields(form, fields, reader_zone(request), words_of(request))
    return await _kept(
        request,
        form,
        lambda it, case: it.add_task(case, given["own_task"], given["own_due"]),
    )


@action("/cases/{case:str}/private/done", Power.WORK)
async def own_done(request: Asking, form: Form) -> Response[bytes]:
    """Say that a private task is done."""
    number = form.whole("number", 1, 2**53)
    return await _kept(request, form, lambda it, case: it.end_task(case, number))


@action("/cases/{case:str}/private/file", Power.WORK, limit=MOST_FILE + 1_000_000)
async def own_file(request: Asking, form: Form) -> Response[bytes]:
    """Keep a private file."""
    _ = words_of(request)
    title, body = form.file_name("file"), await form.file("file", MOST_FILE)
    if not title and form.ok:
        form.fault("file", _("This is needed."))
    return await _kept(request, form, lambda it, case: it.add_file(case, title, body))


async def _kept(
    request: Asking, form: Form, work: Callable[[Private, str], object]
) -> Response[bytes]:
    node, name = node_of(request), case_name(request)
    if form.ok:
        await doing(request, lambda: found(partial(work, Private(node), name)))
        return gone_to(request, path_of(name), "kept-here")
    view = await viewed(request)
    return await show_case(request, view, form=form, status=422)


# Mail that a person decides on


@action("/cases/{case:str}/mail", Power.WORK)
async def decide_mail(request: Asking, form: Form) -> Response[bytes]:
    """Let a held answer in or drop it; say what became of a letter."""
    node, name = node_of(request), case_name(request)
    how = form.choice("how", ("approve", "drop", "sent", "again"))
    number = form.whole("number", 1, 2**53)
    view = await viewed(request)

    def work() -> None:
        if how in {"approve", "drop"}:
            replies = CaseReplies(node)
            _of_case(replies.one(number)[1].case_id, view)
            (replies.approve if how == "approve" else replies.drop)(number)
        else:
            mail = CaseMail(node)
            of = {post.n: thread.case_id for post, thread in mail.letters(all_=True)}
            _of_case(of.get(number, ""), view)
            mail.settle(number, sent=how == "sent")

    if form.ok:
        await doing(request, work)
        return gone_to(request, path_of(name), "mail-decided")
    return await show_case(request, view, form=form, status=422)


def _of_case(case: str, view: View) -> None:
    if case != view.summary.id:
        raise NotFound("There is no such mail in this case.")


HANDLERS = (act_form, act_done, note, own_task, own_done, own_file, decide_mail)
