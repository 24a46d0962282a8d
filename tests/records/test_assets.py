"""Assets: who answers for what, and when."""

import pytest

from serantau.errors import BadRequest, Conflict, NotFound
from serantau.records.assets import Assets
from serantau.rules.asset import Asset, Kind
from serantau.rules.party import Kind as PartyKind
from stores import Store


@pytest.fixture
def parties(store: Store) -> Store:
    store.put("bank", PartyKind.OPERATOR, client_of="th")
    store.put("shop", PartyKind.OPERATOR)
    return store


def asset(party: str = "bank", **more: object) -> Asset:
    said: dict[str, object] = {
        "member": "",
        "kind": Kind.PREFIX,
        "value": "203.0.113.0/24",
        **more,
    }
    return Asset(party=party, **said)  # type: ignore[arg-type]


def test_an_asset_is_stored_in_its_one_form_with_its_member(parties: Store) -> None:
    assets = Assets()
    with parties.db.write() as tx:
        assert assets.add(tx, asset(kind=Kind.ASN, value="as64500", source="whois"))
        assert assets.add(tx, asset("vn", kind=Kind.CCTLD, value=".VN"))
        assert assets.add(tx, asset("shop", kind=Kind.DOMAIN, value="Shop.Example."))
        assert assets.add(tx, asset("jp", kind=Kind.COUNTRY, value="jp"))
    with parties.db.read() as tx:
        found = {(one.party, one.member, one.kind, one.value) for one in assets.all(tx)}
        assert [one.source for one in assets.of(tx, "bank")] == ["whois"]
    assert found == {
        ("bank", "th", Kind.ASN, "64500"),
        ("vn", "vn", Kind.CCTLD, "vn"),
        ("shop", "th", Kind.DOMAIN, "shop.example"),
        ("jp", "", Kind.COUNTRY, "JP"),
    }


def test_adding_an_asset_again_changes_it_and_makes_no_second(parties: Store) -> None:
    assets = Assets()
    with parties.db.write() as tx:
        assert assets.add(tx, asset())
        assert not assets.add(tx, asset(until=500, source="letter"))
    with parties.db.read() as tx:
        (one,) = assets.all(tx)
    assert (one.since, one.until, one.source) == (None, 500, "letter")


def test_two_parties_never_have_one_asset_at_one_time(parties: Store) -> None:
    assets = Assets()
    with parties.db.write() as tx:
        assets.add(tx, asset(since=100, until=500))
        for since, until in ((None, None), (499, None), (None, 101), (200, 300)):
            with pytest.raises(Conflict, match="is bank's"):
                assets.add(tx, asset("shop", since=since, until=until))
        # It may change hands, and come back.
        assert assets.add(tx, asset("shop", since=500, until=900))
        assert assets.add(tx, asset(since=900))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.PREFIX, "203.0.113.7/24"),
        (Kind.ASN, "AS"),
        (Kind.DOMAIN, "localhost"),
        (Kind.COUNTRY, "Thailand"),
    ],
)
def test_what_is_none_of_its_kind_is_refused(
    parties: Store, kind: Kind, value: str
) -> None:
    with parties.db.write() as tx, pytest.raises(BadRequest, match="is no"):
        Assets().add(tx, asset(kind=kind, value=value))


def test_an_asset_ends_after_it_begins_and_has_a_known_party(parties: Store) -> None:
    with parties.db.write() as tx:
        with pytest.raises(BadRequest, match="before it begins"):
            Assets().add(tx, asset(since=5, until=5))
        with pytest.raises(NotFound, match="nobody"):
            Assets().add(tx, asset("nobody"))


def test_a_removed_asset_is_gone(parties: Store) -> None:
    assets = Assets()
    with parties.db.write() as tx:
        assets.add(tx, asset())
        assert assets.remove(tx, "bank", Kind.PREFIX, "203.0.113.0/24") == 1
        with pytest.raises(NotFound, match="bank has no prefix"):
            assets.remove(tx, "bank", Kind.PREFIX, "203.0.113.0/24")
    with parties.db.read() as tx:
        assert assets.all(tx) == []
