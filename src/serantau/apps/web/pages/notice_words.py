"""What states of notices and reasons are called on pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from serantau.apps.web.pages.place import N_
from serantau.rules.notice import Sending, State

STATES: Final[Mapping[State, tuple[str, str]]] = {
    State.WAITING: (N_("waits for a person"), "warning"),
    State.READY: (N_("on its way"), "info"),
    State.TOLD: (N_("told"), "good"),
    State.FAILED: (N_("reached nobody"), "danger"),
    State.WITHHELD: (N_("may not go any more"), "danger"),
    State.DROPPED: (N_("dropped"), "quiet"),
}
"""What each state of a notice is called, and its tone."""

SENDINGS: Final[Mapping[Sending, tuple[str, str]]] = {
    Sending.READY: (N_("waits"), "info"),
    Sending.TAKEN: (N_("is being sent"), "info"),
    Sending.HANDING: (N_("is being sent"), "info"),
    Sending.SENT: (N_("sent"), "good"),
    Sending.UNSURE: (N_("nobody knows whether it arrived"), "danger"),
    Sending.FAILED: (N_("failed"), "danger"),
    Sending.BOUNCED: (N_("came back"), "danger"),
}
"""What each state of a delivery is called, and its tone."""

_LEFT: Final = {
    "nobody's": N_("The row names no party of the registry."),
    "abroad": N_("It is another member's to act on: that member's node fetches it."),
    "marked": N_("A warninglist or a special range says not to report it."),
    "withheld": N_("The release policy does not let it go to the owner."),
    "mild": N_("It is below the least severity for this owner and class."),
    "muted": N_("The owner asked not to be told."),
    "unreachable": N_("The owner has no contact that is written to."),
    "quiet": N_("The owner was told of the same finding, and it did not get worse."),
    "few": N_("The owner wants a notice only for more rows than this one."),
}


def left_words(words: Callable[[str], str]) -> dict[str, str]:
    """Say why a row is in no notice, by the reasons of rules.notice.LEFT_OUT."""
    return {reason: words(said) for reason, said in _LEFT.items()}


def state_words(words: Callable[[str], str]) -> dict[str, tuple[str, str]]:
    """Say how notices and deliveries stand: (words, tone) by state.

    `ready` of a delivery is `delivery ready`.
    """
    found = {str(state): (words(said), tone) for state, (said, tone) in STATES.items()}
    for state, (said, tone) in SENDINGS.items():
        found[f"delivery {state}"] = (words(said), tone)
    return found
