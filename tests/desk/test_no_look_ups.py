"""Nothing that an object says is ever asked about: a walk through the code.

PAP:RED forbids it and PAP:AMBER allows some of it. This node does none, at any level:
each module that can open a line to elsewhere is here, with whose address it is.
"""

from __future__ import annotations

import ast

from serantau.rules.event import ABROAD
from sources import SOURCE, modules_with

LINES = {
    *("httpx2", "smtplib", "imaplib", "socket", "ssl", "urllib.request", "http.client"),
    *("ftplib", "poplib", "telnetlib", "requests", "httpx", "aiohttp", "dns"),
}
SPEAKERS = {
    "desk/asked.py": "names the errors of a client",
    "desk/case_verify.py": "a peer's node, as the configuration says",
    "desk/case_watch.py": "only the name of this machine",
    "desk/checkup.py": "peers and the mail server, as the configuration says",
    "desk/federate.py": "peers, as a person added them",
    "desk/lane_ways.py": "feeds, as the configuration says",
    "desk/lane_work.py": "only the name of this machine",
    "desk/sightings.py": "only the name of this machine",
    "desk/telling.py": "only the name of this machine",
    "lane/address.py": "turns addresses into bytes, and asks nobody",
    "lane/cluster.py": "a Ray cluster, as the configuration says",
    "wire/client.py": "a peer",
    "wire/connection.py": "a peer",
    "wire/download.py": "feeds and files of ranges, as the configuration says",
    "wire/fetch.py": "MISP feeds that a person names",
    "wire/hints.py": "a peer",
    "wire/mail.py": "the mail server of the configuration",
    "wire/mailbox.py": "the mailbox of the configuration",
    "wire/oidc.py": "the provider at which people sign in, as the configuration says",
    "wire/webhook.py": "a contact that a person added",
}


def modules_with_lines() -> set[str]:
    found = set()
    for name, tree in modules_with(*LINES):
        # Doors listen, and the demo is no node.
        if name.startswith("apps/") or name in {"testing.py", "testing_line.py"}:
            continue
        for node in ast.walk(tree):
            imported = (
                [one.name for one in node.names]
                if isinstance(node, ast.Import)
                else [str(node.module)]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            if any(one in LINES or one.split(".")[0] in LINES for one in imported):
                found.add(name)
    return found


def test_every_line_to_elsewhere_goes_where_a_person_said() -> None:
    found = modules_with_lines()
    new = found - SPEAKERS.keys()
    assert not new, f"{new} can ask elsewhere: no value of an object may be asked about"
    gone = {name for name in SPEAKERS.keys() - found if (SOURCE / name).exists()}
    assert not gone, f"{gone} cannot any more: take them off the list"


def test_rows_tell_other_members_and_owners_of_no_indicator() -> None:
    from serantau.desk.notify import NEEDED

    assert "indicators" not in {*ABROAD, *NEEDED}
