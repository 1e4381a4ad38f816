"""The platform's own errors: each message says what happened, where, what was kept and what to do next."""


class PlatformError(Exception):
    """Base of every error the platform raises on purpose; the command line prints it without a traceback."""


class SettingsError(PlatformError):
    """A setting names something that there is not."""


class ServerError(PlatformError):
    """ClickHouse cannot be started or reached."""


class MissingDatabaseError(ServerError):
    """The server is there, but the platform's database is not."""


class MigrationError(PlatformError):
    """The schema in the database and the files in sql/ do not agree."""


class SourceError(PlatformError):
    """An input file or source cannot be used as it is."""


class ProofError(PlatformError):
    """A partition could not be proved equal to its definition."""


class OutboxFullError(PlatformError):
    """The outbox takes no more readings; those it was given with this call were not accepted."""


class DeliveryError(PlatformError):
    """A channel did not take an alert; it can be sent again. The message holds no secret."""


class LookmlError(PlatformError):
    """The LookML project cannot be used as it is; the message names the file and the object."""


class FilterError(LookmlError):
    """A filter expression is not understood or does not fit its field."""
