"""The errors that siren_codec raises on purpose; all else is a bug."""

__all__ = [
    "FitError",
    "FormatError",
    "LimitError",
    "NotInstalledError",
    "PictureError",
    "SirenError",
    "SirenWarning",
    "UsageError",
]


class SirenError(Exception):
    """Anything wrong with what the caller gave us; the message says what was expected and found."""


class SirenWarning(UserWarning):
    """What was converted, dropped or missed, where that is no error."""


class FormatError(SirenError):
    """The bytes are not a valid `.siren` file."""


class LimitError(SirenError):
    """A file or a request asks for more than the limits allow."""


class PictureError(SirenError):
    """A picture cannot be read, stored or written."""


class FitError(SirenError):
    """The fit failed: no usable model came out of it."""


class NotInstalledError(SirenError):
    """What was asked for needs an extra that is not installed; the message names it."""


class UsageError(SirenError, ValueError):
    """An argument is out of its range."""
