"""Guards of write-back as a subscriber: what was handled, joined, told twice, left out or lost."""

from tests.mutants import Mutant

_HANDLED = "tests/counterparts/test_handled_changes.py"
_LOOK, _CARRIED = "app/services/missed_writes.py", "app/services/handled_changes.py"
_TWO = f"{_HANDLED}::test_what_one_installation_reads_is_handled_by_the_other_and_what_that_lost_is_found"
_REFUSED = f"{_HANDLED}::test_a_write_that_was_refused_or_needs_nothing_is_handled"

MUTANTS = (
    Mutant(
        "the count of what joined a write", "app/services/intents.py", '"told = intents.told + CASE',
        '"told = intents.told + 0 * CASE',
        f"{_HANDLED}::test_changes_that_are_told_while_a_write_waits_are_one_write_which_says_how_many",
    ),
    Mutant(
        "the count of what was told while it was sent", "app/services/intents.py", 'ELSE excluded.told END, "',
        'ELSE 0 END, "',
        f"{_HANDLED}::test_what_is_told_while_a_write_is_being_sent_is_counted_with_the_one_that_follows",
    ),
    Mutant(
        "the mark of what was told twice", _CARRIED, "repeated = (t.repeated <> '' AND n.told > 0)", "repeated = false",
        f"{_HANDLED}::test_a_change_that_is_told_again_is_counted_and_nothing_is_sent",
    ),
    Mutant(
        "the change that a write has handled", _CARRIED,
        "handled_id = coalesce(nullif(t.handled, '')::uuid, n.handled_id)", "handled_id = n.handled_id", _REFUSED,
    ),
    Mutant("a check that looks at what was handled", _LOOK, "OR n.handled_id >= newest.id)", "OR false)", _REFUSED),
    Mutant(
        "a check that looks at what waits", _LOOK, "n.state IN ('planned', 'sent', 'in_doubt') OR", "",
        f"{_HANDLED}::test_a_lost_write_is_found_by_the_check_and_made_once",
    ),
    Mutant(
        "a stream's own beginning", _LOOK, "AND c.id > o.told_from ", "", _TWO,
    ),
    Mutant("nothing is missed of what is gone", _LOOK, "l.deleted_at IS NULL))", "l.deleted_at IS NULL) OR true)", _TWO),
    Mutant("a stream is not told its own changes", _LOOK, "AND {OTHERS.format('o.i', 'o.s')} ", "", _TWO),
    Mutant(
        "what an undo has deleted is not missed", _LOOK, "AND NOT newest.undone ", "",
        f"{_HANDLED}::test_what_an_undo_has_deleted_here_stays_there_and_is_not_missed",
    ),
    Mutant(
        "a paused installation is left alone", _LOOK, 'Installation.state == "active", ', "",
        f"{_HANDLED}::test_streams_that_are_off_paused_or_of_before_miss_nothing",
    ),
    Mutant(
        "an end to what one check plans", "jobs/missed_writes.py", " or missed >= missed_writes.MOST", "",
        f"{_HANDLED}::test_the_daily_task_finds_what_is_lost_page_by_page_and_not_more_than_its_most",
    ),
    Mutant(
        "the filter of what flows out", "app/sync/outbound.py", "    if left_out:\n", "    if left_out and False:\n",
        f"{_HANDLED}::test_what_a_filter_leaves_out_is_not_sent_and_what_comes_back_is_sent_whole",
    ),
)  # fmt: skip
