"""Webhooks: how the vendor tells us that something changed, and how we know that it was the vendor."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from connectors.sdk.schema.parts import Closed, Condition, Header, Name, Path, Request, RootPath, Sentence


class Part(Closed):
    """One part of the signed message."""

    kind: Literal["literal", "timestamp", "method", "url", "path", "body", "header"]
    value: str = Field("", description="literal: the text; header: its name.")


class Verify(Closed):
    """How a request is verified. Closed by default: no secret or no header is a refusal."""

    kind: Literal["hmac", "standard_webhooks", "shared_token", "basic"] = "hmac"
    header: Header = Field("X-Signature", description="Where the signature or token stands.")
    prefix: str = Field("", description="Before the signature, as `sha256=`.")
    element: str | None = Field(
        None, description="The header is a list as `t=..,v1=..`: the name of the signature in it."
    )
    separator: str = Field(",", description="Between elements of the header.")
    algorithm: Literal["sha1", "sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    parts: list[Part] = [Part(kind="body")]
    secret: Literal["subscription", "client_secret", "config"] = Field(
        "subscription", description="Made with each subscription; the operator's application; or entered."
    )
    secret_field: Name | None = None
    key_encoding: Literal["raw", "base64", "hex"] = "raw"
    key_prefix: str = Field("", description="Taken off the secret before it is decoded, as `whsec_`.")
    timestamp_header: Header | None = None
    timestamp_element: str | None = Field(None, description="The name of the timestamp in the signature header.")
    timestamp_unit: Literal["s", "ms", "iso"] = "s"
    tolerance_seconds: Annotated[int, Field(ge=1, le=86_400)] = 300

    @model_validator(mode="after")
    def _complete(self) -> "Verify":
        stamped = any(part.kind == "timestamp" for part in self.parts)
        if self.kind == "hmac" and stamped and not (self.timestamp_header or self.timestamp_element):
            raise ValueError("a message with a timestamp needs timestamp_header or timestamp_element")
        if self.kind == "hmac" and not any(part.kind == "body" for part in self.parts):
            raise ValueError("a signature that does not cover the body proves nothing")
        if self.secret == "config" and not self.secret_field:  # noqa: S105  # a word, not a secret
            raise ValueError("secret: config needs secret_field")
        return self


class Handshake(Closed):
    """What the vendor asks before it sends anything."""

    kind: Literal["json_challenge", "echo_header", "echo_query", "intent", "token_capture"]
    when: Condition | None = Field(None, description="json_challenge, token_capture: what the body holds then.")
    name: str = Field("challenge", description="The key, header or parameter that is echoed or kept.")


class EventRule(Closed):
    """What an event says: which record of which stream."""

    where: list[Condition] = []
    stream: Name
    id: Path | None = Field(None, description="The record's id in the event; left out: the whole stream is read.")
    parent: Path | None = Field(None, description="Its parent's id in the event, where ids are scoped to a parent.")
    action: Literal["upsert", "delete", "resync"] = "upsert"
    record: RootPath | None = Field(None, description="The record itself, where the event carries it whole.")


class FindSubscription(Closed):
    """How the subscriptions at the vendor are listed: one whose answer was lost is found by our address."""

    request: Request = Field(description="The call that lists them, all on one page; `{hook.url}` is our address.")
    items: RootPath = Field("", description="Where the list stands in the answer.")
    id: Path = "id"
    url: Path = Field("url", description="Where each says which address it sends to.")


class Subscribe(Closed):
    """How a subscription is made at the vendor."""

    create: Request | None = Field(None, description="Filled from `{hook.url}` and `{hook.secret}`.")
    id: Path = "id"
    secret: Path | None = Field(None, description="Where the vendor's answer holds the secret.")
    find: FindSubscription | None = Field(
        None,
        description="Lists what is subscribed already; asked before one is made, and when the access is given back.",
    )
    check: Request | None = Field(
        None, description="Asks whether the subscription is still there; `{hook.id}` is its id."
    )
    renew: Request | None = None
    expires: Path | None = None
    remove: Request | None = None
    by_hand: Sentence | None = Field(None, description="What a person does where there is no call for it.")


class Webhooks(Closed):
    """Events from the vendor."""

    verify: Verify
    handshake: Handshake | None = None
    events: RootPath = Field("", description="Where the list of events stands; a single object is a list of one.")
    event_id: Path | None = Field(None, description="The event's own id; or the header below; or a hash of the body.")
    event_id_header: Header | None = None
    event_id_fields: Annotated[list[Path], Field(max_length=10)] = Field(
        [],
        description="Without an id: what of each event stays the same when it is sent again; a hash of it is the id.",
    )
    account: Path | None = Field(None, description="The account an event belongs to, where one address serves all.")
    endpoint: Literal["installation", "connector"] = Field(
        "installation",
        description="connector: the vendor takes one address for all accounts; `account` tells them apart.",
    )
    rules: Annotated[list[EventRule], Field(min_length=1, max_length=100)]
    subscribe: Subscribe

    @model_validator(mode="after")
    def _routed(self) -> "Webhooks":
        if self.endpoint == "connector" and not self.account:
            raise ValueError("one address for all accounts needs account, which tells them apart")
        if self.endpoint == "connector" and self.verify.secret != "client_secret":  # noqa: S105  # a word, not a secret
            raise ValueError("one address for all accounts is verified with the client_secret of the application")
        return self
