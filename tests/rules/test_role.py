"""What each role may do, and what it never may."""

import pytest

from serantau.rules.role import (
    OUTSIDE,
    RANKS,
    ROLES,
    Power,
    markdown,
    powers_of,
    reaches,
)


def test_an_unknown_role_may_do_nothing() -> None:
    assert powers_of("root", own=True) == frozenset()
    assert not reaches("root", "reader")


@pytest.mark.parametrize("role", ROLES)
def test_people_of_another_party_never_have_more_than_outsiders_have(role: str) -> None:
    assert powers_of(role, own=False) <= OUTSIDE


def test_only_who_leads_lets_something_go_and_only_some_decide_who_gets_what() -> None:
    def having(power: Power) -> set[str]:
        return {name for name in ROLES if power in powers_of(name, own=True)}

    assert having(Power.SEND) == {"lead", "coordinator", "admin"}
    assert having(Power.DECIDE) == {"coordinator", "admin"}
    assert having(Power.ADMIN) == {"admin"}
    assert having(Power.AUDIT) == {"auditor", "admin"}


def test_the_api_takes_roles_of_the_pages_for_nothing() -> None:
    assert [name for name in ROLES if not reaches(name, "reader")] == [
        "policy",
        "operator",
        "guest",
        "auditor",
    ]
    assert [name for name in ROLES if reaches(name, RANKS[-1])] == ["admin"]


def test_the_table_for_the_docs_has_every_role_and_power() -> None:
    rows = markdown().splitlines()
    assert len(rows) == 2 + len(ROLES)
    assert all(power in rows[0] for power in Power)
