"""The contract of a connector against this host's own object types."""

from app.services.object_types import standard_fields
from connectors.sdk import TargetField
from connectors.sdk.testing import ContractSuite


class HouseContract(ContractSuite):
    """Inherit it as TestContract, name the `slug`, and say what the files cannot (see ContractSuite)."""

    def target_fields(self, object_type: str) -> list[TargetField]:
        return standard_fields(object_type)
