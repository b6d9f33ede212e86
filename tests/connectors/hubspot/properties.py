"""What a HubSpot account says of its properties."""

from typing import Any


def properties_of(changed: str) -> list[dict[str, Any]]:
    """Return the properties of an account: HubSpot's own time of change, and some of each kind that were added."""

    def prop(name: str, label: str, type_: str, field_type: str, **more: Any) -> dict[str, Any]:
        return {
            "name": name, "label": label, "type": type_, "fieldType": field_type, "description": "", "groupName": "custom",
            "options": [], "hidden": False, "hasUniqueValue": False, "formField": True, "archived": False,
            "modificationMetadata": {"archivable": True, "readOnlyDefinition": False, "readOnlyValue": False}, **more,
        }  # fmt: skip

    shades = [{"label": "Light blue", "value": "blue", "displayOrder": 0, "hidden": False}]
    found = [
        prop(changed, "Last Modified Date", "datetime", "date", hubspotDefined=True),
        prop("favourite_shade", "Favourite shade", "enumeration", "select", options=shades),
        prop("shades", "Shades", "enumeration", "checkbox", options=shades),
        prop("is_member", "Member", "enumeration", "booleancheckbox"),
        prop("about", "About", "string", "textarea"),
        prop("renewal", "Renewal", "date", "date"),
        prop("seats", "Seats", "number", "number"),
        prop("score", "Score", "number", "calculation_equation"),
        prop("secret_note", "Hidden", "string", "text", hidden=True),
    ]
    found[7]["modificationMetadata"]["readOnlyValue"] = True
    return found
