"""Writing into a case by forms: whom it reaches is shown first, and nothing is lost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from case_desk import Desk, case_desk
from serantau.desk.case_private import Private
from serantau.desk.cases import Casework, View
from serantau.records.sessions import Person
from visitors import Visitor, text_of


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with case_desk(tmp_path_factory.mktemp("acts")) as desk:
        yield desk


def hidden(answer: Any) -> dict[str, str]:
    """The hidden fields of an act's form as a page gave it."""
    found = dict(
        re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', answer.text)
    )
    return {name: value for name, value in found.items() if name != "csrf"}


def write(who: Visitor, path: str, **fields: Any) -> Any:
    """Fill in a form, look at whom it reaches, and write it."""
    looked = who.send(path, **{**hidden(who.get(path)), **fields})
    assert looked.status_code == 200, text_of(looked.text)[-900:]
    assert "Nothing is written yet" in looked.text
    return who.send(path, **{**fields, **hidden(looked)})


def shown(desk: Desk, case: str, site: str = "th") -> View:
    return Casework(desk.region[site].node).show(case)


def test_a_case_is_opened_with_two_forms_and_reaches_whom_was_shown(desk: Desk) -> None:
    ana = desk.visitor("analyst")
    fields = {
        "name": "ฟิชชิง",
        "parties": ["sg", "jp"],
        "pasted": f"seen: bank[.]sg, {desk.evidence[0]} and {desk.evidence[0][:-1]}x",
        "severity_level": "high",
        "tlp": "TLP:AMBER",
        "incident_class": "fraud:phishing",
    }
    blank = ana.get("/cases/open").text
    assert 'value="medium" selected' in blank
    assert 'value="TLP:AMBER" selected' in blank
    looked = ana.send("/cases/open", **fields)
    text = text_of(looked.text)
    assert "Nothing is written yet" in text
    assert "Who gets it jp new in the case It takes the log from this node. sg" in text
    assert "An object came from it" not in text
    assert "A name is below its country's. bank[.]sg" in text
    before = len(Casework(desk.pages.node).board())

    # Who was not shown before is shown before it is invited.
    more = {**fields, "parties": ["sg", "jp", "kh"], **hidden(looked)}
    again = ana.send("/cases/open", **more)
    assert "Who does not, and why kh : withheld (party-blocked)" in text_of(again.text)
    refused = ana.send("/cases/open", **{**more, **hidden(again)})
    assert refused.status_code == 422
    assert "kh would not get the case" in text_of(refused.text)
    assert len(Casework(desk.pages.node).board()) == before

    sent = ana.send("/cases/open", **fields, **hidden(looked))
    assert sent.status_code == 303
    case = sent.headers["location"].partition("?")[0].rpartition("/")[2]
    view = shown(desk, case)
    assert {part.name for part in view.parts} == {"th", "sg", "jp"}
    assert (view.state.name, view.state.severity) == ("ฟิชชิง", "high")
    assert list(view.state.evidence) == [desk.evidence[0]]
    assert [note.text for note in view.notes] == [fields["pasted"]]


def test_every_act_is_a_form_that_writes_its_entry(desk: Desk) -> None:
    region, th = (
        desk.region,
        desk.visitor("analyst", person=Person(zone="Asia/Bangkok")),
    )
    case = Casework(region["sg"].node).open("From sg", ["th", "jp"]).id
    region.sync()
    path = f"/cases/{case}/do"
    text = th.read(f"/cases/{case}")
    assert "We have not said yet that we have it" in text

    def act(which: str, **fields: Any) -> View:
        sent = write(th, f"{path}/{which}", **fields)
        assert sent.status_code == 303, text_of(sent.text)[-900:]
        assert "said=written" in sent.headers["location"]
        return shown(desk, case)

    act("ack", text="got it")
    view = act("assess", stance="accepted", **{"factor-function": "critical-denied"})
    own = next(part.party for part in view.parts if part.name == "th")
    assert view.state.parts[own].state == "accepted"
    assert view.state.parts[own].severity == "emergency"
    view = act("task", name="Take down", party=own, due="2026-03-01T08:00")
    ((task, held),) = view.state.tasks.items()
    assert held.due == "2026-03-01T01:00:00.000Z"
    assert act("move", task=task, state="doing").state.tasks[task].state == "doing"
    view = act("evidence", objects="\n".join(desk.evidence[:2]), text="two")
    assert list(view.state.evidence) == desk.evidence[:2]
    sg = next(part.party for part in view.parts if part.name == "sg")
    view = act("ask", name="Logs", parties=[sg], languages="en, th", limits="no names")
    assert [ask.to for ask in view.state.asks.values()] == [{sg: "open"}]
    assert act("embargo", step="propose", until="2026-03-02T08:00").state.embargo.by
    mine = view.lines[-1].entry.id
    view = act("correct", entry=mine, name="Logs of May")
    assert view.state.asks[mine].name == "Logs of May"
    # Offered to us by its owner: taken, then ours to close and open again.
    region.sync()
    Casework(region["sg"].node).hand_over(case, "th")
    region.sync()
    assert "This case was offered to us" in th.read(f"/cases/{case}")
    act("take")
    act("invite", parties=["my-secret-nickname"])
    act("handover", party=sg)
    act("handover", party=own)
    assert act("close", text="done").state.closed
    view = act("reopen")
    assert not view.state.closed
    region.sync()
    assert shown(desk, case, "sg").state == view.state


def test_an_ask_is_answered_straight_from_the_list(desk: Desk) -> None:
    ana, case = desk.visitor("analyst"), desk.case
    assert f"/cases/{case}/do/answer" in ana.get("/cases").text
    (ask,) = shown(desk, case).state.asks
    path = f"/cases/{case}/do/answer"
    assert f'value="{ask}" selected' in ana.get(f"{path}?ask={ask}").text
    # Declining needs its reason, referring its party; what was typed stays.
    for how in ("decline", "refer"):
        sent = write(ana, path, ask=ask, how=how)
        assert sent.status_code == 422
        assert shown(desk, case).state.asks[ask].to != {}
        assert f'value="{how}" selected' in sent.text
    sent = write(ana, path, ask=ask, how="decline", text="it moved elsewhere")
    assert sent.status_code == 303
    (answer,) = shown(desk, case).state.asks[ask].to.values()
    assert answer == "declined"


def test_two_who_write_at_once_lose_nothing_and_see_each_other(desk: Desk) -> None:
    ana, bo = desk.visitor("analyst"), desk.visitor("lead")
    path = f"/cases/{desk.case}/do/assess"
    first, second = (hidden(each.get(path)) for each in (ana, bo))
    mine = {"description": "ana found the server"}
    looked = ana.send(path, **mine, **first)
    assert "While this page was open" not in looked.text

    his = bo.send(path, description="bo found the buyer", **second)
    sent = bo.send(path, description="bo found the buyer", **hidden(his))
    assert sent.status_code == 303

    # She says yes to what she saw: it is another case by now, and nothing is written.
    stale = ana.send(path, **mine, **hidden(looked))
    assert stale.status_code == 409
    text = text_of(stale.text)
    assert "While this page was open, others wrote" in text
    assert "bo found the buyer" in text
    assert "ana found the server" in stale.text
    assert ana.send(path, **mine, **hidden(stale)).status_code == 303
    log = [line.entry.description for line in shown(desk, desk.case).lines]
    assert "ana found the server" in log
    assert "bo found the buyer" in log


def test_nothing_is_written_before_it_was_seen_whom_it_reaches(desk: Desk) -> None:
    ana, th = desk.visitor("analyst"), desk.region["th"]
    path = f"/cases/{desk.case}/do/evidence"
    before = len(shown(desk, desk.case).lines)
    form = {"objects": desk.evidence[2], **hidden(ana.get(path))}
    blind = ana.send(path, **form, sure="1", reach="0" * 32)
    assert blind.status_code == 409
    text = text_of(blind.text)
    assert "jp It takes the log from this node" in text
    assert f"jp {desk.evidence[2]} : withheld (no-audience)" in text
    seen = {**form, **hidden(blind)}
    th.party("jp", blocked=True)
    try:
        again = ana.send(path, **seen)
        assert again.status_code == 409
        assert "Who does not, and why jp : withheld (party-blocked)" in text_of(
            again.text
        )
    finally:
        th.party("jp", blocked=False)
    assert len(shown(desk, desk.case).lines) == before


def test_rubbish_is_told_beside_its_field_and_writes_nothing(desk: Desk) -> None:
    ana, case = desk.visitor("analyst"), desk.case
    before = len(shown(desk, case).lines)
    path = f"/cases/{case}/do"
    for act, fields in (
        ("task", {"name": ""}),
        ("task", {"name": "x" * 10_000}),
        ("task", {"name": "x", "due": "tomorrow"}),
        ("task", {"name": "x", "due": "99999-01-01T00:00"}),
        ("task", {"name": "x", "party": "identity--x"}),
        ("move", {"task": "case-entry--x", "state": "done"}),
        ("evidence", {"objects": "nothing of that"}),
        ("evidence", {"objects": "indicator--00000000-0000-4000-8000-000000000000"}),
        ("assess", {"description": "x" * 30_000}),
        ("assess", {"description": "\x00"}),
        ("invite", {"parties": ["nobody"]}),
        ("ask", {"name": "x", "parties": []}),
    ):
        sent = ana.send(f"{path}/{act}", **fields, **hidden(ana.get(f"{path}/{act}")))
        assert sent.status_code == 422, (act, fields)
    assert ana.get(f"{path}/explode").status_code == 404
    assert ana.send("/cases/open", name="", tlp="TLP:RED").status_code == 422
    assert len(shown(desk, case).lines) == before
    # The desk's own rules hold: sg owns nothing here, so nothing can be taken.
    assert write(ana, f"{path}/take").status_code == 422
    assert write(ana, f"{path}/assess").status_code == 422


def test_what_is_kept_here_is_kept_by_forms_and_never_sent(desk: Desk) -> None:
    ana, case = desk.visitor("analyst"), desk.other
    path, before = f"/cases/{case}/private", shown(desk, case).summary.entries
    assert ana.send(f"{path}/note", note="the bank asked us").status_code == 303
    assert ana.send(f"{path}/task", own_task="ring them").status_code == 303
    file = {"file": ("../../a\u202eb.bin", b"\x00<script>", "text/html")}
    assert ana.send(f"{path}/file", files=file).status_code == 303
    view = shown(desk, case)
    assert [note.text for note in view.notes] == ["the bank asked us"]
    assert [file.name for file in view.files] == ["ab.bin"]
    number = str(view.tasks[0].n)
    assert ana.send(f"{path}/done", number=number).status_code == 303
    assert shown(desk, case).tasks[0].done
    assert shown(desk, case).summary.entries == before

    kept = "what I typed " + "x" * 20_000
    wrong = ana.send(f"{path}/note", note=kept)
    assert wrong.status_code == 422
    assert kept in wrong.text
    assert ana.send(f"{path}/task", own_task="x", own_due="soon").status_code == 422
    assert ana.send(f"{path}/file").status_code == 422
    assert ana.send(f"{path}/done", number=number).status_code == 404
    assert ana.send(f"/cases/{case}/mail", number="1", how="drop").status_code == 404
    assert ana.send(f"/cases/{case}/mail", number="x", how="eat").status_code == 422
    assert Private(desk.pages.node).file(case, view.files[0].n)[1] == b"\x00<script>"
