"""The errors that siren_codec raises on purpose; all else is a bug."""

__all__ = ["FitError", "FormatError", "LimitError", "PictureError", "SirenError", "UsageError"]


class SirenError(Exception):
    """Anything wrong with what the caller gave us; the message says what was expected and found."""


class FormatError(SirenError):
    """The bytes are not a valid `.siren` file."""


class LimitError(SirenError):
    """A file or a request asks for more than the limits allow."""


class PictureError(SirenError):
    """A picture cannot be read, stored or written."""


class FitError(SirenError):
    """The fit failed: no usable model came out of it."""


class UsageError(SirenError, ValueError):
    """An argument is out of its range."""
