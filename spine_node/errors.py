"""Every error this package raises on purpose, and its fate.

    SpineNodeError
    ├── Refused              the data: never retried, kept on disk, said in words
    │   ├── SeriesRefused    a DICOM series that cannot become a volume
    │   ├── LabelMapRefused  a label map that cannot be measured
    │   ├── BundleRefused    a model bundle that cannot be trusted or used
    │   ├── ConfigRefused    a configuration that cannot be used
    │   ├── PinRefused       a level that a person fixed and that cannot be
    │   ├── LedgerRefused    a ledger of a newer release
    │   ├── ReportRefused    a report that cannot be read, or a search that finds none
    │   └── StudyRefused     a study that is not in the ledger, or that what was asked cannot be done with
    └── Unavailable          the world: retried with back-off for hours
        └── PeerUnavailable  a DICOM peer that did not answer, or asked us to come back
            ├── NotTakenNow  it is there, and did not take one instance for the time being
            └── PeerRejects  it is there, and will not have us until somebody changes its settings or ours

Anything else that is raised is a bug: the job fails, its traceback is kept, the operator is told.
"""


class SpineNodeError(Exception):
    """Anything this package raises on purpose."""


class Refused(SpineNodeError):
    """The data cannot be used: the message says what was seen, what was expected, what it means."""


class SeriesRefused(Refused):
    """This DICOM series cannot become a volume; the words are one line, whatever of its header they quote."""

    def __init__(self, words: str) -> None:
        super().__init__("".join(c if c.isprintable() else "?" for c in words))


class LabelMapRefused(Refused):
    """This label map cannot be measured."""


class BundleRefused(Refused):
    """This model bundle cannot be trusted or does not fit."""


class ConfigRefused(Refused):
    """This configuration cannot be used."""


class PinRefused(Refused):
    """No spine can be named as these pins say."""


class LedgerRefused(Refused):
    """This ledger was written by a newer release."""


class ReportRefused(Refused):
    """This is no report of ours, or there is none where one was sought."""


class StudyRefused(Refused):
    """There is no such study, or what was asked cannot be done with it."""


class Unavailable(SpineNodeError):
    """The world is not ready (a peer, a disk): the same call may succeed later."""


class PeerUnavailable(Unavailable):
    """A DICOM peer did not answer, or asked to be called again later."""


class NotTakenNow(PeerUnavailable):
    """The peer is there, and did not take this instance: out of resources, or no answer to it."""


class PeerRejects(PeerUnavailable):
    """The peer rejects our associations for good: a setting of its own, or of ours, has to change."""
