"""The SQL that migrations use to guard tables: roles, grants and row level security policies.

Rules and the leaks they prevent: FORCE (else the owner sees all), both USING and WITH CHECK, `nullif` (after a
transaction-local setting the value comes back as an empty string), and a scalar sub-select (evaluated once).
"""

LOGIN_ROLES = ("patchbay_web", "patchbay_worker", "patchbay_dispatcher")
LOOKUP_ROLE = "patchbay_lookup"
TENANT = "(select nullif(current_setting('patchbay.tenant', true), '')::uuid)"
USER = "(select nullif(current_setting('patchbay.user', true), '')::uuid)"
_STAFF_ROWS = "SELECT 1 FROM staff_roles s WHERE s.role IN ('support', 'operator') AND s.user_id ="
_TIMEOUTS = {"patchbay_web": "5s", "patchbay_worker": "20s", "patchbay_dispatcher": "10s"}


def create_roles() -> list[str]:
    """Make the roles that are missing; in production an administrator may have made them with passwords."""
    statements = []
    for role in (*LOGIN_ROLES, LOOKUP_ROLE):
        kind = "NOLOGIN" if role == LOOKUP_ROLE else "LOGIN"
        statements.append(
            f"DO $$ BEGIN CREATE ROLE {role} {kind} NOSUPERUSER NOBYPASSRLS NOINHERIT; "
            "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        )
    for role, timeout in _TIMEOUTS.items():
        settings = {
            "statement_timeout": timeout,
            "lock_timeout": "3s",
            "idle_in_transaction_session_timeout": "15s",
        }
        statements += [f"ALTER ROLE {role} SET {name} = '{value}'" for name, value in settings.items()]
    statements += [
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        f"GRANT USAGE ON SCHEMA public TO {', '.join((*LOGIN_ROLES, LOOKUP_ROLE))}",
    ]
    return statements


def limit_transactions(action: str = "SET transaction_timeout = '30s'") -> list[str]:
    """End a transaction that a stopped process left in the middle of a pipeline (PostgreSQL 17 and newer).

    Such a session counts as active, so idle_in_transaction_session_timeout would never end it, and its locks would
    keep every other worker from the task.
    """
    alterations = " ".join(f"ALTER ROLE {role} {action};" for role in LOGIN_ROLES)
    return [f"DO $$ BEGIN IF current_setting('server_version_num')::int >= 170000 THEN {alterations} END IF; END $$"]


def protect(table: str, *, column: str = "tenant_id", bound: str = TENANT) -> list[str]:
    """Guard a table: its rows are seen and written only when `column` equals what the session is bound to."""
    return [
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
        f"CREATE POLICY bound ON {table} USING ({column} = {bound}) WITH CHECK ({column} = {bound})",
    ]


def allow(table: str, role: str, commands: str = "ALL") -> list[str]:
    """Let one role cross tenants in one table; every such table is listed in app/tenancy.py."""
    check = "" if commands in ("SELECT", "DELETE") else " WITH CHECK (true)"
    return [f"CREATE POLICY {role}_crosses ON {table} FOR {commands} TO {role} USING (true){check}"]


def allow_staff(table: str) -> list[str]:
    """Let the host's support and operators read one table of all tenants, over the web; listed in app/tenancy.py."""
    return [f"CREATE POLICY staff ON {table} FOR SELECT TO patchbay_web USING ((SELECT EXISTS ({_STAFF_ROWS} {USER})))"]


def grant(table: str, role: str, rights: str = "SELECT, INSERT, UPDATE, DELETE") -> list[str]:
    """Grant rights on a table to a role."""
    return [f"GRANT {rights} ON {table} TO {role}"]


def lookup_function(name: str, argument: str, returns: str, body: str) -> list[str]:
    """A SECURITY DEFINER function of patchbay_lookup with a fixed search_path; it returns ids only."""
    kind = argument.split()[-1]
    return [
        f"CREATE FUNCTION {name}({argument}) RETURNS TABLE ({returns}) LANGUAGE sql STABLE SECURITY DEFINER "
        f"SET search_path = pg_catalog, public, pg_temp AS $$ {body} $$",
        f"ALTER FUNCTION {name}({kind}) OWNER TO {LOOKUP_ROLE}",
        f"REVOKE ALL ON FUNCTION {name}({kind}) FROM PUBLIC",
        f"GRANT EXECUTE ON FUNCTION {name}({kind}) TO patchbay_web, patchbay_worker",
    ]
