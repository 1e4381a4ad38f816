"""The platform's own exceptions. Each message says what happened, where, what was kept and what to do next."""


class PlatformError(Exception):
    """Base class of all errors that the platform raises; the command line prints them without a traceback."""


class SettingsError(PlatformError):
    """A setting is invalid, or refers to something that does not exist."""


class ServerError(PlatformError):
    """ClickHouse cannot be started or reached."""


class MissingDatabaseError(ServerError):
    """The server answers, but the platform's database does not exist."""


class MigrationError(PlatformError):
    """The schema in the database differs from the files in sql/."""


class WaitingMigrationError(MigrationError):
    """A migration waits for data; `iot-platform migrate` does what it waits for, or says what to do."""


class SourceError(PlatformError):
    """An input file or another source of data cannot be used."""


class ProofError(PlatformError):
    """Verifying a partition failed: it differs from what its layer's definition computes."""


class OutboxFullError(PlatformError):
    """The outbox is full; the readings of this call were not accepted."""


class DeliveryError(PlatformError):
    """An alert could not be sent through a channel; it can be sent again. The message contains no secret."""


class LookmlError(PlatformError):
    """The LookML project is invalid; the message names the file and the object."""


class FilterError(LookmlError):
    """A filter expression cannot be parsed, or does not fit the type of its field."""
