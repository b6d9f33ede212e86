"""Authorisation: how calls are authorised. Credentials cannot be named anywhere else in a manifest."""

from typing import Annotated, Literal, TypeVar

from pydantic import Field, StringConstraints, model_validator

from connectors.sdk.schema.operations import Check
from connectors.sdk.schema.parts import Closed, Label, Name, Parameter, Path, Sentence, Template

Token = TypeVar("Token")
Prefix = Annotated[str, StringConstraints(max_length=40)]


class Scope(Closed):
    """A permission asked for, and why."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    reason: Sentence
    optional: bool = Field(False, description="The customer may leave it out.")


class Key(Closed):
    """One key and where it goes."""

    field: Name = Field(description="The secret config field.")
    place: Literal["header", "query"] = "header"
    parameter: Parameter = "Authorization"
    prefix: Prefix = ""


class Jwt(Closed):
    """A token we sign ourselves (RFC 7523), or exchange for one."""

    key: Name = Field(description="The secret config field with the key.")
    key_format: Literal["pem", "service_account", "id_secret"] = Field(
        description="`pem`: RS256 private key; `service_account`: its JSON file; `id_secret`: `id:hex`, signed HS256."
    )
    issuer: Template = ""
    subject: Template = ""
    audience: Template = ""
    scope: Template = ""
    lifetime_seconds: Annotated[int, Field(ge=30, le=3600)] = 300
    backdate_seconds: Annotated[int, Field(ge=0, le=300)] = Field(0, description="For vendors whose clock is behind.")
    sent: Literal["assertion", "bearer"] = Field(
        "assertion", description="How it is exchanged: as RFC 7523 says, or in the Authorization header."
    )
    exchange: bool = Field(True, description="Sent to token_url for an access token; false: it is the token itself.")


class Auth(Closed):
    """One way to authorise calls."""

    name: Name = Field("default", description="Told apart by this where there is a choice.")
    label: Label = Field("", description="What the customer chooses between.")
    kind: Literal["none", "api_key", "bearer", "basic", "keys", "oauth2", "client_credentials", "jwt_bearer"]
    field: Name | None = Field(None, description="api_key and bearer: the secret config field.")
    place: Literal["header", "query"] = "header"
    parameter: Parameter = "Authorization"
    prefix: Prefix = Field("", description="Before the value; `Bearer ` by itself for tokens in Authorization.")
    username: Name | None = Field(None, description="basic: the config field with the user name.")
    password: Name | None = Field(None, description="basic: the secret config field with the password.")
    user_is_key: bool = Field(False, description="basic: the secret is sent as user name, with an empty password.")
    keys: list[Key] = Field([], description="keys: several at once.")
    authorize_url: Template | None = None
    token_url: Template | None = None
    refresh_url: Template | None = Field(None, description="Where it differs from token_url.")
    revoke_url: Template | None = Field(None, description="RFC 7009, or the vendor's own call.")
    revoke_method: Literal["POST", "DELETE"] = "POST"
    revoke_parameter: Parameter = Field("token", description="What the token is called there.")
    revoke_token: Literal["refresh", "access"] = Field(
        "refresh", description="Which token; the other where there is none."
    )
    revoke_body: Literal["form", "json"] = "form"
    revoke_client_auth: Literal["body", "basic", "json"] | None = Field(None, description="Where it differs.")
    token: Path = Field("access_token", description="Where an answer holds the access token.")
    expires_at: Path | None = Field(None, description="Where it holds the time the token ends, instead of expires_in.")
    check: Check | None = Field(
        None, description="Where an account that is authorised this way is checked by another call."
    )
    issuer: Template | None = Field(None, description="RFC 9207: what `iss` of the callback must be; else the origin.")
    scopes: list[Scope] = []
    scope_separator: Literal[" ", ","] = " "
    scope_parameter: Parameter = "scope"
    optional_scope_parameter: Parameter | None = Field(None, description="Where optional scopes have one of their own.")
    authorize_params: dict[Parameter, Template] = {}
    token_params: dict[Parameter, Template] = {}
    pkce: bool = True
    pkce_off_because: Sentence | None = Field(None, description="Needed with `pkce: false`.")
    client_auth: Literal["body", "basic", "json"] = "body"
    client_id: Name | None = Field(None, description="client_credentials: the config field; else the operator's own.")
    client_secret: Name | None = Field(None, description="client_credentials: the secret config field.")
    keep: list[Path] = Field([], description="Values of the token answer to keep: `{kept.instance_url}`.")
    keep_redirect: list[Name] = Field([], description="Parameters of the callback to keep.")
    jwt: Jwt | None = None

    @model_validator(mode="after")
    def _complete(self) -> "Auth":
        needs = {
            "api_key": ("field",), "bearer": ("field",), "basic": ("password",), "keys": ("keys",),
            "oauth2": ("authorize_url", "token_url", "scopes"), "client_credentials": ("token_url",),
            "jwt_bearer": ("jwt",),
        }  # fmt: skip
        missing = [name for name in needs.get(self.kind, ()) if not getattr(self, name)]
        if missing:
            raise ValueError(f"auth of kind {self.kind} needs {', '.join(missing)}")
        if not self.pkce and not self.pkce_off_because:
            raise ValueError("pkce: false needs pkce_off_because")
        if self.jwt and self.jwt.exchange and not self.token_url:
            raise ValueError("a JWT that is exchanged needs token_url")
        return self

    def token_to_revoke(self, refresh: Token | None, access: Token) -> Token:
        """Return the token that is given back."""
        return access if refresh is None or self.revoke_token == "access" else refresh  # noqa: S105  # a word

    @property
    def has_token(self) -> bool:
        """Whether calls carry an access token that expires."""
        return self.kind in ("oauth2", "client_credentials", "jwt_bearer")
