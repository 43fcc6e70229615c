"""Errors of the service. Each message names the thing, its value and the way out.

LabelQueueError
├── SettingError              a setting has an unknown key or a value that is not allowed
├── StoreError                Redis cannot be reached, started or trusted with our data
├── LabelStudioError          Label Studio cannot be reached or refused a request
│   ├── CredentialError       the API key is missing or not accepted
│   └── NotFoundError         the project, task or prediction does not exist there (any more)
├── EmbedderError             the model or its weights cannot be had
├── ImageError                one image cannot be fetched or decoded; its task is quarantined
│   └── TransientImageError   one image could not be fetched this time; try again
│       └── LateImageError    its server did not give it in time
├── CollectionError           a directory of embedded images is none, of another model, or damaged
├── CacheError                a stored block of embeddings does not match its checksum or generation
│   ├── PredictionsError      what the model says of the tasks is lost or damaged; it is trained anew
│   └── ReplacedError         what is read was replaced meanwhile; read it again
├── ProjectError              a project is unknown here, or its label config has no image to label
├── CurationError             tasks cannot be pinned, left out or changed back as it was asked
├── BackupError               a backup cannot be made, or is damaged, of another format or of another project
├── TableError                a file of vectors cannot be read, written, or taken as a project's embeddings
└── PublishError              an order could not be published; the previous one still stands
"""

from __future__ import annotations

__all__ = [
    "BackupError",
    "CacheError",
    "CollectionError",
    "CredentialError",
    "CurationError",
    "EmbedderError",
    "ImageError",
    "LabelQueueError",
    "LabelStudioError",
    "LateImageError",
    "NotFoundError",
    "PredictionsError",
    "ProjectError",
    "PublishError",
    "ReplacedError",
    "SettingError",
    "StoreError",
    "TableError",
    "TransientImageError",
]


class LabelQueueError(Exception):
    """Base of every error that labelqueue raises on purpose."""


class SettingError(LabelQueueError):
    """A setting has an unknown key or a value that is not allowed.

    Attributes
    ----------
    name : str
        Which setting; empty when the error is about none of them alone.
    """

    def __init__(self, told: str, name: str = "") -> None:
        super().__init__(told)
        self.name = name


class StoreError(LabelQueueError):
    """Redis cannot be reached, started or trusted with our data."""


class LabelStudioError(LabelQueueError):
    """Label Studio cannot be reached or refused a request.

    Attributes
    ----------
    status : int or None
        HTTP status of the answer; None when there was no answer.
    timed_out : bool
        Whether it connected, or tried to, and waited too long.
    unanswered : bool
        Whether there was no answer at all.
    retry_after : float
        Seconds that it asked to be left alone for; 0 when it did not.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        timed_out: bool = False,
        unanswered: bool = False,
        retry_after: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.timed_out = timed_out
        self.unanswered = unanswered
        self.retry_after = retry_after


class CredentialError(LabelStudioError):
    """The Label Studio API key is missing or not accepted."""


class NotFoundError(LabelStudioError):
    """The project, task or prediction does not exist in Label Studio (any more).

    Attributes
    ----------
    proven : bool
        Whether the answer has the form of Label Studio's own; else it may be a proxy's.
    """

    proven = False


class EmbedderError(LabelQueueError):
    """The embedding model or its weights cannot be had."""


class ImageError(LabelQueueError):
    """One image cannot be fetched or decoded; its task is quarantined with this reason."""


class TransientImageError(ImageError):
    """One image could not be fetched this time (no answer, a busy server, a broken transfer); try again."""


class LateImageError(TransientImageError):
    """One image did not come in time: its server is silent, or slow."""


class CollectionError(LabelQueueError):
    """A directory of embedded images is none, is of another model, or is damaged."""


class CacheError(LabelQueueError):
    """A stored block of embeddings does not match its checksum or its generation."""


class PredictionsError(CacheError):
    """What the model says of the tasks is lost or damaged: it is trained anew, which takes labels only."""


class ReplacedError(CacheError):
    """What is read was replaced meanwhile, so that nothing of it is known: read it again."""


class ProjectError(LabelQueueError):
    """A project is unknown here, or its label config names no image to label."""


class CurationError(LabelQueueError):
    """Tasks cannot be pinned, left out or changed back as it was asked; nothing was changed."""


class BackupError(LabelQueueError):
    """A backup cannot be made, or it is damaged, of another format, or of another project; nothing was changed."""


class TableError(LabelQueueError):
    """A file of vectors cannot be read or written, or what it holds cannot be a project's embeddings."""


class PublishError(LabelQueueError):
    """An order could not be published; the previous one still stands."""
