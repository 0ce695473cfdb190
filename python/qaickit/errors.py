"""Exceptions of qaickit. Each also derives from the built-in class that a caller would expect."""

from __future__ import annotations


class QaicKitError(RuntimeError):
    """Base of all errors raised by qaickit. `code` is the stable name of the kind of error."""

    code = "INTERNAL"


class InvalidArgumentError(QaicKitError, ValueError):
    """The caller passed something wrong; a retry cannot help."""

    code = "INVALID_ARGUMENT"


class NotFoundError(QaicKitError, FileNotFoundError):
    """A file, a name or a device is not there."""

    code = "NOT_FOUND"


class PermissionDeniedError(QaicKitError, PermissionError):
    """The operating system refused access."""

    code = "PERMISSION_DENIED"


class DataLossError(QaicKitError, ValueError):
    """A file is damaged, truncated or not of its kind."""

    code = "DATA_LOSS"


class UnavailableError(QaicKitError):
    """Not on this machine: a library or a card is missing."""

    code = "UNAVAILABLE"


class UnsupportedError(QaicKitError, NotImplementedError):
    """Understood, but this backend cannot do it."""

    code = "UNSUPPORTED"


class FailedPreconditionError(QaicKitError):
    """Right call, wrong moment."""

    code = "FAILED_PRECONDITION"


class ResourceExhaustedError(QaicKitError, MemoryError):
    """Memory, activations or queue places are used up; a retry can help."""

    code = "RESOURCE_EXHAUSTED"


class TimedOutError(QaicKitError, TimeoutError):
    """It did not finish in its time."""

    code = "TIMED_OUT"


class CancelledError(QaicKitError):
    """The caller asked for it to stop."""

    code = "CANCELLED"


class ClosedError(QaicKitError):
    """The session was closed before it ran."""

    code = "CLOSED"


class DeviceError(QaicKitError):
    """The device reported a fault."""

    code = "DEVICE_ERROR"


_CLASSES: list[type[QaicKitError]] = [QaicKitError, *QaicKitError.__subclasses__()]
BY_CODE = {cls.code: cls for cls in _CLASSES}
