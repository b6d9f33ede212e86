"""Which field of the other side belongs to which of the host's, guessed by name and type."""

import re
from collections.abc import Sequence

from connectors.sdk.fields import FieldInfo, TargetField
from connectors.sdk.fitting import fits, suggest_transform
from connectors.sdk.mapping_types import Rule

_PLAIN = re.compile(r"[^a-z0-9]")
# Names that mean the same in nearly every product; spelled as `_plain` leaves them.
_SYNONYMS = tuple(
    frozenset(line.split())
    for line in (
        "email mail emailaddress", "firstname givenname forename", "lastname surname familyname",
        "fullname name displayname contactname", "phone phonenumber telephone tel mobile mobilephone mobilenumber cell",
        "companyname company organization organisation organizationname accountname employer", "jobtitle title position role",
        "postalcode zip zipcode postcode", "street address streetaddress addressline1", "city town", "state region province",
        "country countrycode countryname", "birthday birthdate dateofbirth dob", "website url homepage web webaddress",
        "notes note description comments remarks body", "stage lifecyclestage dealstage pipelinestage", "status state",
        "amount value total", "currency currencycode", "closedate closingdate expectedclosedate", "duedate due dueon deadline",
        "employees numberofemployees employeecount headcount", "subject title summary", "number reference",
        "consent marketingconsent optin", "score leadscore rating", "active enabled", "assignee owner assignedto",
    )
)  # fmt: skip


def suggest_rules(sources: Sequence[FieldInfo], targets: Sequence[TargetField]) -> list[Rule]:
    """Return a rule for every target that a source of the same name, label or meaning fits, as it is or transformed.

    The name goes before the label, both before a synonym; among equals the better type wins. A source that has the
    very name of one target is no synonym for another.
    """
    named = {target.name: {_plain(target.name), _plain(target.label)} for target in targets}
    everything = set().union(*named.values())
    rules = []
    for target in targets:
        likely = [
            (rank, misfit, position, source)
            for position, source in enumerate(sources)
            if (rank := _rank(source, target, everything)) is not None
            and (misfit := _misfit(source.type, target.type)) is not None
        ]
        if likely:
            found = min(likely, key=lambda candidate: candidate[:3])[3]
            step = suggest_transform(found.type, target.type)
            rules.append(Rule(target.name, (found.name,), (step,) if step else ()))
    return rules


def _plain(name: str) -> str:
    return _PLAIN.sub("", name.lower())


def _rank(source: FieldInfo, target: TargetField, taken: set[str]) -> int | None:
    """Return how near two names are, 0 the nearest, None when they have nothing in common."""
    name, label = _plain(source.name.rsplit(".", 1)[-1]), _plain(source.label)
    ours = (_plain(target.name), _plain(target.label))
    if name == ours[0]:
        return 0
    if name in ours or label in ours:
        return 1
    if name in taken or label in taken:
        return None
    return 2 if any(name in same or label in same for same in _SYNONYMS if ours[0] in same or ours[1] in same) else None


def _misfit(source_type: str, target_type: str) -> int | None:
    """Return how far two types are apart, 0 the nearest, None when no transform brings them together."""
    if source_type == target_type:
        return 0
    if fits(source_type, target_type):
        return 1
    return 2 if suggest_transform(source_type, target_type) else None
