-- Number 1 of the large customer is the one with most of everything; 2 is its twin, in another account.
CREATE TEMP TABLE inst AS
SELECT g, c.number AS customer, c.tenant_id, c.name AS customer_name, m.slug, m.version_id, m.label, m.base, m.manifest, t.at AS since,
    pg_temp.id('installation', g, t.at) AS id, pg_temp.id('connection', g, t.at) AS connection_id,
    CASE g WHEN 1 THEN 'Main CRM' WHEN 2 THEN 'Second CRM' ELSE m.name || ' ' || (1 + g / 40) END AS name,
    CASE WHEN g < 4 THEN 'active' WHEN mod(g, 25) = 4 THEN 'paused' WHEN mod(g, 25) = 9 THEN 'setting_up'
        WHEN mod(g, 50) = 14 THEN 'removed' ELSE 'active' END AS state,
    CASE WHEN g > 3 AND mod(g, 30) = 11 THEN 'reconnect' END AS blocked,
    CASE WHEN g > 3 AND mod(g, 30) = 16 THEN 3 ELSE 0 END AS failures
FROM generate_series(1, %(installations)s + %(tenants)s * 5) g
JOIN customer c ON c.number = CASE WHEN g <= %(installations)s THEN 0 ELSE 1 + (g - %(installations)s - 1) / 5 END
JOIN market m ON CASE WHEN g < 3 THEN m.slug = 'sandbox' WHEN g = 3 THEN m.slug = 'hubspot'
    ELSE m.k = mod(g, (SELECT count(*) FROM market)) END,
LATERAL (SELECT pg_temp.spread(g, %(installations)s + %(tenants)s * 5, 400) - interval '85 days' AS at) t;
CREATE UNIQUE INDEX ON inst (g);

INSERT INTO connections (tenant_id, id, created_at, connector, state, account_id, account_name, settings, tested_at, connected_by)
SELECT tenant_id, connection_id, since, slug, CASE WHEN state = 'setting_up' THEN 'new' WHEN blocked IS NULL THEN 'ready' ELSE 'reconnect' END,
    CASE WHEN state <> 'setting_up' THEN 'account-' || g END, CASE WHEN state <> 'setting_up' THEN pg_temp.firm(g) END,
    '{"server": "http://127.0.0.1:9", "database": "crm", "table": "contacts", "bucket": "crm"}', since, %(user)s FROM inst;

INSERT INTO installations (tenant_id, id, created_at, connector, listing_version_id, connection_id, name, state, step,
    created_by, activated_at, blocked_code, failures_in_row, last_success_at, updated_at)
SELECT tenant_id, id, since, slug, version_id, connection_id, name, state, CASE WHEN state = 'setting_up' THEN 'connect' ELSE 'activate' END,
    %(user)s, CASE WHEN state <> 'setting_up' THEN since END, blocked, failures,
    CASE WHEN state <> 'setting_up' THEN now() - make_interval(mins => mod(g * 37, 900)) END, since FROM inst;

CREATE TEMP TABLE stream AS
SELECT i.g, i.customer, i.tenant_id, i.id AS installation_id, i.slug, i.state, i.base, i.since, s.number, s.declared ->> 'name' AS name,
    s.declared ->> 'object_type' AS object_type, jsonb_typeof(s.declared -> 'writes') = 'object' AS writes
FROM inst i, jsonb_array_elements(i.manifest -> 'streams') WITH ORDINALITY AS s(declared, number);

INSERT INTO installation_streams (tenant_id, id, created_at, installation_id, stream, object_type, connector, direction,
    conflict_policy, mapping_version, claimed_account, last_complete_at, full_pass_due, missing_after)
SELECT tenant_id, pg_temp.id('stream' || name, g, since), since + number * interval '1 ms', installation_id, name, object_type, slug,
    CASE WHEN writes THEN 'both' ELSE 'in' END, CASE WHEN writes THEN 'ask' ELSE 'theirs' END, v.most,
    CASE WHEN state IN ('active', 'paused') THEN 'account-' || g END, now() - interval '1 day', false, NULL
FROM stream, LATERAL (SELECT CASE WHEN g = 1 THEN 60 ELSE 2 END AS most) v;

INSERT INTO mappings (tenant_id, id, created_at, installation_id, stream, version, rules, created_by)
SELECT s.tenant_id, pg_temp.id('mapping' || s.name || version, s.g, s.since), s.since + version * interval '1 hour',
    s.installation_id, s.name, version, r.rules, %(user)s
FROM stream s JOIN rules r ON r.base = s.base AND r.stream = s.name,
generate_series(1, CASE WHEN s.g = 1 THEN 60 ELSE 2 END) version;

-- Due tomorrow at the soonest: what is looked at is not synced, the vendors are not there.
INSERT INTO schedules (tenant_id, id, created_at, installation_id, kind, at, next_due_at, active, promised_at)
SELECT tenant_id, pg_temp.id('schedule', g, since), since, id, 'daily', '03:00', CASE WHEN state = 'active' THEN now() + make_interval(hours => 24 + mod(g, 20)) END,
    state = 'active', CASE WHEN state = 'active' THEN since END FROM inst;

INSERT INTO endpoints (tenant_id, id, created_at, installation_id, connector, address, account, state, registered_at)
SELECT tenant_id, pg_temp.id('endpoint', g, since), since, id, slug, md5('address' || g), 'account-' || g, 'active', since
FROM inst WHERE customer = 0 AND state = 'active' AND jsonb_typeof(manifest -> 'webhooks') = 'object';

-- Where records of a type may come from, but for the main installation.
CREATE TEMP TABLE place AS
SELECT object_type, row_number() OVER (PARTITION BY object_type ORDER BY g, number) - 1 AS k, count(*) OVER (PARTITION BY object_type) AS most,
    installation_id, name AS stream, g FROM stream WHERE customer = 0 AND g > 1 AND state IN ('active', 'paused');
