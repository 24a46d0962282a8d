"""One tree of errors. Each class knows what it means to a person and to a machine.

A door (CLI, HTTP) translates an error once: `status` is the HTTP status, `exit_code`
the process's, `title` the first line a person reads. Nobody decides a status at a
raise. A refusal by a rule is not an error: rules return verdicts and findings.
"""

from __future__ import annotations

from typing import ClassVar


class SerantauError(Exception):
    """Something went wrong inside the node."""

    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1
    ours: ClassVar[bool] = True

    def __init__(self, message: str = "", *, mend: str = "") -> None:
        """Say what happened in `message`, and in `mend` how to put it right."""
        self.message = message or self.title
        self.mend = mend
        super().__init__(self.message)

    @property
    def title(self) -> str:
        """Give the first line of the class's docstring: the meaning of this error."""
        return (type(self).__doc__ or "Error").strip().splitlines()[0]

    def __str__(self) -> str:
        if not self.mend:
            return self.message
        ends = self.message.endswith((".", "!", "?", ":"))
        return f"{self.message}{'' if ends else '.'} {self.mend}"


class ConfigError(SerantauError):
    """The configuration cannot be used."""

    exit_code = 3


class StoreError(SerantauError):
    """The database could not do what was asked."""

    status = 503
    exit_code = 4


class Busy(StoreError):
    """The database was held by another writer for too long."""


class TheirError(SerantauError):
    """What was sent or asked cannot be done as it stands."""

    status = 400
    exit_code = 2
    ours = False


class BadRequest(TheirError):
    """A parameter is malformed."""


class BadInput(TheirError):
    """The input cannot be read."""

    status = 422


class TooLarge(TheirError):
    """The input passes a limit of this node."""

    status = 413


class UnsupportedMedia(TheirError):
    """The content type is not one that this place reads."""

    status = 415


class NotAcceptable(TheirError):
    """None of the media types asked for can be given."""

    status = 406


class Unauthenticated(TheirError):
    """Who is asking is not known."""

    status = 401
    exit_code = 5


class Forbidden(TheirError):
    """This caller may not do that."""

    status = 403
    exit_code = 5


class NotFound(TheirError):
    """There is nothing here by that name."""

    status = 404
    exit_code = 6


class Conflict(TheirError):
    """What is asked contradicts what is already here."""

    status = 409


class TooMany(TheirError):
    """Too many attempts: wait before the next."""

    status = 429
    exit_code = 5

    def __init__(self, message: str = "", *, mend: str = "", wait: int = 60) -> None:
        """Ask the caller to wait `wait` seconds (HTTP Retry-After)."""
        super().__init__(message, mend=mend)
        self.wait = wait


class PeerError(SerantauError):
    """A peer did not answer as agreed."""

    status = 502
    exit_code = 7
    ours = False


class PeerUnreachable(PeerError):
    """A peer could not be reached."""


class ProofFailed(SerantauError):
    """A claim that was checked did not hold."""

    exit_code = 8
