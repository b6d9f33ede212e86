"""The errors a connector may raise, sorted by what the engine does next, not by where they happened."""


class ConnectorError(Exception):
    """Base. `message` is for the log (redacted), `user_message` and `fix` are sentences for the customer."""

    code = "connector_error"
    default_user_message = "The other side answered in a way that cannot be worked with."
    default_fix = "Nothing is lost. It is tried again by itself; tell support when it stays."

    def __init__(
        self, message: str, *, user_message: str = "", fix: str = "", code: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.user_message = user_message or self.default_user_message
        self.fix = fix or self.default_fix
        self.retry_after = retry_after
        if code:
            self.code = code


class ConfigError(ConnectorError):
    """A setting is wrong: stop and ask the customer."""

    code = "settings_wrong"
    default_user_message = "A setting of the connection does not fit."
    default_fix = "Open the settings of the connection and correct it."


class EgressError(ConfigError):
    """The address may not be reached from here."""

    code = "address_refused"
    default_user_message = "This address may not be reached from here."
    default_fix = "Give a public https address. For an address in your own network, ask the operator to allow it."


class AuthError(ConnectorError):
    """The credentials are no longer accepted: stop, the customer connects again."""

    code = "reconnect"
    default_user_message = "The other side no longer accepts the connection."
    default_fix = "Connect the account again. No data is lost: what has changed meanwhile is read after that."


class ScopeError(ConnectorError):
    """The credentials are accepted but a permission is missing."""

    code = "permission_missing"
    default_user_message = "The connected account may not read this data."
    default_fix = "Give the account the permission at the other side, or connect another one."


class RetryableError(ConnectorError):
    """The whole page again, later."""

    code = "retry_later"


class RateLimitedError(RetryableError):
    """Too many calls; `retry_after` seconds when the other side said so."""

    code = "rate_limited"
    default_user_message = "The other side asks us to slow down."
    default_fix = "Nothing to do: the sync goes on by itself."


class UnavailableError(RetryableError):
    """Timeout, network trouble or a 5xx answer."""

    code = "vendor_down"
    default_user_message = "The other side cannot be reached at the moment."
    default_fix = "Nothing to do: it is tried again by itself, with growing pauses."


class VendorDataError(RetryableError):
    """The answer is not what it should be: cut off, not JSON, too deep. The page is not used."""

    code = "vendor_bad_data"
    default_user_message = "The other side sent an answer that cannot be read."
    default_fix = "Nothing to do: it is tried again by itself. Tell support when it stays."


class TooLargeError(VendorDataError):
    """The answer exceeds the size limit."""

    code = "too_large"


class CursorExpiredError(RetryableError):
    """The cursor of the last pass is no longer accepted: read in full."""

    code = "cursor_expired"


class ChangedError(ConnectorError):
    """Somebody else changed the record since it was read (412, or the vendor's own word): read, merge, write again."""

    code = "changed_meanwhile"
    default_user_message = "The record was changed at the other side while it was being written."
    default_fix = "Nothing to do: it is read again and joined."


class RecordError(ConnectorError):
    """This record only; the others go on."""

    code = "record_failed"


class ContractError(ConnectorError):
    """The connector broke its promise: a bug in it."""

    code = "connector_bug"
    default_user_message = "This integration has a fault."
    default_fix = "Tell support; they see the details. No data is lost."
