"""Failed records at a vendor that answers as a test says: without an id, and refused one by one."""

from typing import Any

from app.services import failed_records
from tests.connectors.sdk.servers import Answer, Call
from tests.jobs.sites import Site, good

CONTACTS = "/v1/buckets/crm/collections/contacts/records"


def serve(site: Site, *contacts: dict[str, Any], one: Answer | None = None) -> None:
    """Answer with these contacts; `one` is the answer to a question about a single one."""

    def answer(call: Call) -> Answer:
        if call.path == CONTACTS:
            return 200, {"ETag": '"1"'}, {"data": list(contacts)}
        if call.path.startswith(f"{CONTACTS}/") and one:
            return one
        return good(call)

    site.vendor.answer = answer


def states(site: Site) -> list[Any]:
    return site.owner.execute("SELECT code, state, tries FROM failed_records ORDER BY id").fetchall()


def run_full(site: Site) -> None:
    site.owner.execute("UPDATE installation_streams SET full_pass_due = true")
    site.act(lambda tenant_id, installation_id: _start(tenant_id, installation_id))
    site.turn()


def _start(tenant_id: Any, installation_id: Any) -> None:
    from app.services import runs

    runs.start_run(tenant_id, installation_id, trigger="manual")


def test_what_has_no_id_is_over_when_a_full_pass_meets_it_no_more(site: Site) -> None:
    """It cannot be asked for alone. Red when its retry took "not found" for "in order"."""
    serve(site, {"email": "ada@example.test"})
    site.turn()
    assert states(site) == [("no_id", "waiting", 1)]
    site.act(failed_records.retry)
    before = len(site.vendor.calls)
    site.turn()
    assert states(site) == [("no_id", "waiting", 1)]
    assert [call.path for call in site.vendor.calls[before:] if "/records/" in call.path] == []
    assert site.ask("SELECT count(*) FROM problems WHERE code = 'records_refused' AND state = 'open'") == (1,)
    assert site.ask("SELECT bool_or(full_pass_due) FROM installation_streams WHERE stream = 'contacts'") == (True,)
    run_full(site)
    assert states(site) == [("no_id", "waiting", 1)]
    serve(site, {"id": "1", "email": "ada@example.test"})
    run_full(site)
    assert states(site) == [("no_id", "resolved", 1)]
    assert site.ask("SELECT count(*) FROM problems WHERE code = 'records_refused' AND state = 'open'") == (0,)


def test_a_record_that_the_other_side_does_not_show_stops_no_other(site: Site) -> None:
    """A refusal of one is counted against it alone. Red when it put all retries off without counting any."""
    bad = {"email": "not an address"}
    serve(site, {"id": "1", **bad}, {"id": "2", **bad}, one=(400, {}, {"message": "No."}))
    site.turn()
    site.act(failed_records.retry)
    site.turn()
    assert states(site) == [("mapping_failed", "waiting", 2)] * 2
    assert site.ask("SELECT count(*) FROM problems WHERE code = 'records_refused' AND state = 'open'") == (1,)
