"""changed settings of installations are told, and what a policy has decided; sequences of what is gone go

What is told of settings is their names: `schedule`, `name`, `version`, and of a stream `contacts.direction` and so on.
"""

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

TELL_CHANGED = """
CREATE FUNCTION tell_changed(p_tenant uuid, p_installation uuid, p_changed text[]) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT write_event(i.tenant_id, 'installation.changed', i.id, jsonb_build_object('installation_id', i.id,
        'connector', i.connector, 'name', i.name, 'state', i.state, 'blocked_code', i.blocked_code, 'changed',
        to_jsonb(p_changed)))
    FROM installations i WHERE i.tenant_id = p_tenant AND i.id = p_installation AND i.state IN ('active', 'paused')
        AND p_changed <> '{}'
$$"""
TELL_INSTALLATION = """
CREATE FUNCTION tell_installation_changed() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM tell_changed(NEW.tenant_id, NEW.id, array_remove(ARRAY[
        CASE WHEN NEW.name IS DISTINCT FROM OLD.name THEN 'name' END,
        CASE WHEN NEW.listing_version_id IS DISTINCT FROM OLD.listing_version_id THEN 'version' END], NULL));
    RETURN NULL;
END $$"""
TELL_SCHEDULE = """
CREATE FUNCTION tell_schedule_changed() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM tell_changed(NEW.tenant_id, NEW.installation_id, ARRAY['schedule']);
    RETURN NULL;
END $$"""
STREAM = {
    "enabled": "enabled", "direction": "direction", "conflict_policy": "conflict_policy",
    "delete_policy": "delete_policy", "mapping_version": "mapping",
}  # fmt: skip
TELL_STREAM = f"""
CREATE FUNCTION tell_stream_changed() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM tell_changed(NEW.tenant_id, NEW.installation_id, array_remove(ARRAY[{', '.join(
        f"CASE WHEN NEW.{column} IS DISTINCT FROM OLD.{column} THEN NEW.stream || '.{name}' END"
        for column, name in STREAM.items()
    )}], NULL));
    RETURN NULL;
END $$"""  # noqa: S608  # constants only
# A policy may decide as often as a page has records: where nobody listens, nothing is written.
TELL_DECIDED = """
CREATE FUNCTION tell_conflict_decided() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM lookup_listeners(NEW.tenant_id, false)) THEN
        PERFORM write_event(NEW.tenant_id, 'conflict.settled', NEW.id, jsonb_build_object('conflict_id', NEW.id,
            'installation_id', NEW.installation_id, 'stream', NEW.stream, 'external_id', NEW.external_id, 'record_id',
            nullif(NEW.record_id, '00000000-0000-0000-0000-000000000000'), 'kind', NEW.kind, 'state', NEW.state,
            'resolution', NEW.resolution,
            'fields', (SELECT coalesce(jsonb_agg(k), '[]') FROM jsonb_object_keys(NEW.theirs) k)));
    END IF;
    RETURN NULL;
END $$"""
TRIGGERS = {
    "tell_installation_changed": ("UPDATE OF name, listing_version_id", "installations", "true"),
    "tell_schedule_changed": (
        "UPDATE OF kind, minutes, at, zone", "schedules",
        "(OLD.kind, OLD.minutes, OLD.at, OLD.zone) IS DISTINCT FROM (NEW.kind, NEW.minutes, NEW.at, NEW.zone)",
    ),
    "tell_stream_changed": (f"UPDATE OF {', '.join(STREAM)}", "installation_streams", "true"),
    "tell_conflict_decided": ("INSERT", "conflicts", "NEW.state = 'settled' AND NEW.resolution = 'policy'"),
}  # fmt: skip
# Whose events are numbered. Records and installations stay, marked as deleted.
SUBJECTS = ("records", "installations", "runs", "conflicts", "problems", "subscriptions")


def upgrade() -> None:
    for function in (TELL_CHANGED, TELL_INSTALLATION, TELL_SCHEDULE, TELL_STREAM, TELL_DECIDED):
        op.execute(function)
    for name, (moment, table, condition) in TRIGGERS.items():
        op.execute(
            f"CREATE TRIGGER {name} AFTER {moment} ON {table} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION {name}()"
        )
    # The owner is forced under the policies as well; for this, and only in this transaction, it is not.
    for table in (*SUBJECTS, "event_sequences"):
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    there = " AND ".join(
        f"NOT EXISTS (SELECT FROM {table} t WHERE t.tenant_id = s.tenant_id AND t.id = s.subject_id)"  # noqa: S608  # constants
        for table in SUBJECTS
    )
    op.execute(f"DELETE FROM event_sequences s WHERE {there}")  # noqa: S608  # constants only
    for table in (*SUBJECTS, "event_sequences"):
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    for name, (_, table, _) in TRIGGERS.items():
        op.execute(f"DROP TRIGGER {name} ON {table}")
        op.execute(f"DROP FUNCTION {name}()")
    op.execute("DROP FUNCTION tell_changed(uuid, uuid, text[])")
