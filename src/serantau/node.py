"""A node, opened: its store and rules from one configuration."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from types import TracebackType

import structlog

from serantau.clock import Clock, SystemClock
from serantau.config import LimitsSection, NodeConfig
from serantau.errors import ConfigError
from serantau.records.audiences import Audiences
from serantau.records.card_memory import CardMemory
from serantau.records.database import Database
from serantau.records.ledger import Ledger
from serantau.records.migrations import current, head, migrate
from serantau.records.objects import Objects
from serantau.records.pins import Pins
from serantau.records.quarantine import Quarantine
from serantau.records.realm import bind
from serantau.records.registry import Registry
from serantau.records.seal import Seal
from serantau.records.search import Search
from serantau.records.views import Views
from serantau.rules.profile import Profile
from serantau.rules.release import Policy
from serantau.rules.stix import Limits, Reader
from serantau.wire.profile import load_profile
from serantau.wire.schemas import load_schemas
from serantau.wire.signer import Signer, keep_signer, new_signer

SEAL_FILE = "seal.key"
SIGNING_FILE = "identity.pem"
NEXT_FILE = "identity.next.pem"

_log = structlog.get_logger(__name__)


class Node:
    """The rooms of one node, joined.

    config, clock: as given. db: the store. audiences, objects, views, ledger, registry,
    quarantine, search: the records. card_memory: contact cards as they were read last.
    reader: checks STIX objects against this node's limits. Close it, or use it as a
    context manager.
    """

    def __init__(self, config: NodeConfig, clock: Clock | None = None) -> None:
        """Open the node that `config` describes, and bring its tables up to date.

        Raises:
            ConfigError: the configuration is not that of a node, or of another realm
                than its store or keys.
            StoreError: the database does not answer, or is of a newer program.
        """
        if not config.node.member:
            raise ConfigError(
                f"There is no node in {config.home}.",
                mend="`serantau init` makes one; --home names another.",
            )
        self.config = config
        self.clock: Clock = clock or SystemClock()
        self.db = Database(
            config.database_url, self.clock, cache_mb=config.store.cache_mb
        )
        try:
            if current(self.db) != head():
                migrate(self.db)
            bind(self.db, config.keys, config.node.realm)
        except BaseException:
            self.db.close()
            raise
        self.audiences = Audiences(
            config.node.member,
            Policy.from_texts(config.policy.granular, config.policy.ceilings),
        )
        try:
            self.audiences.keep_up(self.db)
        except BaseException:
            self.db.close()
            raise
        self.objects = Objects(self.audiences)
        self.views = Views(self.audiences)
        self.ledger = Ledger(self.audiences)
        self.registry = Registry(self.audiences)
        self.quarantine = Quarantine()
        self.reader = reader_of(config.limits)
        self.search = Search(self.reader)
        self.card_memory = CardMemory()
        self._signer: Signer | None = None

    @property
    def seal(self) -> Seal:
        """Give the key that seals the secrets of peers in the store.

        Raises:
            ConfigError: the key's file is not there or is none.
        """
        path = self.config.keys / SEAL_FILE
        try:
            return Seal(path.read_bytes().strip())
        except (OSError, ValueError) as fault:
            raise ConfigError(
                f"{path} cannot be used: {fault}.",
                mend="Restore the folder keys/ from a backup; peers' secrets need it.",
            ) from fault

    @property
    def signer(self) -> Signer:
        """Give what signs in this node's name.

        A node that never had a signing key gets one. One that had is not given another
        behind its back: others would see a stranger's.

        Raises:
            ConfigError: the key cannot be used, or the one it signed with is gone.
        """
        with self.db.read() as tx:
            told = Pins.signed_with(tx)
        held = self._signer
        if held is None or told not in {"", held.key.id}:
            held = self._signer = self._read_signer(told)
        return held

    def _read_signer(self, told: str) -> Signer:
        """Read the key; `told`: the id of the one that others know, if they do."""
        signing, realm = self.config.signing, self.config.node.realm
        if signing.key:
            signer = self._read_text(signing.key.encode(), "signing.key")
        else:
            path = Path(signing.key_file or self.config.keys / SIGNING_FILE)
            if not (signing.key_file or told or path.exists()):
                path.parent.mkdir(mode=0o700, exist_ok=True)
                if keep_signer(path, made := new_signer(), self.passphrase, realm):
                    _log.warning("signing_key_made", key=made.key.id, path=str(path))
            follower = self.config.keys / NEXT_FILE
            # A change of keys that was broken off: what others know holds.
            if (
                told
                and not signing.key_file
                and follower.exists()
                and self._read_key(follower).key.id == told
            ):
                follower.replace(path)
            signer = self._read_key(path)
        if told not in {"", signer.key.id}:
            raise ConfigError(
                f"This node's key is {signer.key.id}, and others know {told} as its.",
                mend="Restore the folder keys/ from a backup, or hand in that key. "
                "When it is gone for good: `serantau key revoke --help`.",
            )
        return signer

    def _read_key(self, path: Path) -> Signer:
        try:
            return self._read_text(path.read_bytes(), str(path))
        except OSError as fault:
            raise ConfigError(
                f"{path} cannot be read: {fault.strerror}.",
                mend="Restore the folder keys/ from a backup. "
                "When it is gone for good: `serantau key revoke --help`.",
            ) from fault

    def _read_text(self, pem: bytes, place: str) -> Signer:
        return Signer.read(pem, self.passphrase, place, self.config.node.realm)

    @property
    def passphrase(self) -> str:
        """Give the passphrase of the signing key; empty: none.

        Raises:
            ConfigError: the file that holds it cannot be read.
        """
        signing = self.config.signing
        if signing.passphrase or not signing.passphrase_file:
            return signing.passphrase
        try:
            return Path(signing.passphrase_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as fault:
            raise ConfigError(
                f"signing.passphrase_file cannot be read: {fault}."
            ) from fault

    def forget_signer(self) -> None:
        """Read the signing key anew when it is next asked for."""
        self._signer = None

    @property
    def profile(self) -> Profile:
        """Give the federation's profile that the configuration names."""
        return load_profile(self.config.node.profile)

    @property
    def home(self) -> Path:
        """Give the node's data directory."""
        return self.config.home

    def close(self) -> None:
        """Close the store."""
        self.db.close()

    def __enter__(self) -> Node:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def limits_of(limits: LimitsSection) -> Limits:
    """Give the configuration's limits as reading objects wants them."""
    return Limits(
        object_bytes=limits.object_bytes,
        object_depth=limits.object_depth,
        object_items=limits.object_items,
        pattern_bytes=limits.pattern_bytes,
    )


@lru_cache(maxsize=4)
def reader_of(limits: LimitsSection) -> Reader:
    """Give what checks STIX objects against these limits: one, for all nodes here."""
    return Reader(limits_of(limits), load_schemas())
