"""One node writes to a party without a node, and all nodes see the same case."""

from pathlib import Path

from case_mails import MM, answer
from couriers import read
from serantau.desk.case_mail import CaseMail
from serantau.desk.case_post import Guests
from serantau.desk.case_replies import CaseReplies, Fate
from serantau.desk.case_verify import verify
from serantau.desk.cases import Casework
from serantau.desk.contacts import Contacts
from serantau.node import Node
from serantau.records.case_mail import Mails
from serantau.rules.case_mail import tag
from serantau.testing import Region


def said(node: Node, case: str) -> list[tuple[str, str, tuple[str, ...]]]:
    return [
        (line.entry.description, line.entry.mail_signature, line.flags)
        for line in Casework(node).show(case).lines
        if line.entry.for_ref
    ]


def test_only_one_node_writes_and_what_is_answered_is_the_same_everywhere(
    tmp_path: Path,
) -> None:
    with Region(tmp_path, members=["th", "sg"]) as region:
        region.mesh()
        th, sg = region["th"].node, region["sg"].node
        for site in region:
            site.party("mm")
            Contacts(site.node).put(MM)
        case = Casework(th).open("Phishing kit", ["sg"]).id
        Guests(th).invite_by_mail(case, ["mm"])
        region.sync()
        with th.db.read() as tx:
            _, party = th.registry.party(tx, "mm")
        sg_knows = {one.party for one in Casework(sg).show(case).parts}
        assert party.identity in sg_knows
        with sg.db.write() as tx:
            sg.registry.put_party(tx, party)
        region.sync()
        # Both have a card of mm; one of them invited it.
        assert CaseMail(th).plan() == 1
        assert CaseMail(sg).plan() == 0
        with sg.db.read() as tx:
            assert not Mails().work(tx)
        (thread,) = CaseMail(th).threads(case)
        letter = read(
            f"Subject: {tag(case, thread.token)}\r\nMessage-ID: <x@th>\r\n\r\n".encode()
        )
        assert CaseReplies(th).take_in(answer(letter, "We see it.")) is Fate.HELD
        CaseReplies(th).approve(1)
        # A node that did not invite mm does not speak for it.
        assert CaseReplies(sg).take_in(answer(letter, "We see it.")) is Fate.STRANGER
        region.sync()
        assert (
            said(sg, case)
            == said(th, case)
            == [("", "bad", ()), ("We see it.", "bad", ())]
        )
        hashes = {verify(site.node, case).here.hash for site in region}
        assert len(hashes) == 1
        # sg owns the case by and by, and takes over writing to mm as well.
        Casework(th).hand_over(case, "sg")
        region.sync()
        Casework(sg).take(case)
        Guests(sg).invite_by_mail(case, ["mm"])
        region.sync()
        assert CaseMail(sg).plan() == 1
        Casework(th).assess(case, description="more")
        assert CaseMail(th).plan() == 0
