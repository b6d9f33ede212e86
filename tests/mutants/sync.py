"""Guards of two-way sync, of webhooks in, of events out and of the API."""

from tests.mutants import Mutant

_GUARDS = "tests/counterparts/test_two_way_guards.py"
_HOOKS, _HINTS = "tests/app/views/test_hooks.py", "tests/jobs/test_hints.py"
_ANSWERS, _UPDATES = "tests/counterparts/test_lost_answers.py", "tests/counterparts/test_lost_updates.py"

MUTANTS = (
    Mutant(
        "fence", "app/services/page_writes.py", "if row is None or row[0] != 1:", "if row is None:",
        f"{_GUARDS}::test_a_page_without_the_lease_writes_nothing",
    ),
    Mutant(
        "same-transaction checkpoint", "app/services/pages.py", "            page_writes.advance(sql, context,",
        "            sql.commit()\n            page_writes.advance(sql, context,",
        f"{_GUARDS}::test_a_page_and_its_checkpoint_are_one_transaction",
    ),
    Mutant(
        "echo ledger", "app/sync/echoes.py", "if hash_of(theirs, echo.fields) in (echo.sent_hash, echo.answer_hash):",
        "if False:", "tests/app/sync/test_plan.py::test_our_own_write_that_comes_back_is_consumed_and_no_conflict",
    ),
    Mutant(
        "intent row", "app/services/intent_claims.py",
        "    _mark_sent(sql, context, sending, carried)\n", "",
        f"{_GUARDS}::test_a_write_is_kept_as_sent_before_its_request",
    ),
    Mutant(
        "mass-delete guard", "app/sync/deletes.py", "        return Verdict(False, True)\n    return Verdict(True, False)",
        "        return Verdict(True, False)\n    return Verdict(True, False)", "tests/app/sync/test_deletes.py",
    ),
    Mutant(
        "answers written down within the lease", "jobs/intents.py",
        'min(_SETTLE_AFTER, current_app.extensions["settings"].lease_seconds / 4)', "99.0",
        f"{_UPDATES}::test_a_batch_that_takes_longer_than_a_lease_keeps_its_lease",
    ),
    Mutant(
        "If-Match", "connectors/sdk/writing.py", 'if guard.kind == "if_match" and record.version:', "if False:",
        "tests/counterparts/test_two_way_on_kinto.py::test_the_same_field_changed_on_both_sides_waits_for_a_person",
    ),
    Mutant(
        "reading again what was read before our write", "app/sync/plan.py",
        "        if link and _is_stale(link, item, began):", "        if link and False:",
        "tests/app/sync/test_plan.py::test_what_was_read_before_our_write_was_answered_is_read_again",
    ),
    Mutant(
        "writing again what has changed meanwhile", "app/services/intents.py",
        "again = intents.again OR intents.state <> 'planned'", "again = false",
        f"{_GUARDS}::test_what_changes_while_it_is_written_is_written_again",
    ),
    Mutant(
        "one of two records that are one", "app/services/intent_outcomes.py",
        "if link and link.record_id != answer.sending.record_id:", "if False:",
        f"{_ANSWERS}::test_what_a_page_reads_before_the_answer_is_known_is_no_second_record",
    ),
    Mutant(
        "a person's word about a create in doubt", "app/services/intent_claims.py", "unsure=record_id in unsure,",
        "unsure=False,", f"{_ANSWERS}::test_what_may_be_there_is_not_created_again_by_an_edit_or_a_pass",
    ),
    Mutant(
        "what a search finds is read", "jobs/intent_sending.py",
        "return Answer(item, Written(found[0].id, None), found[0]) if found else None",
        "return Answer(item, Written(found[0].id, found[0].version, found[0].data)) if found else None",
        f"{_ANSWERS}::test_an_edit_over_there_of_what_is_in_doubt_is_kept",
    ),
    Mutant(
        "mass-delete guard on the way out", "jobs/intents.py", "intent_claims.hold_deletes(sql, context)", "pass",
        "tests/counterparts/test_delete_guard.py::test_many_deletes_from_here_wait_for_a_person",
    ),
    Mutant(
        "an empty side deletes nothing", "app/sync/deletes.py", "return read > 0 and (", "return (",
        "tests/counterparts/test_delete_guard.py::test_a_side_that_shows_nothing_deletes_nothing",
    ),
    Mutant(
        "both forms of a value", "app/sync/outbound.py",
        "if name not in incoming and (there != value or OURS + name in agreed):", "if False:",
        f"{_UPDATES}::test_a_value_in_another_form_settles",
    ),
    Mutant(
        "a rest for a quarrel", "app/sync/outbound.py",
        "if (writes_last_hour or {}).get(tie.external_id, 0) + 1 >= WRITES_AN_HOUR:", "if False:",
        f"{_UPDATES}::test_a_quarrel_with_an_automation_over_there_ends",
    ),
    Mutant(
        "fan-out by state, not by id > last", "app/services/fan_out.py", "AND fan_out = 'new' ORDER BY id ",
        "AND fan_out = 'new' AND NOT EXISTS (SELECT FROM {table} m WHERE m.tenant_id = {table}.tenant_id "
        "AND m.id > {table}.id AND m.fan_out = 'done') ORDER BY id ",
        "tests/events/test_fan_out.py::test_e02_outbox_commit_order",
    ),
    Mutant(
        "what a lost worker was sending", "jobs/dispatches.py", "        dispatch_claims.recover(task.tenant_id)\n", "",
        "tests/events/test_processes.py::test_e04_killed_after_the_send",
    ),
    Mutant(
        "Retry-After for the whole endpoint", "app/services/dispatch_claims.py",
        "        Subscription.not_before.is_(None) | (Subscription.not_before <= now()),\n", "",
        "tests/events/test_sending.py::test_e06_retry_after_is_obeyed_for_the_whole_endpoint",
    ),
    Mutant(
        "changes are read below the oldest running transaction", "app/services/change_stream.py",
        "SELECT pg_snapshot_xmin(s)::text::bigint, ", "SELECT pg_snapshot_xmax(s)::text::bigint, ",
        "tests/app/api/test_changes.py::test_a_late_commit_is_not_lost",
    ),
    Mutant(
        "one POST for one Idempotency-Key", "app/services/idempotency.py",
        "        if db.session.scalar(made) is not None:\n            return None\n",
        "        db.session.scalar(made)\n        return None\n",
        "tests/app/api/test_records.py::test_two_parallel_posts_with_one_idempotency_key_do_it_once",
    ),
    Mutant(
        "If-Match", "app/services/record_batches.py", "    if item.version is not None and ", "    if False and ",
        "tests/app/api/test_records.py::test_the_life_of_a_record",
    ),
    Mutant(
        "the scope of a key", "app/api/operations.py", "        who.demand(made.scope)\n", "        pass\n",
        "tests/app/api/test_access.py::test_each_operation_needs_its_scope_and_no_other",
    ),
    Mutant(
        "a guest sees what the link is for", "app/guests.py",
        "    if not _is_of(guest, values):\n        raise NotFoundError\n", "",
        "tests/app/api/test_installations.py::test_where_a_person_has_to_consent_a_link_is_needed",
    ),
    Mutant(
        "verification of webhooks", "app/services/deliveries.py",
        'if verdict != "accepted" or delivery.method != "POST":', "if False:", f"{_HOOKS}::test_w04_forged",
    ),
    Mutant(
        "ids of events that are known", "app/services/inbox.py",
        "DO NOTHING RETURNING tenant_id, id)", "DO UPDATE SET copies = deliveries.copies RETURNING tenant_id, id)",
        f"{_HOOKS}::test_w06_replay",
    ),
    Mutant(
        "five minutes", "connectors/sdk/webhooks.py", "- int(stamp[:15])) > 300", "- int(stamp[:15])) > 10**16",
        f"{_HOOKS}::test_w05_old_and_future",
    ),
    Mutant(
        "a secret that is captured once", "app/services/deliveries.py", "if door.sealed and not door.captures:",
        "if False:", f"{_HOOKS}::test_w15_a_secret_is_captured_once",
    ),
    Mutant(
        "the account of an endpoint", "app/services/doors.py",
        "return [door] if account in (None, door.account) else []", "return [door]",
        f"{_HOOKS}::test_an_account_that_is_not_the_installations_is_not_taken",
    ),
    Mutant(
        "events apart by account", "connectors/sdk/webhooks.py", "    if len(parts) <= 1:", "    if True:",
        "tests/counterparts/test_webhooks_shared.py::test_each_tenant_gets_the_events_of_its_account_alone",
    ),
    Mutant(
        "what was told while a record was looked up", "app/services/hints.py",
        "return ours, {row[0] for row in anew}", "return ours, set()",
        f"{_HINTS}::test_an_event_that_comes_while_the_record_is_looked_up_is_not_lost",
    ),
    Mutant(
        "a delete only of what is gone and was told deleted", "jobs/hints.py",
        "deleted = [name for name in seen.gone if taken.about.get(name, ((), False))[1]]", "deleted = list(seen.gone)",
        f"{_HINTS}::test_a_delete_is_believed_when_the_record_is_gone",
    ),
    Mutant(
        "only a newer version, where events carry the record", "jobs/hints.py",
        "            if is_newer(record.version, known.version if known else link.external_version if link else None):",
        "            if True:",
        "tests/jobs/test_carried.py::test_an_older_or_equal_version_that_comes_later_changes_nothing",
    ),
    Mutant(
        "no 2xx without a row", "app/views/hooks.py", "        return _DOWN\n", '        return Answer(200, "ok")\n',
        "tests/faults/test_webhooks.py::test_w09_the_database_is_away_for_500_requests",
    ),
    Mutant(
        "no orphan of a lost answer", "jobs/endpoints.py",
        "    for name, _ in lost:\n        _remove(connector, session, hooks, name)\n", "",
        "tests/jobs/test_endpoints.py::test_an_answer_that_is_lost_leaves_no_orphan",
    ),
    Mutant(
        "503 while the store is away", "app/views/hooks.py", "        return _DOWN\n", "        raise\n",
        "tests/faults/test_webhooks.py::test_w03_a_storm_beside_syncs_whose_sender_repeats_what_is_503",
    ),
)  # fmt: skip
