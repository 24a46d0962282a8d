"""Objects to measure with: the same bytes for the same seed, on every machine.

The mix is that of a national CERT's exchange: mostly indicators and what they were seen
on, tied together by relationships and sightings, some reports of observed data, a few
families of malware, and now and then a later version of an indicator.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import orjson

from serantau.clock import instant, stix_text
from serantau.rules.marking import TLP_2_IDS, Tlp
from serantau.rules.sco import sco_id

# Of a thousand objects.
MIX = {
    "indicator": 340,
    "observable": 260,
    "relationship": 180,
    "sighting": 120,
    "observed-data": 60,
    "malware": 20,
    "later version": 20,
}
EXCHANGE: Mapping[Tlp, int] = {Tlp.GREEN: 50, Tlp.AMBER: 25, Tlp.CLEAR: 25}
COMMUNITY: Mapping[Tlp, int] = {Tlp.GREEN: 60, Tlp.CLEAR: 40}
_START = instant("2025-01-01T00:00:00Z")
_KEPT = 4000
_TEAMS = ("ThaiCERT", "SingCERT", "BSSN", "VNCERT/CC")
_WORDS = ("invoice", "tracking", "update", "login", "vpn", "mail", "cdn", "pay", "gov")
_SEEN = (
    "Beacons every {n} minutes to a host that was registered the day before.",
    "Phishing page for a bank's customers, case {n}; taken down after a request.",
    "พบการติดต่อไปยังเครื่องแม่ข่ายสั่งการจาก {n} หน่วยงาน",
    "Máy chủ điều khiển được phát hiện trong {n} sự cố tại các cơ quan nhà nước.",
    "Domain pengendali yang dihubungi oleh {n} perangkat di dalam negeri.",
    "Exploit attempts against an unpatched gateway, {n} in the last day.",
)
_FAMILIES = ("Kelip", "Naga", "Rimau", "Merak", "Badak", "Penyu", "Lawin", "Garuda")


class Corpus:
    """A stream of STIX 2.1 objects; references point backwards, ids never repeat."""

    def __init__(self, seed: int = 1, levels: Mapping[Tlp, int] = EXCHANGE) -> None:
        """Begin a stream.

        Args:
            seed: the same seed gives the same objects.
            levels: TLP level -> weight, how objects are marked.
        """
        self._chance = random.Random(seed)
        self._levels = [TLP_2_IDS[level] for level in levels]
        self._weights = list(accumulate(levels.values()))
        self._kinds = list(MIX)
        self._shares = list(accumulate(MIX.values()))
        self._now = _START
        self._count = 0
        self._offset = self._chance.getrandbits(32)
        self._teams: list[str] = []
        # Only what was made lately is referred to, so that memory does not grow.
        self._indicators: list[dict[str, Any]] = []
        self._observables: list[str] = []
        self._malware: list[str] = []
        self._observed: list[str] = []

    def objects(self, count: int) -> Iterator[dict[str, Any]]:
        """Give `count` objects."""
        makers = {
            "indicator": self._indicator,
            "observable": self._observable,
            "relationship": self._relationship,
            "sighting": self._sighting,
            "observed-data": self._observed_data,
            "malware": self._family,
            "later version": self._later,
        }
        first = len(_TEAMS) + len(_FIRST)
        for _ in range(count):
            self._count += 1
            self._now += self._chance.randrange(1_000, 40_000_000, 1_000)
            place = self._count - 1
            if place < len(_TEAMS):
                yield self._identity(_TEAMS[place])
            elif place < first:
                yield makers[_FIRST[place - len(_TEAMS)]]()
            else:
                kind = self._chance.choices(self._kinds, cum_weights=self._shares)[0]
                yield makers[kind]()

    def raws(self, count: int) -> Iterator[bytes]:
        """Give `count` objects as JSON text."""
        return map(orjson.dumps, self.objects(count))

    def _uuid(self) -> str:
        bits = f"{self._chance.getrandbits(128):032x}"
        variant = "89ab"[int(bits[16], 16) & 3]
        return (
            f"{bits[:8]}-{bits[8:12]}-4{bits[13:16]}-{variant}{bits[17:20]}-{bits[20:]}"
        )

    def _marks(self) -> list[str]:
        return self._chance.choices(self._levels, cum_weights=self._weights)

    def _keep(self, kept: list[Any], made: Any) -> None:
        if len(kept) < _KEPT:
            kept.append(made)
        else:
            kept[self._chance.randrange(_KEPT)] = made

    def _domain(self) -> str:
        word, serial = self._chance.choice(_WORDS), self._chance.getrandbits(48)
        return f"{word}-{serial:x}.example"

    def _sdo(self, kind: str, **more: Any) -> dict[str, Any]:
        now = stix_text(self._now)
        return {
            "type": kind,
            "spec_version": "2.1",
            "id": f"{kind}--{self._uuid()}",
            "created_by_ref": self._chance.choice(self._teams),
            "created": now,
            "modified": now,
            "object_marking_refs": self._marks(),
            **more,
        }

    def _identity(self, name: str) -> dict[str, Any]:
        now = stix_text(self._now)
        made = {
            "type": "identity",
            "spec_version": "2.1",
            "id": f"identity--{self._uuid()}",
            "created": now,
            "modified": now,
            "object_marking_refs": [TLP_2_IDS[Tlp.CLEAR]],
            "name": name,
            "identity_class": "organization",
            "sectors": ["government-national"],
        }
        self._teams.append(str(made["id"]))
        return made

    def _pattern(self) -> str:
        chance = self._chance
        address = ".".join(str(chance.randint(1, 254)) for _ in range(4))
        kind = chance.random()
        if kind < 0.3:
            return f"[domain-name:value = '{self._domain()}']"
        if kind < 0.5:
            return f"[ipv4-addr:value = '{address}']"
        if kind < 0.65:
            path = f"{chance.choice(_WORDS)}/{chance.getrandbits(32):x}"
            return f"[url:value = 'https://{self._domain()}/{path}']"
        if kind < 0.85:
            return (
                f"[file:hashes.'SHA-256' = '{chance.getrandbits(256):064x}' OR "
                f"file:hashes.MD5 = '{chance.getrandbits(128):032x}']"
            )
        return (
            f"[network-traffic:dst_ref.type = 'ipv4-addr' AND "
            f"network-traffic:dst_ref.value = '{address}' AND "
            f"network-traffic:dst_port IN (443, 8443)] FOLLOWEDBY "
            f"[domain-name:value LIKE '%{self._domain()}'] WITHIN 600 SECONDS"
        )

    def _indicator(self) -> dict[str, Any]:
        chance = self._chance
        made = self._sdo(
            "indicator",
            name=f"{chance.choice(_FAMILIES)} infrastructure {self._count}",
            description=chance.choice(_SEEN).format(n=chance.randint(2, 900)),
            indicator_types=["malicious-activity"],
            pattern=self._pattern(),
            pattern_type="stix",
            valid_from=stix_text(self._now),
            valid_until=stix_text(self._now + 90 * 86_400_000_000),
            confidence=chance.randint(15, 95),
            labels=[chance.choice(_WORDS)],
            external_references=[
                {
                    "source_name": "incident",
                    "external_id": f"INC-{chance.getrandbits(24):08d}",
                }
            ],
        )
        self._keep(self._indicators, made)
        return made

    def _observable(self) -> dict[str, Any]:
        chance, kind = self._chance, self._chance.random()
        made: dict[str, Any]
        if kind < 0.35:
            # A bijection of 32 bits: every address comes at most once.
            number = (self._count * 2_654_435_761 + self._offset) % 2**32
            address = ".".join(str(byte) for byte in number.to_bytes(4, "big"))
            made = {"type": "ipv4-addr", "value": address}
        elif kind < 0.65:
            made = {"type": "domain-name", "value": self._domain()}
        elif kind < 0.8:
            path = f"{chance.getrandbits(64):x}"
            made = {"type": "url", "value": f"http://{self._domain()}/{path}"}
        else:
            made = {
                "type": "file",
                "hashes": {
                    "MD5": f"{chance.getrandbits(128):032x}",
                    "SHA-256": f"{chance.getrandbits(256):064x}",
                },
                "size": chance.randint(900, 9_000_000),
                "name": f"{chance.choice(_WORDS)}_{chance.getrandbits(24):x}.exe",
            }
        made["id"] = sco_id(made)
        made["spec_version"] = "2.1"
        made["object_marking_refs"] = self._marks()
        self._keep(self._observables, made["id"])
        return made

    def _relationship(self) -> dict[str, Any]:
        chance = self._chance
        indicator = chance.choice(self._indicators)["id"]
        if chance.random() < 0.6:
            kind, target = "indicates", chance.choice(self._malware)
        else:
            kind, target = "based-on", chance.choice(self._observed)
        return self._sdo(
            "relationship",
            relationship_type=kind,
            source_ref=indicator,
            target_ref=target,
            description=chance.choice(_SEEN).format(n=chance.randint(2, 900)),
        )

    def _sighting(self) -> dict[str, Any]:
        chance = self._chance
        return self._sdo(
            "sighting",
            first_seen=stix_text(self._now - 3_600_000_000),
            last_seen=stix_text(self._now),
            count=chance.randint(1, 400),
            sighting_of_ref=chance.choice(self._indicators)["id"],
            where_sighted_refs=[chance.choice(self._teams)],
        )

    def _observed_data(self) -> dict[str, Any]:
        chance = self._chance
        refs = {chance.choice(self._observables) for _ in range(chance.randint(1, 4))}
        made = self._sdo(
            "observed-data",
            first_observed=stix_text(self._now - 600_000_000),
            last_observed=stix_text(self._now),
            number_observed=chance.randint(1, 60),
            object_refs=sorted(refs),
        )
        self._keep(self._observed, made["id"])
        return made

    def _family(self) -> dict[str, Any]:
        chance = self._chance
        made = self._sdo(
            "malware",
            name=f"{chance.choice(_FAMILIES)}Bot.{self._count}",
            is_family=True,
            malware_types=[
                chance.choice(("trojan", "ransomware", "remote-access-trojan"))
            ],
            aliases=[f"{chance.choice(_FAMILIES)} {chance.getrandbits(16):04x}"],
        )
        self._keep(self._malware, made["id"])
        return made

    def _later(self) -> dict[str, Any]:
        place = self._chance.randrange(len(self._indicators))
        made = {
            **self._indicators[place],
            "modified": stix_text(self._now),
            "confidence": self._chance.randint(15, 95),
        }
        self._indicators[place] = made
        return made


# What the others refer to comes first.
_FIRST = ("malware", "observable", "indicator", "observed-data")


def write_corpus(
    path: Path, count: int, *, seed: int = 1, levels: Mapping[Tlp, int] = EXCHANGE
) -> Path:
    """Write a corpus as NDJSON, unless it is there already."""
    if not path.exists():
        draft = path.with_suffix(".new")
        with draft.open("wb") as file:
            file.writelines(raw + b"\n" for raw in Corpus(seed, levels).raws(count))
        draft.replace(path)
    return path
