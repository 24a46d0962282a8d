"""What waits, in words: one text a kind of row, and what to do where nothing waits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from serantau.apps.web.pages.place import N_
from serantau.desk.now_rows import Part, Tone

TITLES: Final[Mapping[Part, str]] = {
    Part.CASES: N_("Cases"),
    Part.ASKS: N_("Asks for assistance"),
    Part.MAIL: N_("Mail of cases"),
    Part.NOTICES: N_("Notices"),
    Part.QUARANTINE: N_("Quarantine"),
    Part.FEEDS: N_("Feeds"),
    Part.PEERS: N_("Peers"),
    Part.LOG: N_("Release logs of others"),
    Part.SHARE: N_("Recalls and publishing"),
    Part.CONTACTS: N_("Contact cards"),
    Part.KEYS: N_("Keys that end"),
}
"""What each part is called."""

DO: Final[Mapping[Part, str]] = {
    Part.CASES: N_("Open the case and say what you make of it."),
    Part.ASKS: N_("Accept, decline with a reason, or refer. An ask is never dropped."),
    Part.MAIL: N_("Read why it does not go, then send it again or decide."),
    Part.NOTICES: N_("Read the mail that would go out, then approve or drop it."),
    Part.QUARANTINE: N_("Read why it was refused, then try it again or drop it."),
    Part.FEEDS: N_("Look at the feed. Its server may be away."),
    Part.PEERS: N_("Pull again, or ring their team. Nothing is lost meanwhile."),
    Part.LOG: N_("Ask that team what happened before you accept its log again."),
    Part.SHARE: N_("Ask who has not answered, or decide what waits."),
    Part.CONTACTS: N_("Ask whether the card still holds, and say so in it."),
    Part.KEYS: N_("Ask for a new key in time, or make one."),
}
"""What is to be done in each part."""

TONES: Final[Mapping[Tone, str]] = {
    Tone.DANGER: N_("Act now"),
    Tone.WARNING: N_("Waits"),
    Tone.INFO: N_("Know"),
}
"""What a tone says."""

CLOCKS: Final[Mapping[str, str]] = {
    "acknowledge": N_("acknowledge"),
    "assess": N_("assess"),
    "update": N_("update"),
    "task": N_("task"),
}
"""What the clocks of a case are called."""

KINDS: Final[Mapping[str, str]] = {
    "invited": N_("{case}: {party} asks us in, and we have not answered"),
    "offered": N_("{case}: {party} hands it over to us"),
    "due": N_("{case}: we are to {clock} {what}"),
    "silent": N_("{case}: {party} was to {clock} {what}"),
    "task": N_("{case}: own task: {what}"),
    "unpaged": N_("{case}: {party} is not paged"),
    "asked": N_("{case}: {party} asks for: {what}"),
    "unanswered": N_("{case}: {party} has not answered our ask: {what}"),
    "letter": N_("A letter to {party} does not go"),
    "answer": N_("A mail of {party} waits for a decision"),
    "approve": N_("To {party}, {class}, of {day}: approve it or drop it"),
    "failed-notice": N_("To {party}, {class}, of {day}: it reached nobody"),
    "unsure-notice": N_("To {party}, {class}, of {day}: nobody knows if it arrived"),
    "refused": N_("{rule}: {many}, the newest from {source}"),
    "feed-fails": N_("{feed}: the last look failed"),
    "feed-silent": N_("{feed}: nothing new came for too long"),
    "feed-behind": N_("{feed}: what came is not read yet"),
    "batch-held": N_("{feed}: batch {batch} is held for a person"),
    "batch-failed": N_("{feed}: batch {batch} could not be read"),
    "peer-fault": N_("{peer}: the last pull broke off"),
    "peer-silent": N_("{peer}: nothing was pulled for too long"),
    "alarm": N_("{node}: its log is not what it was"),
    "recall-silent": N_("{object}: answers to our recall that are missing: {many}"),
    "recall-doubted": N_("{object}: a recall that is not believed"),
    "behalf": N_("{many} wait to be published for others"),
    "stale": N_("{card} of {party}: not proven right for long"),
    "key": N_("{card} of {party}: the key for its mail ends"),
    "certificate": N_("This server's own certificate ends: {file}"),
}
"""What each kind of row says. The names in braces are those of its values."""
