"""Addresses that are one address, and nothing besides."""

import pytest

from serantau.rules.contact import Contact, Kind, read_address, read_language


@pytest.mark.parametrize(
    ("kind", "text", "read"),
    [
        (Kind.MAIL, " noc@Bank.Example.TH ", "noc@bank.example.th"),
        (Kind.MAIL, "a.b+c@ธนาคาร.ไทย", "a.b+c@xn--42c3bd5b5db.xn--o3cw4h"),
        (Kind.WEBHOOK, "https://x.example:8443/a?b=c", "https://x.example:8443/a?b=c"),
        (Kind.WEBHOOK, "http://127.0.0.1:80/x", "http://127.0.0.1:80/x"),
        (Kind.FOLDER, "/srv/drop/", "/srv/drop"),
        (Kind.FOLDER, "/", "/"),
    ],
)
def test_an_address_has_one_form(kind: Kind, text: str, read: str) -> None:
    assert read_address(kind, text) == read
    assert read_address(kind, read) == read


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Kind.MAIL, ""),
        (Kind.MAIL, "noc"),
        (Kind.MAIL, "noc@localhost"),
        (Kind.MAIL, "a@b.example,c@d.example"),
        (Kind.MAIL, "a@b.example\r\nBcc: c@d.example"),
        (Kind.MAIL, "Name <a@b.example>"),
        (Kind.MAIL, '"a b"@c.example'),
        (Kind.MAIL, "a..b@c.example"),
        (Kind.MAIL, f"{'a' * 65}@c.example"),
        (Kind.MAIL, "ผู้ดูแล@c.example"),
        (Kind.MAIL, "a@-c.example"),
        (Kind.WEBHOOK, "x.example/hook"),
        (Kind.WEBHOOK, "http://x.example/"),
        (Kind.WEBHOOK, "ftp://x.example/"),
        (Kind.WEBHOOK, "https://"),
        (Kind.WEBHOOK, "https://u:p@x.example/"),
        (Kind.WEBHOOK, "https://x.example/#a"),
        (Kind.WEBHOOK, "https://x.example:0/"),
        (Kind.WEBHOOK, "https://x.example:99999/"),
        (Kind.WEBHOOK, "https://x.example/a b"),
        (Kind.FOLDER, "drop"),
        (Kind.FOLDER, "/srv/../etc"),
    ],
)
def test_what_is_not_one_address_is_refused(kind: Kind, text: str) -> None:
    with pytest.raises(ValueError, match=r" "):
        read_address(kind, text)


def test_languages_are_tags() -> None:
    assert read_language(" pt-TL ") == "pt-TL"
    for wrong in ("", "Thai!", "../en", "e"):
        with pytest.raises(ValueError, match="no language tag"):
            read_language(wrong)


def test_a_secret_is_not_shown() -> None:
    assert "s3cret" not in repr(Contact("p", Kind.WEBHOOK, "x", secret="s3cret"))
