"""Guards of exports, of the erasure of a tenant, and of destinations of notifications."""

from tests.mutants import Mutant

_EXPORTS, _DATA, _TOLD = (
    "tests/jobs/test_exports.py",
    "tests/jobs/test_tenant_data.py",
    "tests/jobs/test_destinations.py",
)

MUTANTS = (
    Mutant(
        "nothing sealed in an export", "app/services/tenant_tables.py",
        "if not isinstance(column.type, LargeBinary) and (table.name", "if (table.name",
        f"{_DATA}::test_an_export_holds_every_row_but_no_secret",
    ),
    Mutant(
        "sensitive fields of a tenant's export", "app/services/tenant_tables.py",
        "return mask(value, hidden) if hidden and", "return value if hidden and",
        f"{_DATA}::test_an_export_holds_every_row_but_no_secret",
    ),
    Mutant(
        "sensitive fields of an installation's export", "app/services/export_files.py",
        'data = mask(row.pop("data") or {}, hidden)', 'data = row.pop("data") or {}',
        f"{_EXPORTS}::test_sensitive_values_stay_hidden",
    ),
    Mutant(
        "an export ends with its time", "app/services/exports.py",
        'Export.state == "ready", Export.expires_at > now()', 'Export.state == "ready"',
        f"{_EXPORTS}::test_an_export_ends_with_its_time",
    ),
    Mutant(
        "an export is its installation's", "app/services/exports.py",
        ".where(Export.installation_id == installation_id)\n", "\n",
        f"{_EXPORTS}::test_it_is_fetched_by_admins_of_the_tenant_alone_and_that_is_written_down",
    ),
    Mutant(
        "no cell that a spreadsheet calculates", "app/services/export_files.py",
        "if isinstance(value, str) and value.startswith(_FORMULA)", "if False and value.startswith(_FORMULA)",
        f"{_EXPORTS}::test_everything_of_one_installation_and_nothing_of_another",
    ),
    Mutant(
        "an export goes on behind the last row of its part", "app/services/exports.py",
        '"after": after}', '"after": None}', f"{_EXPORTS}::test_json_is_json_whatever_the_number_of_rows",
    ),
    Mutant(
        "the name is typed", "app/services/erasures.py", "if typed.strip() != tenant.name:", "if False:",
        f"{_DATA}::test_only_who_types_the_name_erases_and_it_can_be_taken_back",
    ),
    Mutant(
        "nothing is erased before its time", "app/services/erasures.py", "if found.erase_at > now():", "if False:",
        f"{_DATA}::test_only_who_types_the_name_erases_and_it_can_be_taken_back",
    ),
    Mutant(
        "what has begun is not taken back", "app/services/erasures.py",
        'if found is None or found.state != "waiting":', "if found is None:",
        f"{_DATA}::test_access_is_given_back_before_anything_goes",
    ),
    Mutant(
        "access is given back first", "jobs/tenant_data.py", "if patient and erasures.is_giving_back(subject):", "if False:",
        f"{_DATA}::test_access_is_given_back_before_anything_goes",
    ),
    Mutant(
        "who belonged to it is remembered over a lost worker", "app/services/erasures.py",
        "found.people = sorted({*found.people, *ids})", "found.people = ids",
        f"{_DATA}::test_a_worker_that_is_lost_is_gone_on_with",
    ),
    Mutant(
        "accounts of those who belong to others stay", "app/services/erasures.py",
        "if staff is not None or accounts.list_tenants(user_id):", "if staff is not None:",
        f"{_DATA}::test_everything_of_a_tenant_goes_and_nothing_of_another",
    ),
    Mutant(
        "the address of who asked is forgotten", "app/services/erasures.py",
        "        found.requested_email = None\n", "", f"{_DATA}::test_everything_of_a_tenant_goes_and_nothing_of_another",
    ),
    Mutant(
        "the signature of the report", "app/services/erasures.py",
        "isinstance(signature, dict) and ring().is_signed(_canonical(body), signature)", "isinstance(signature, dict)",
        f"{_DATA}::test_the_report_is_signed_and_a_changed_one_is_not_genuine",
    ),
    Mutant(
        "the platform's tenant is not erased", "app/services/tenant_tables.py", "if tenant_id == PLATFORM_TENANT:",
        "if False:", f"{_DATA}::test_the_audit_log_of_a_tenant_that_stays_cannot_be_deleted",
    ),
    Mutant(
        "a rest for a destination that fails", "app/services/destinations.py",
        "if found.not_before and found.not_before > now():", "if False:",
        f"{_TOLD}::test_what_fails_is_tried_again_and_backs_off",
    ),
    Mutant(
        "410 is the end", "app/services/destinations.py", 'if verdict.kind == "gone" or is_given_up(', "if is_given_up(",
        f"{_TOLD}::test_who_never_answers_is_switched_off_and_admins_hear_of_it",
    ),
    Mutant(
        "five days of failing are the end", "app/services/destinations.py",
        'if verdict.kind == "gone" or is_given_up(found.failing_since, now()):', 'if verdict.kind == "gone":',
        f"{_TOLD}::test_who_never_answers_is_switched_off_and_admins_hear_of_it",
    ),
    Mutant(
        "nothing follows from a test", "app/services/destinations.py",
        'if verdict.kind == "failed" and not notice.content:', "if False:",
        f"{_TOLD}::test_a_test_shows_its_result_and_nothing_follows_from_it",
    ),
    Mutant(
        "nobody is called by a name", "app/services/notice_bodies.py",
        'return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")', "return text",
        f"{_TOLD}::test_slack_gets_a_text_and_blocks_that_cannot_call_anybody",
    ),
    Mutant(
        "private addresses of destinations", "jobs/notices.py", "client_for(outgoing.url, settings.egress_allow)",
        'client_for(outgoing.url, ("127.0.0.0/8",))', f"{_TOLD}::test_a_private_address_is_not_called",
    ),
    Mutant(
        "two secrets sign while one is exchanged", "app/services/signing_secrets.py", "expires_at=now() + OVERLAP",
        "expires_at=now()", f"{_TOLD}::test_while_a_secret_is_exchanged_both_sign",
    ),
    Mutant(
        "no third secret signs", "app/services/signing_secrets.py",
        "    write(ending.where(SigningSecret.expires_at.is_not(None)).values(expires_at=now()))\n", "",
        f"{_TOLD}::test_while_a_secret_is_exchanged_both_sign",
    ),
)  # fmt: skip
