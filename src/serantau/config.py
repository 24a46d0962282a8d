"""The node's configuration: one frozen record.

Order of precedence: defaults < TOML file < environment < flags. The environment names a
setting `SERANTAU_<SECTION>_<KEY>`, such as `SERANTAU_HTTP_PORT=8443`. Every setting is
described by the docstring of its section, and `docs/operations.md` lists the same.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from serantau import typed
from serantau.case_settings import CasesSection, ClocksSection
from serantau.errors import ConfigError
from serantau.oidc_settings import OidcSection

PREFIX = "SERANTAU_"
FILE_NAME = "serantau.toml"
ROLES = ("member", "coordinator")
KINDS = ("coordinator", "member", "operator", "partner", "public")
SEVERITIES = ("info", "low", "medium", "high", "critical")
CLEAR = ("TLP:CLEAR", "TLP:GREEN", "TLP:AMBER")
FEED = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_OFTEN_SECONDS = 1.0
_FASTEST = 1e6
_SOONEST_SECONDS = 60.0
_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_MOST_DAYS = 31


class NodeSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who this node is.

    member: the code of the member (or partner) it belongs to, as the profile writes it.
    team: the team's name. role: `member` or `coordinator`. profile: a shipped
    profile's name or a path. realm: `live` or `exercise:NAME`; realms never mix.
    identity: the STIX id of the team's identity object, made by `init`.
    """

    member: str = ""
    team: str = ""
    role: str = "member"
    profile: str = "asean-2025"
    realm: str = "live"
    identity: str = ""


class StoreSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where rows live.

    url: a SQLAlchemy URL (`postgresql+psycopg://...`); empty means SQLite in the data
    directory. cache_mb: SQLite's page cache for each connection, in MB.
    """

    url: str = ""
    cache_mb: int = 32


class HttpSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the node listens.

    host, port: the address; loopback unless said otherwise. base_url: how others reach
    it, when a proxy stands before it. certificate, key: PEM files; both or neither.
    client_ca: PEM file; when set, every caller must show a certificate it signed.
    metrics_host, metrics_port: a listener of its own for Prometheus; port 0 is off.
    login_attempts: wrong passwords a name or address may try within five minutes.
    session_hours, session_idle_minutes: after which people sign in to the pages anew.
    pages_a_second: that one session, or the strangers of one network, may ask for.
    second_factor: `asked` of who has one, or `needed` by everyone at the pages.
    """

    host: str = "127.0.0.1"
    port: int = 8440
    base_url: str = ""
    certificate: str = ""
    key: str = ""
    client_ca: str = ""
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0
    login_attempts: int = 10
    session_hours: int = 12
    session_idle_minutes: int = 60
    pages_a_second: int = 20
    second_factor: str = "asked"


class LimitsSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is refused because of its size, each with the limit's name.

    object_bytes: one object's JSON text. object_depth: nesting of lists and objects.
    object_items: members of all lists and objects of one object, summed.
    pattern_bytes: text of one indicator pattern. post_bytes: body of one request.
    page: objects on one page. file_bytes: what one input may unpack to. cases: that one
    party may bring, open or new within a day. case_entries: of it within a day.
    """

    object_bytes: int = 4_000_000
    object_depth: int = 64
    object_items: int = 100_000
    pattern_bytes: int = 64_000
    post_bytes: int = 100_000_000
    page: int = 1000
    file_bytes: int = 20_000_000_000
    cases: int = 500
    case_entries: int = 20_000


class HandlingSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How what carries no TLP marking is handled here. It stands beside the object.

    default: for every object. definitions: for marking-definitions and
    extension-definitions, which must be readable wherever what they define travels.
    sources: by source (a peer's or a user's name, or `file`), overriding the default.
    """

    default: str = "TLP:AMBER+STRICT"
    definitions: str = "TLP:GREEN"
    sources: dict[str, str] = {}


class PolicySection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the release table is tightened on this node.

    granular: `withhold` an object of which only parts may go, or `derive` a new one
    without these parts. ceilings: the highest TLP level that a kind of party is given,
    such as `{operator = "TLP:CLEAR"}`.
    """

    granular: str = "withhold"
    ceilings: dict[str, str] = {}


class FederationSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How peers are pulled.

    poll_seconds: a pull happens at least this often, hints or not. timeout_seconds: for
    one request. page: objects asked for at a time. hint_milliseconds: how often this
    node looks for something new to hint at. behalf_hours: what times are rounded to in
    what a coordinator publishes on this node's behalf.
    """

    poll_seconds: float = 60.0
    timeout_seconds: float = 30.0
    page: int = 1000
    hint_milliseconds: int = 100
    behalf_hours: int = 24


class LedgerSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the release log is proven to others, and theirs to this node.

    receipts: whether peers are asked for a receipt for each page. named: the kinds of
    parties whose names an originator is told when it asks whom its objects were passed
    to; of others it is told only when and under which rule. promise_seconds: until when
    a page that was given with a receipt is a leaf of the tree.
    """

    receipts: bool = True
    named: list[str] = msgspec.field(default_factory=lambda: ["coordinator", "member"])
    promise_seconds: float = 3600.0


class AuditSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many days the logs keep what they say of own people; 0: for ever.

    keep_readings: of what they read. keep_decisions: of what they decided.
    keep_requests: of by whom something left, and what was asked; to whom and which
    objects stays. Digests stay, and so the tree over the log verifies.
    """

    keep_readings: int = 0
    keep_decisions: int = 0
    keep_requests: int = 0


class LaneSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How events are taken in and kept.

    folder: where the bytes of batches are kept; empty means `lane` in the data
    directory. Workers on several machines need one that all of them see. archive: where
    the tables of events are, a folder or `s3://BUCKET/PATH`; empty means `archive` in
    the data directory. storage: options of that store, such as its region. cluster: the
    address of a Ray cluster, HOST:PORT, for `--engine ray`; empty: one on this machine,
    as long as the command runs. workers: how many batches are worked on at once in one
    process. lease_seconds: how long a worker that says nothing keeps a batch.
    originals_days: how long bytes are kept after the work on them. lag_minutes: a batch
    that waits longer than this is told as an alarm. keep_days: how long events are
    kept, by feed, by TLP label, or for all by `*`; the first of these three that fits
    holds, and events that none fits stay. country, asn: files or addresses of the
    ranges that `serantau lane update` loads. shadowserver: the same of Shadowserver's
    schema of reports. sightings: how many a day are recorded as objects at most, those
    of most rows; 0: none. categories: the nation's own category by RSIT type, or by
    class for types that have none of their own.
    """

    folder: str = ""
    archive: str = ""
    storage: dict[str, str] = {}
    cluster: str = ""
    workers: int = 1
    lease_seconds: float = 300.0
    originals_days: int = 90
    lag_minutes: int = 60
    keep_days: dict[str, int] = {}
    country: list[str] = []
    asn: list[str] = []
    shadowserver: str = ""
    sightings: int = 1000
    categories: dict[str, str] = {}


class FeedSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One feed of events, named by its table `[feeds.NAME]`, and the way it comes.

    url: an address that is fetched. folder: one that is watched: each file in it is
    taken in, and then removed. mailbox: a maildir, or `imaps://USER@HOST/FOLDER`, whose
    attachments are taken in. A feed has one of the three, or none when it is posted.
    format: how its files are read; empty: recognised by each file. report: its one kind
    of report. tlp: the level of its rows that name none. type: the RSIT type of its
    rows that name none. confidence, severity: the same, 0 to 100 and 0 to 4.
    every_seconds: how often it is looked at. fresh_hours: how old its newest batch may
    be before that is told as an alarm; 0: any age. hold: whether a batch that is
    suddenly empty or ten times as large waits for a person. proxy: one that a url is
    fetched by. key_header, key_file: a request header, and the file with the key that
    it carries. password_file: of the mailbox's user. senders: whose mail is taken in:
    addresses, or `@DOMAIN`. authenticator: the name of the mail server of ours whose
    word on a sender (Authentication-Results) is taken; empty: no mail is checked so.
    """

    url: str = ""
    folder: str = ""
    mailbox: str = ""
    format: str = ""
    report: str = ""
    tlp: str = ""
    type: str = ""
    confidence: int | None = None
    severity: int | None = None
    every_seconds: float = 3600.0
    fresh_hours: float = 0.0
    hold: bool = True
    proxy: str = ""
    key_header: str = ""
    key_file: str = ""
    password_file: str = ""
    senders: list[str] = []
    authenticator: str = ""


class MailSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The SMTP server that notices go through.

    host, port: its address; without a host no mail is sent. security: `starttls`,
    `tls`, or `none` for a server on this machine. ca: PEM file of the only authorities
    to trust for it; empty: the system's. user, password_file: whom to log in as, and
    the file with the password. sender: the address that notices come from, and are
    answered to. bounces: where undeliverable mail goes back to; empty: the sender.
    mailbox: where that mail arrives, a maildir or `imaps://USER@HOST/FOLDER`, which a
    running node reads; empty: nobody does. mailbox_password_file: of that user. hello:
    what this machine calls itself. timeout_seconds: without an answer. key_file: the
    OpenPGP key that signs; empty: `keys/openpgp.asc` when that is there.
    """

    host: str = ""
    port: int = 587
    security: str = "starttls"
    ca: str = ""
    user: str = ""
    password_file: str = ""
    sender: str = ""
    bounces: str = ""
    mailbox: str = ""
    mailbox_password_file: str = ""
    hello: str = ""
    timeout_seconds: float = 60.0
    key_file: str = ""


class NoticeSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How owners are told, where `serantau notice set` says nothing else.

    times: when a running node makes notices, as `HH:MM`; none: only a person does.
    zone: the IANA time zone of these; empty: the member's first one in the profile.
    at_once: what is at least so severe is not kept until then; empty: everything is.
    days: of how many days, today included, notices tell. automatic: without a person's
    approval. least_severity: rows below are left out.
    least_rows: fewer make no notice. compromised_days, other_days: how long a finding
    is quiet after it was told. rows: the most that are attached. webhook_ca: PEM file
    of the only authorities to trust for webhooks; empty: the system's. tries: how often
    handing over is tried before it failed. lease_seconds: how long one try may take.
    """

    times: list[str] = msgspec.field(default_factory=lambda: ["08:00"])
    zone: str = ""
    at_once: str = "critical"
    days: int = 3
    automatic: bool = False
    least_severity: str = "info"
    least_rows: int = 1
    compromised_days: int = 7
    other_days: int = 30
    rows: int = 50_000
    webhook_ca: str = ""
    tries: int = 12
    lease_seconds: int = 900


class ContactsSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How contact cards are kept up to date.

    stale_days: a card that did not prove right for so long is flagged; 0: none is.
    drill_days: how long after a drill of reachability a running node begins the next;
    0: only a person does. The first one only a person begins. answer_days: how long an
    answer is waited for.
    """

    stale_days: int = 180
    drill_days: int = 91
    answer_days: int = 7


class RecallSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is done with what its creator recalled.

    hold: `hidden` from this node's own people, or `dropped` from the store. It leaves
    the node in neither case.
    """

    hold: str = "hidden"


class SigningSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the key is that signs in this node's name.

    key_file: PEM file of it, such as one that a secret store puts there; empty:
    `keys/identity.pem`, which `init` makes. key: the PEM text itself, handed in as the
    variable SERANTAU_SIGNING_KEY. passphrase_file: a file with its passphrase.
    passphrase: the passphrase itself, as SERANTAU_SIGNING_PASSPHRASE.
    """

    key_file: str = ""
    key: str = ""
    passphrase_file: str = ""
    passphrase: str = ""

    def __repr__(self) -> str:
        # Two of these are secrets, and a configuration may be shown.
        return f"SigningSection(key_file={self.key_file!r})"


class LogSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is logged. level: debug, info, warning or error. format: text or json."""

    level: str = "info"
    format: str = "text"


class NodeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that a node is told from outside. `home` is its data directory."""

    home: Path = Path()
    node: NodeSection = msgspec.field(default_factory=NodeSection)
    store: StoreSection = msgspec.field(default_factory=StoreSection)
    http: HttpSection = msgspec.field(default_factory=HttpSection)
    oidc: OidcSection = msgspec.field(default_factory=OidcSection)
    limits: LimitsSection = msgspec.field(default_factory=LimitsSection)
    handling: HandlingSection = msgspec.field(default_factory=HandlingSection)
    policy: PolicySection = msgspec.field(default_factory=PolicySection)
    federation: FederationSection = msgspec.field(default_factory=FederationSection)
    ledger: LedgerSection = msgspec.field(default_factory=LedgerSection)
    audit: AuditSection = msgspec.field(default_factory=AuditSection)
    lane: LaneSection = msgspec.field(default_factory=LaneSection)
    feeds: dict[str, FeedSection] = {}
    mail: MailSection = msgspec.field(default_factory=MailSection)
    notice: NoticeSection = msgspec.field(default_factory=NoticeSection)
    signing: SigningSection = msgspec.field(default_factory=SigningSection)
    contacts: ContactsSection = msgspec.field(default_factory=ContactsSection)
    cases: CasesSection = msgspec.field(default_factory=CasesSection)
    clocks: ClocksSection = msgspec.field(default_factory=ClocksSection)
    recall: RecallSection = msgspec.field(default_factory=RecallSection)
    log: LogSection = msgspec.field(default_factory=LogSection)

    @property
    def database_url(self) -> str:
        """Give the SQLAlchemy URL of the store."""
        return self.store.url or f"sqlite:///{self.home / 'serantau.db'}"

    @property
    def lane_folder(self) -> Path:
        """Give the folder of the bytes of batches."""
        return self.home / (self.lane.folder or "lane")

    @property
    def archive(self) -> str:
        """Give where the tables of events are: a folder or an address."""
        said = self.lane.archive
        return said if "://" in said else str(self.home / (said or "archive"))

    @property
    def keys(self) -> Path:
        """Give the folder of the node's private keys, readable by its user only."""
        return self.home / "keys"


def load_config(
    home: Path,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Mapping[str, Any]] | None = None,
) -> NodeConfig:
    """Read the configuration of the node that lives in `home`.

    Args:
        home: the data directory; `serantau.toml` in it is read when it is there.
        environment: names and values as `os.environ` has them.
        flags: section -> key -> value, the strongest.

    Raises:
        ConfigError: an unknown setting or a value of the wrong kind, with its place.
    """
    merged: dict[str, dict[str, Any]] = {}
    path = home / FILE_NAME
    if path.exists():
        try:
            merged = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
            raise ConfigError(f"{path} is not TOML: {fault}") from fault
    _overlay(merged, _from_environment(environment or {}), str(path))
    _overlay(merged, flags or {}, str(path))
    try:
        config = typed.convert({**merged, "home": home}, NodeConfig, strict=False)
    except msgspec.ValidationError as fault:
        raise ConfigError(
            f"{path} or the environment: {fault}.",
            mend="docs/operations.md lists every setting.",
        ) from fault
    _check(config, path)
    return config


def _check(config: NodeConfig, path: Path) -> None:
    realm = config.node.realm
    if realm != "live" and not realm.removeprefix("exercise:").isidentifier():
        raise ConfigError(
            f"{path}: node.realm is {realm!r}, expected 'live' or 'exercise:NAME'"
        )
    for name, got, allowed in (
        ("node.role", config.node.role, ROLES),
        ("policy.granular", config.policy.granular, ("withhold", "derive")),
        ("mail.security", config.mail.security, ("starttls", "tls", "none")),
        ("notice.least_severity", config.notice.least_severity, SEVERITIES),
        ("notice.at_once", config.notice.at_once, ("", *SEVERITIES)),
        ("http.second_factor", config.http.second_factor, ("asked", "needed")),
        ("recall.hold", config.recall.hold, ("hidden", "dropped")),
        ("cases.clear", config.cases.clear, CLEAR),
        ("log.format", config.log.format, ("text", "json")),
        ("log.level", config.log.level, ("debug", "info", "warning", "error")),
    ):
        if got not in allowed:
            raise ConfigError(f"{path}: {name} is {got!r}, expected one of {allowed}")
    config.oidc.check(f"{path}: oidc")
    for name, feed in config.feeds.items():
        _check_feed(f"{path}: feeds.{name}", name, feed)
        if feed.mailbox and feed.mailbox == config.mail.mailbox:
            raise ConfigError(
                f"{path}: mail.mailbox is also that of feeds.{name}",
                mend="Leave mail.mailbox empty: what came back is found there too.",
            )
    boxes = [config.mail.mailbox, *(feed.mailbox for feed in config.feeds.values())]
    if config.cases.mailbox and config.cases.mailbox in boxes:
        raise ConfigError(
            f"{path}: cases.mailbox is also that of a feed, or mail.mailbox",
            mend="Name one of its own: mail that came back is found there, too.",
        )
    for name, number in (
        ("workers", config.lane.workers),
        ("lease_seconds", config.lane.lease_seconds),
    ):
        if number <= 0:
            raise ConfigError(f"{path}: lane.{name} is {number}, expected more than 0")
    if config.federation.behalf_hours < 1:
        raise ConfigError(
            f"{path}: federation.behalf_hours is {config.federation.behalf_hours}, "
            "expected 1 or more"
        )
    pace = config.clocks.pace
    if pace != 1 and (realm == "live" or not 0 < pace < _FASTEST):
        raise ConfigError(
            f"{path}: clocks.pace is {pace:g}, expected 1, or more in an exercise"
        )
    if config.lane.sightings < 0:
        raise ConfigError(
            f"{path}: lane.sightings is {config.lane.sightings}, expected 0 or more",
            mend="0 records none; a number is how many a day are recorded at most.",
        )
    for name, days in msgspec.structs.asdict(config.audit).items():
        if days < 0:
            raise ConfigError(
                f"{path}: audit.{name} is {days}, expected days, or 0 for ever"
            )
    _check_ledger(f"{path}: ledger", config.ledger)
    _check_notice(f"{path}: notice", config.notice)
    for secret in ("key", "passphrase"):
        if getattr(config.signing, secret) and getattr(
            config.signing, f"{secret}_file"
        ):
            raise ConfigError(
                f"{path}: signing.{secret} and signing.{secret}_file are both set; "
                "one of them is enough"
            )
    if bool(config.http.certificate) != bool(config.http.key):
        raise ConfigError(
            f"{path}: http.certificate and http.key go together; one is missing"
        )


def _check_ledger(place: str, ledger: LedgerSection) -> None:
    for kind in ledger.named:
        if kind not in KINDS:
            raise ConfigError(f"{place}.named has {kind!r}, expected some of {KINDS}")
    if ledger.promise_seconds < _SOONEST_SECONDS:
        raise ConfigError(
            f"{place}.promise_seconds is {ledger.promise_seconds:g}, "
            f"expected at least {_SOONEST_SECONDS:g}",
            mend="A busy node seals its log when it has a moment for it.",
        )


def _check_notice(place: str, notice: NoticeSection) -> None:
    for one in notice.times:
        if not _TIME.fullmatch(one):
            raise ConfigError(
                f"{place}.times has {one!r}, expected times of day such as '08:00'"
            )
    if notice.zone:
        try:
            ZoneInfo(notice.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as fault:
            raise ConfigError(
                f"{place}.zone is {notice.zone!r}, expected one such as 'Asia/Bangkok'"
            ) from fault
    if not 1 <= notice.days <= _MOST_DAYS:
        raise ConfigError(f"{place}.days is {notice.days}, expected 1 to {_MOST_DAYS}")


def _check_feed(place: str, name: str, feed: FeedSection) -> None:
    if not FEED.fullmatch(name):
        raise ConfigError(
            f"{place} is no feed's name: up to 63 of a-z, 0-9, '.', '_' and '-'"
        )
    ways = [way for way in ("url", "folder", "mailbox") if getattr(feed, way)]
    if len(ways) > 1:
        raise ConfigError(f"{place} has {' and '.join(ways)}, expected one of them")
    if feed.mailbox and not feed.senders:
        raise ConfigError(
            f"{place} has a mailbox and no senders",
            mend="Say whose mail is taken in, as in senders = ['@example.org'].",
        )
    if bool(feed.key_header) != bool(feed.key_file):
        raise ConfigError(f"{place}: key_header and key_file go together")
    if feed.every_seconds < _OFTEN_SECONDS:
        raise ConfigError(
            f"{place}.every_seconds is {feed.every_seconds:g}, "
            f"expected at least {_OFTEN_SECONDS:g}"
        )


def _overlay(
    merged: dict[str, dict[str, Any]],
    layer: Mapping[str, Mapping[str, Any]],
    path: str,
) -> None:
    for section, values in layer.items():
        held = merged.setdefault(section, {})
        if not isinstance(held, dict):
            raise ConfigError(f"{path}: {section} is a value, expected a [table]")
        held.update(values)


def _from_environment(environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Pick the settings out of the environment; names of no section are left alone."""
    sections = {
        field.name.upper(): field.name
        for field in msgspec.structs.fields(NodeConfig)
        # A feed is a table of its own; the environment has no names for those.
        if field.name not in {"home", "feeds"}
    }
    found: dict[str, dict[str, Any]] = {}
    for name, value in environment.items():
        section, _, key = name.removeprefix(PREFIX).partition("_")
        if name.startswith(PREFIX) and section in sections and key:
            found.setdefault(sections[section], {})[key.lower()] = value
    return found
