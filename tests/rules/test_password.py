"""What a password must be."""

import pytest

from serantau.rules.password import Weak, weakness


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("eleven-char", Weak.SHORT),
        ("x" * 1001, Weak.LONG),
        ("maliwan.srisuk", Weak.NAME),
        ("Maliwan.Srisuk2026", Weak.NAME),
        ("Password12345!", Weak.COMMON),
        ("--Pass-Word--2026", Weak.COMMON),
        ("correct horse battery staple", Weak.COMMON),
        ("aaaaaaaaaaaa", Weak.COMMON),
        ("abc1abc1abc1abc", Weak.COMMON),
        ("hunter2hunter2", Weak.COMMON),
        ("weak-weak-weak", Weak.COMMON),
        ("123456789012", Weak.COMMON),
        ("qwertyuiop123456", Weak.COMMON),
        ("zyxwvutsrqpo", Weak.COMMON),
        ("............", Weak.COMMON),
        ("four plain words here", None),
        ("correct horse battery", None),
        ("ฝนตกหนักที่บางกอกน้อย", None),
        ("maliwan.srisuk eats noodles", None),
    ],
)
def test_a_password_that_is_guessed_first_is_refused_with_the_reason(
    password: str, why: Weak | None
) -> None:
    assert weakness(password, "maliwan.srisuk", "") is why
