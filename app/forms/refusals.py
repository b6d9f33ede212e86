"""What a service has refused, at the fields of the form that it came from."""

from wtforms import Form

from app.errors import AppError, InvalidError


def refuse(form: Form, error: AppError) -> str:
    """Put what does not fit at its fields; return the message when it belongs to none of them."""
    fields = error.fields if isinstance(error, InvalidError) else {}
    for name, sentence in fields.items():
        form[name].errors = [sentence]
    return "" if fields else error.message
