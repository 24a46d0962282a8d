#!/usr/bin/env python3
"""Check a proof from a Serantau node's release log, with nothing of Serantau.

    python verify.py --key=KEY proof.json

KEY is the node's public key, as its operators gave it to you by another way: 43 letters
of base64url (`serantau key show --json` has it as `x`). The file is what `serantau ledger
prove` or `serantau ledger ask --proof` wrote, or `-`. Needs Python 3.9 and cryptography.

What is checked: RFC 9162 (tree), RFC 8785 (canonical JSON), RFC 7515 (signatures).
Ends with 0 when everything holds, with 1 when anything does not. See ledger.md.
"""

import argparse
import base64
import hashlib
import json
import sys
from datetime import datetime, timezone

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class Wrong(Exception):
    """Something that does not hold."""


def sha256(content):
    return hashlib.sha256(content).digest()


def canonical(value):
    """Write JSON as RFC 8785 does. Proofs hold texts and integers only: no floats."""

    def order(one):
        if isinstance(one, float):
            raise Wrong("there is a number with a fraction in it")
        if isinstance(one, dict):
            names = sorted(one, key=lambda name: name.encode("utf-16-be"))
            return {name: order(one[name]) for name in names}
        return [order(each) for each in one] if isinstance(one, list) else one

    text = json.dumps(order(value), ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8")


def from_base64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def to_base64(content):
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def check_signature(key, header, payload, signature):
    """RFC 7515 section 5.2: over `header.payload`, both base64url."""
    if json.loads(from_base64(header)).get("alg") not in ("EdDSA", "Ed25519"):
        raise Wrong("a signature is of another algorithm than Ed25519")
    signed = f"{header}.{to_base64(payload)}".encode()
    try:
        key.verify(from_base64(signature), signed)
    except InvalidSignature:
        raise Wrong("it is not signed by this key") from None


def root_from(leaf, index, size, path):
    """RFC 9162 section 2.1.3.2: the root that a leaf and its path lead to."""
    if not 0 <= index < size:
        raise Wrong(f"there is no leaf {index} in a tree of {size}")
    here, last, found = index, size - 1, leaf
    for text in path:
        other = bytes.fromhex(text)
        if last == 0:
            raise Wrong("a path is too long")
        if here & 1 or here == last:
            found = sha256(b"\1" + other + found)
            while here and not here & 1:
                here, last = here >> 1, last >> 1
        else:
            found = sha256(b"\1" + found + other)
        here, last = here >> 1, last >> 1
    if last:
        raise Wrong(f"leaf {index} is not in the tree: its path is too short")
    return found


def check_head(proof, key):
    """The head: `header.payload.signature`, its payload the size and root of a tree."""
    header, payload, signature = proof["head"].split(".")
    content = from_base64(payload)
    check_signature(key, header, content, signature)
    head = json.loads(content)
    if head["type"] != "serantau:head" or head["node"] != proof["node"]:
        raise Wrong("the head is not one of this node")
    return head


def check_whole(proof, key):
    """The proof as a whole: a detached signature over all the rest of it."""
    rest = {name: value for name, value in proof.items() if name != "signature"}
    header, _, signature = proof["signature"].split(".")
    check_signature(key, header, canonical(rest), signature)


def check_object(one, leaf, width):
    """One object of a page: its digest, behind a salt, in the page's own tree."""
    told = {"id": one["id"], "modified": one["modified"], "sha256": one["sha256"]}
    digest = sha256(canonical(told))
    hashed = sha256(b"\0" + bytes.fromhex(one["salt"]) + digest)
    root = root_from(hashed, one["index"], width, one["path"])
    if root.hex() != leaf["objects"]:
        raise Wrong(f"{one['id']} is not on the page of leaf {leaf['seq']}")


def check_entry(entry, head):
    """One leaf of the log's tree, and whatever is opened of it."""
    text = entry["leaf"].encode("utf-8")
    leaf = json.loads(text)
    if canonical(leaf) != text:
        raise Wrong("a leaf is not canonical JSON")
    found = root_from(sha256(b"\0" + text), leaf["seq"], head["size"], entry["path"])
    if found.hex() != head["root"]:
        raise Wrong(f"leaf {leaf['seq']} is not in the tree of the head")
    if entry["recipient"]:
        salt = bytes.fromhex(entry["recipient_salt"])
        if sha256(salt + entry["recipient"].encode()).hex() != leaf["recipient"]:
            raise Wrong(f"leaf {leaf['seq']} has another recipient")
    for one in entry["objects"]:
        check_object(one, leaf, entry["width"])
    return leaf


def instant(microseconds):
    return datetime.fromtimestamp(microseconds // 10**6, timezone.utc).isoformat()


def check(proof, key):
    head = check_head(proof, key)
    lines = [
        f"The log of {head['node']} (realm {head['realm']}, {head['log']}) had "
        f"{head['size']} leaves at {instant(head['at'])}."
    ]
    for entry in proof["entries"]:
        leaf = check_entry(entry, head)
        who = entry["recipient"] or f"a {entry['kind'] or 'party'} that is not named"
        lines.append(
            f"Leaf {leaf['seq']}: at {instant(leaf['at'])} to {who}, "
            f"by {leaf['way']}, these objects:"
        )
        for one in entry["objects"]:
            rule = f" (says the node: {one['rule']})" if one["rule"] else ""
            lines.append(f"  {one['id']} {one['modified']} {one['sha256']}{rule}")
    check_whole(proof, key)
    lines.append(
        f"Its node signed that leaves {proof['after']} to {proof['through'] - 1} hold "
        f"no more of {proof['object'] or 'what was asked about'}."
    )
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--key", required=True, help="the node's public key, base64url")
    parser.add_argument("file", help="the proof, or - for standard input")
    asked = parser.parse_args()
    try:
        source = sys.stdin if asked.file == "-" else open(asked.file, encoding="utf-8")
        with source:
            proofs = json.load(source)
        key = Ed25519PublicKey.from_public_bytes(from_base64(asked.key))
        for proof in proofs if isinstance(proofs, list) else [proofs]:
            print("\n".join(check(proof, key)))
    except Wrong as wrong:
        sys.exit(f"NOT PROVEN: {wrong}.")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
        sys.exit(f"NOT PROVEN: this cannot be read as a proof ({fault!r}).")
    print("Everything above is proven by that key.")


if __name__ == "__main__":
    main()
