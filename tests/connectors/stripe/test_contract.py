"""The contract of connectors/stripe, against fixtures in the shapes of Stripe's documentation."""

from connectors.sdk import Outgoing
from connectors.sdk.testing import WriteCase
from tests.connectors.contract import HouseContract

SINCE = "2026-11-24T08:00:00Z"
CREATED = Outgoing({"name": "Ada", "email": "ada@example.test", "address.city": "Oslo"}, key="patchbay-key-1")


class TestContract(HouseContract):
    slug = "stripe"
    since = {"customers": SINCE, "invoices": SINCE, "subscriptions": SINCE}
    writes = (
        WriteCase("customers", "create", [CREATED]),
        WriteCase("customers", "update", [Outgoing({"name": "Ada", "phone": None}, id="cus_test1")]),
        WriteCase("customers", "delete", [Outgoing({}, id="cus_test1")]),
    )

    def test_older_news_on_a_later_page_is_left_out(self) -> None:
        session, _ = self.session()
        pages = list(self.passes("customers", session, SINCE))
        assert [record.data["name"] for page in pages for record in page.records] == ["Ada"]
        assert [gone for page in pages for gone in page.deleted] == ["cus_test2"]
