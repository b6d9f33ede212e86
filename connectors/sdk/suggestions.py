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
    named = {target.name: (_plain(target.name), _plain(target.label)) for target in targets}
    everything = {name for names in named.values() for name in names}
    own = [(_plain(source.name.rsplit(".", 1)[-1]), _plain(source.label)) for source in sources]
    # Most sources have nothing to do with most targets: only those that share a word are compared.
    places: dict[str, list[int]] = {}
    for position, names in enumerate(own):
        for name in set(names):
            places.setdefault(name, []).append(position)
    rules = []
    for target in targets:
        ours = named[target.name]
        words = {*ours, *(word for same in _SYNONYMS if ours[0] in same or ours[1] in same for word in same)}
        likely = [
            (rank, misfit, position)
            for position in {position for word in words for position in places.get(word, ())}
            if (rank := _rank(own[position], ours, everything)) is not None
            and (misfit := _misfit(sources[position].type, target.type)) is not None
        ]
        if likely:
            found = sources[min(likely)[2]]
            step = suggest_transform(found.type, target.type)
            rules.append(Rule(target.name, (found.name,), (step,) if step else ()))
    return rules


def _plain(name: str) -> str:
    return _PLAIN.sub("", name.lower())


def _rank(own: tuple[str, str], ours: tuple[str, str], taken: set[str]) -> int | None:
    """Return how near (name, label) of two fields that share a word are, 0 the nearest, None when not near enough."""
    name, label = own
    if name == ours[0]:
        return 0
    if name in ours or label in ours:
        return 1
    return None if name in taken or label in taken else 2


def _misfit(source_type: str, target_type: str) -> int | None:
    """Return how far two types are apart, 0 the nearest, None when no transform brings them together."""
    if source_type == target_type:
        return 0
    if fits(source_type, target_type):
        return 1
    return 2 if suggest_transform(source_type, target_type) else None
