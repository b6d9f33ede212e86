"""What the user is told: errors that a view turns into a page, a fragment or JSON."""


class AppError(Exception):
    """Base. `code` is stable for programs, `message` is a sentence for people, `status` the HTTP answer."""

    status = 400
    code = "invalid_request"

    def __init__(self, message: str, *, code: str | None = None, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        if code:
            self.code = code


class NotFoundError(AppError):
    """The thing is not there, or belongs to another tenant: the answer is the same."""

    status = 404
    code = "not_found"

    def __init__(self, message: str = "There is nothing at this address.", **more: str) -> None:
        super().__init__(message, **more)


class SignInRequiredError(AppError):
    """Nobody is signed in."""

    status = 401
    code = "sign_in_required"


class ForbiddenError(AppError):
    """Signed in, but the role does not allow it."""

    status = 403
    code = "forbidden"


class ConflictError(AppError):
    """Somebody or something else was faster; load again and decide."""

    status = 409
    code = "conflict"


class InvalidError(AppError):
    """What was sent does not fit. `fields` maps a form field to its message."""

    status = 422
    code = "invalid"

    def __init__(self, message: str, fields: dict[str, str] | None = None, **more: str) -> None:
        super().__init__(message, **more)
        self.fields = fields or {}


class TooManyError(AppError):
    """Too many tries; `retry_after` in seconds."""

    status = 429
    code = "too_many"

    def __init__(self, message: str, retry_after: int = 60) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnavailableError(AppError):
    """Something the request needs is down for the moment."""

    status = 503
    code = "unavailable"
