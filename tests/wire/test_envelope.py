import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serantau.wire.envelope import read_envelope, read_object

_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(
    st.lists(st.dictionaries(st.text(), _values, max_size=4)),
    st.booleans(),
    st.text(),
    st.sampled_from([None, 1, 2]),
    st.booleans(),
)
def test_each_object_keeps_its_bytes(
    objects: list[dict[str, object]],
    more: bool,
    following: str,
    indent: int | None,
    plain: bool,
) -> None:
    texts = [json.dumps(one, indent=indent, ensure_ascii=plain) for one in objects]
    try:
        wanted = tuple(text.encode() for text in texts)
        following.encode()
    except UnicodeEncodeError:
        return
    head = json.dumps({"more": more, "next": following})[:-1]
    body = f'{head}, "objects": [ {" , ".join(texts)} ]}}'.encode()
    found = read_envelope(body)
    assert (found.objects, found.more, found.next) == (wanted, more, following)
    # The slow way, which reads a page with a broken object, finds the same.
    broken = f'{head}, "objects": [{",".join([*texts, "NaN"])}]}}'.encode()
    found = read_envelope(broken)
    assert found.objects == (*wanted, b"NaN")
    assert (found.more, found.next) == (more, following)


def test_one_broken_object_costs_only_itself() -> None:
    deep = b"[" * 20_000 + b"]" * 20_000
    body = b'{"objects":[{"a":1},{"b":NaN},%b,{"c":"],}\\""},]}' % deep
    assert read_envelope(body).objects == (
        b'{"a":1}',
        b'{"b":NaN}',
        deep,
        b'{"c":"],}\\""}',
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "got nothing"),
        (b"[]", "expected a TAXII envelope"),
        (b"<html>", "expected a TAXII envelope"),
        (b'{"objects":[{"a":1}', "breaks off after 19 bytes"),
        (b'{"objects":[{"a":"unended}]}', "breaks off"),
        (b'{"more":true', "breaks off"),
        (b'{"objects":{"a":1}}', "expected a list"),
        (b'{"objects":7}', "expected a list"),
    ],
)
def test_what_is_no_envelope_is_refused_with_what_was_expected(
    body: bytes, expected: str
) -> None:
    with pytest.raises(ValueError, match=expected):
        read_envelope(body)


@pytest.mark.parametrize(
    ("body", "more", "following"),
    [
        (b"{}", False, ""),
        (b'{"objects":null}', False, ""),
        (b'{"more":"True","next":7}', True, "7"),
        (b'{"more":1,"next":null}', False, ""),
        (b'{"more":true,"next":{"a":1}}', True, ""),
    ],
)
def test_members_of_the_wrong_kind_are_read_as_they_were_meant(
    body: bytes, more: bool, following: str
) -> None:
    found = read_envelope(body)
    assert (found.objects, found.more, found.next) == ((), more, following)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_envelope_or_a_value_error(body: bytes) -> None:
    for text in (body, b'{"objects":[' + body, b'{"objects":[' + body + b"]}"):
        try:
            found = read_envelope(text)
        except ValueError:
            continue
        assert all(one in text for one in found.objects)


@pytest.mark.parametrize("body", [b"", b"[1]", b'{"a":', b"[" * 100_000])
def test_a_small_resource_is_an_object_or_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"JSON|expected"):
        read_object(body)
