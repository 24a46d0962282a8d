"""What a person types is found, in any script, the same with both databases."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serantau.rules.stix import sco_id
from serantau.rules.text import fold
from stores import AMBER, GREEN, RED, Store, indicator, later, read

THAI = "พบมัลแวร์เรียกค่าไถ่โจมตีโรงพยาบาลในกรุงเทพ"
KHMER = "ការវាយប្រហារតាមអ៊ីនធឺណិតលើធនាគារ"
LAO = "ການໂຈມຕີທາງໄຊເບີຕໍ່ລະບົບລັດຖະບານ"
BURMESE = "ဆိုက်ဘာတိုက်ခိုက်မှုများကိုတွေ့ရှိရသည်"


@contextmanager
def only(store: Store, *made: dict[str, Any]) -> Iterator[None]:
    """Have these in the store for a while."""
    store.admit(*made)
    yield
    with store.db.write() as tx:
        for one in made:
            store.objects.delete(tx, one["id"])


def about(pattern: str, **more: Any) -> dict[str, Any]:
    return indicator("x", GREEN, pattern=pattern, **more)


def test_an_id_is_found_and_so_is_nothing_like_it(store: Store) -> None:
    one, two = indicator("x", GREEN), indicator("y", GREEN)
    store.admit(one, two, later(one, 2))
    assert store.search_ids(one["id"]) == [one["id"]]
    assert store.search_ids(f"  {one['id']}\n") == [one["id"]]
    assert store.search_ids(f"indicator--{uuid.uuid4()}") == []
    assert store.search_ids("indicator--") == []
    assert store.search_ids("--") == []


VALUES = [
    ("evil.example", "[domain-name:value = 'evil.example']"),
    ("EVIL[.]Example", "[domain-name:value = 'evil.example']"),
    ("evil(dot)example", "[domain-name:value = 'evil.example']"),
    ("198.51.100.7", "[ipv4-addr:value = '198.51.100.7']"),
    ("198[.]51[.]100[.]7", "[ipv4-addr:value = '198.51.100.7']"),
    ("2001:DB8::1", "[ipv6-addr:value = '2001:db8:0:0:0:0:0:1']"),
    ("hxxps://evil[.]example/a?b=c", "[url:value = 'https://evil.example/a?b=c']"),
    (
        "D41D8CD98F00B204E9800998ECF8427E",
        "[file:hashes.MD5 = 'd41d8cd98f00b204e9800998ecf8427e']",
    ),
    ("me[@]evil.example", "[email-addr:value = 'me@evil.example']"),
]


def test_a_value_is_found_defanged_or_not(
    store: Store,
) -> None:
    for typed, pattern in VALUES:
        one = about(pattern)
        with only(store, one, about("[domain-name:value = 'good.example']")):
            assert store.search_ids(typed) == [one["id"]]


PARTS = [
    (THAI, "เรียกค่าไถ่"),
    (THAI, "พยาบาล"),
    (KHMER, "អ៊ីនធឺណិត"),
    (KHMER, "ធនាគារ"),
    (LAO, "ໄຊເບີ"),
    (LAO, "ລັດຖະບານ"),
    (BURMESE, "တိုက်ခိုက်"),
    (BURMESE, "ဆိုက်ဘာ"),
    (THAI, "ถ่"),
    (BURMESE, "ည်"),
]


def test_a_part_of_a_text_without_spaces_is_found(
    store: Store,
) -> None:
    for text, part in PARTS:
        assert part in text
        one = indicator("x", GREEN, description=text)
        # Escaped and not, it is the same text.
        two = orjson.dumps(indicator("y", GREEN, description="@")).replace(
            b"@", text.encode("ascii", "backslashreplace")
        )
        three = indicator("z", GREEN, description="something else")
        with only(store, one, orjson.loads(two), three):
            found = set(store.search_ids(part))
        assert found == {one["id"], orjson.loads(two)["id"]}


FORMS = [
    ("Emotet Dropper", "emotet"),
    ("emotet", "EMOTET"),
    ("ÉMOTET", "émotet"),
    ("STRASSE", "straße"),
    ("\uff46\uff55\uff4c\uff4c", "full"),
    ("ﬁle", "FILE"),
    ("co\u200bbalt", "cobalt"),
    ("e\u0301tude", "étude"),
]


def test_case_and_form_of_letters_make_no_difference(
    store: Store,
) -> None:
    for text, typed in FORMS:
        one = indicator(text, GREEN)
        with only(store, one, indicator("other", GREEN)):
            assert store.search_ids(typed) == [one["id"]]


SIGNS = [
    ("100% sure", "100%", "1000 sure"),
    ("%", "%", "x"),
    ("snake_case", "e_c", "snakeXcase"),
    ("_", "_", "x"),
    ("back\\slash", "k\\s", "backslash"),
    ("\\%", "\\%", "x%"),
    ('say "hi there"', '"hi', "say hi there"),
    ("it's", "t's", "its"),
    ("a*b", "a*b", "aab"),
    ("a AND b", "a and b", "a b"),
    ("NEAR(x y)", "near(x", "near x"),
    ("semi;colon--", "n--", "semi colon"),
    ("^start", "^st", "start"),
    ("{col}: x", "{col}:", "col x"),
]


def test_signs_that_mean_something_to_a_database_are_plain_text(
    store: Store,
) -> None:
    for text, typed, not_it in SIGNS:
        pattern = "[domain-name:value = 'q.example']"
        one = indicator(text, GREEN, pattern=pattern)
        with only(store, one, indicator(not_it, GREEN, pattern=pattern)):
            assert store.search_ids(typed) == [one["id"]]


def test_short_texts_are_found_in_texts_and_not_in_the_writing_of_json(
    store: Store,
) -> None:
    pattern = "[domain-name:value = 'q.example']"
    one = indicator("id", GREEN, pattern=pattern)
    two = indicator("ü", GREEN, pattern=pattern)
    store.admit(one, two, indicator("w", GREEN, pattern=pattern))
    assert store.search_ids("ID") == [one["id"]]
    assert store.search_ids("Ü") == [two["id"]]
    assert store.search_ids('":') == []


def test_what_only_shares_its_trigrams_is_not_found(store: Store) -> None:
    store.admit(indicator("abcd bcde", GREEN))
    assert store.search_ids("abcde") == []


def test_a_property_that_is_no_text_of_the_object_is_not_searched(store: Store) -> None:
    one = indicator("x", GREEN, x_note={"deep": "submarine"})
    store.admit(one)
    assert store.search_ids("domain-name") == []
    assert store.search_ids("bab4a63c-aed9") == []


def test_nothing_is_found_for_nothing(store: Store) -> None:
    store.admit(indicator("x", GREEN))
    for typed in ("", "   ", "\x00", "\u200b", "\u200b\u200b"):
        assert store.search_ids(typed) == []


def test_text_that_no_terminal_should_send_is_still_a_question(store: Store) -> None:
    store.admit(indicator("a\x00b", GREEN))
    assert store.search_ids("\udcff\udcfe\udcfd") == []
    assert len(store.search_ids("a\x00b")) == 1


def test_what_is_superseded_or_deleted_is_not_found(store: Store) -> None:
    one = indicator("first name", GREEN)
    second = later(one, 2, name="second name")
    store.admit(one, second)
    assert store.search_ids("first name") == []
    assert store.search_ids("second name") == [one["id"]]
    with store.db.read() as tx:
        versions = store.search.versions(tx, one["id"])
    assert [version.superseded for version in versions] == [True, False]
    with store.db.write() as tx:
        store.objects.delete(tx, one["id"], stamps=(versions[1].added,))
    assert store.search_ids("first name") == [one["id"]]
    assert store.search_ids("second name") == []


def test_superseded_versions_do_not_use_up_the_limit(store: Store) -> None:
    one, other = indicator("needle", GREEN), indicator("needle", GREEN)
    store.admit(other)
    store.admit(*(later(one, day) for day in range(1, 20)))
    with store.db.read() as tx:
        found = store.search.find(tx, "needle", limit=2)
    assert [each.id for each in found] == [one["id"], other["id"]]


def test_the_newest_come_first_and_no_more_than_asked_for(store: Store) -> None:
    made = [indicator(f"needle {n}", GREEN) for n in range(7)]
    store.admit(*made)
    with store.db.read() as tx:
        found = store.search.find(tx, "needle", limit=3)
    assert [one.id for one in found] == [one["id"] for one in reversed(made)][:3]


def test_some_marking_sets_only_are_searched_when_asked_so(store: Store) -> None:
    made = [indicator("needle", mark) for mark in (RED, GREEN, AMBER, RED)]
    made.append(about("[domain-name:value = 'needle.example']"))
    store.admit(*made)
    with store.db.read() as tx:
        green = store.search.versions(tx, made[1]["id"])[0].marking_set
        for limit in (1, 5):
            found = store.search.find(
                tx, "needle", limit=limit, sets=frozenset({green})
            )
            assert all(one.marking_set == green for one in found)
            assert len(found) == min(limit, 2)
        assert store.search.find(tx, "needle.example", sets=frozenset()) == []
        assert store.search.find(tx, made[0]["id"], sets=frozenset({green})) == []


def test_an_observable_is_found_by_its_value_and_by_a_part_of_it(
    store: Store,
) -> None:
    one: dict[str, Any] = {"type": "domain-name", "value": "evil.example"}
    one |= {"spec_version": "2.1", "id": sco_id(one)}
    store.admit(one)
    assert store.search_ids("evil.example") == [one["id"]]
    assert store.search_ids("vil.exam") == [one["id"]]


def test_what_the_present_limits_refuse_is_found_all_the_same(store: Store) -> None:
    one = indicator("needle", GREEN)
    store.admit(one)
    with store.db.write() as tx:
        tx.run(
            "UPDATE object SET body = :body",
            body=orjson.dumps({**one, "spec_version": "2.0"}),
        )
    assert store.search_ids("needle") == [one["id"]]


ALPHABET = st.text(alphabet="ab%_\\\"'* กไก่ü\u0301", min_size=1, max_size=6)


@given(texts=st.lists(ALPHABET, min_size=1, max_size=4), typed=ALPHABET)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_exactly_what_contains_the_text_is_found(
    store: Store, texts: list[str], typed: str
) -> None:
    with store.db.write() as tx:
        for row in tx.rows("SELECT DISTINCT id FROM object"):
            store.objects.delete(tx, row.id)
    made = [
        indicator(text, GREEN, pattern="[windows-registry-key:key = '0']")
        for text in texts
    ]
    store.admit(*made)
    wanted = fold(typed.strip())
    expected = {one["id"] for one in made if wanted and wanted in read(one).text}
    assert set(store.search_ids(typed)) == expected


@pytest.mark.postgres
def test_postgresql_finds_the_same_with_trigrams_and_without(
    postgres_store: Store,
) -> None:
    store = postgres_store
    texts = [THAI, KHMER, LAO, BURMESE, "100% sure", "a_b", "ab", "Emotet", "x\\y"]
    made = [indicator(text, GREEN) for text in texts]
    store.admit(*made)
    typed = [*texts, "ค่า", "ลแว", "0% s", "a_", "emo", "\\", "ab", "တို", "x"]
    with_index = [store.search_ids(text) for text in typed]
    with store.db.write() as tx:
        extension = tx.value("SELECT 1 FROM pg_extension WHERE extname = 'pg_trgm'")
        tx.run("DROP EXTENSION IF EXISTS pg_trgm CASCADE")
        assert not tx.rows(
            "SELECT 1 FROM pg_indexes WHERE indexname = 'ix_object_text_text'"
        )
    assert [store.search_ids(text) for text in typed] == with_index
    assert all(with_index)
    if not extension:
        pytest.skip("this PostgreSQL has no pg_trgm, so only one way was tried")
