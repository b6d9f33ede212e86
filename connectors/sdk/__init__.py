"""The public names of the connector SDK: the one import an author or the platform needs."""

from connectors.sdk.contract import Account, Connector, External, Page, Rejected, Session
from connectors.sdk.errors import (
    AuthError,
    ChangedError,
    ConfigError,
    ConnectorError,
    ContractError,
    CursorExpiredError,
    EgressError,
    RateLimitedError,
    RecordError,
    RetryableError,
    ScopeError,
    TooLargeError,
    UnavailableError,
    VendorDataError,
)
from connectors.sdk.fields import Choice, FieldInfo, TargetField
from connectors.sdk.filters import Filter, compile_filters, describe_filter, filter_from_json
from connectors.sdk.fitting import fits, suggest_transform
from connectors.sdk.http import Exchange, HttpClient, Response
from connectors.sdk.loader import Issue, ManifestError
from connectors.sdk.manifest import Manifest, canonical, digest, json_schema, load_manifest, manifest_from_json
from connectors.sdk.mapping import CompiledMapping, compile_mapping
from connectors.sdk.mapping_types import (
    FieldProblem,
    Mapped,
    MappingError,
    Outbound,
    Rule,
    Transform,
    rules_from_json,
    rules_to_json,
)
from connectors.sdk.pace import Pace, SharedPace
from connectors.sdk.paging import Checkpoint
from connectors.sdk.rule_changes import RuleChange, diff_rules
from connectors.sdk.secret import Secret
from connectors.sdk.suggestions import suggest_rules
from connectors.sdk.transforms import TRANSFORMS, TransformInfo
from connectors.sdk.type_checks import check_types, with_proposal
from connectors.sdk.writing import Outgoing, Refused, Writer, Written

__all__ = [
    "TRANSFORMS", "Account", "AuthError", "ChangedError", "Checkpoint", "Choice", "CompiledMapping", "ConfigError",
    "Connector", "ConnectorError", "ContractError", "CursorExpiredError", "EgressError", "Exchange", "External",
    "FieldInfo", "FieldProblem", "Filter", "HttpClient", "Issue", "Manifest", "ManifestError", "Mapped", "MappingError",
    "Outbound", "Outgoing", "Pace", "Page", "RateLimitedError", "RecordError", "Refused", "Rejected", "Response",
    "RetryableError", "Rule", "RuleChange", "ScopeError", "Secret", "Session", "SharedPace", "TargetField",
    "TooLargeError", "Transform", "TransformInfo", "UnavailableError", "VendorDataError", "Writer", "Written",
    "canonical", "check_types", "compile_filters", "compile_mapping", "describe_filter", "diff_rules", "digest",
    "filter_from_json", "fits", "json_schema", "load_manifest", "manifest_from_json", "rules_from_json",
    "rules_to_json", "suggest_rules", "suggest_transform", "with_proposal",
]  # fmt: skip
