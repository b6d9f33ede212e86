CREATE TEMP TABLE spot AS
SELECT n, l.* FROM generate_series(1, %(troubles)s) n
JOIN LATERAL (SELECT CASE WHEN mod(n, 10) < 6 THEN 1 ELSE 0 END AS main) m ON true
JOIN LATERAL (
    SELECT installation_id, stream FROM place WHERE main = 0 AND object_type = 'contact' AND k = mod(n, most)
    UNION ALL SELECT installation_id, name FROM stream WHERE main = 1 AND g = 1 AND object_type = 'contact'
) l ON true;
CREATE UNIQUE INDEX ON spot (n);

INSERT INTO failed_records (tenant_id, id, created_at, installation_id, stream, external_id, direction, record_id, run_id, state, code, field,
    message, title, match_value, tries, retry_at, last_failed_at, resolved_at)
SELECT %(tenant)s, pg_temp.id('failed', s.n, at), at, s.installation_id, s.stream, 'ext_' || s.n, CASE WHEN mod(s.n, 4) = 0 THEN 'out' ELSE 'in' END,
    w.id, r.id, st.state, CASE WHEN mod(s.n, 4) = 0 THEN 'invalid' ELSE 'mapping_failed' END,
    pg_temp.pick('{email,phone,birthday,score,stage,city}', s.n / 4), 'The value does not fit.', 'Priya Raman ' || s.n,
    'person.' || s.n || '@large.example', 1 + mod(s.n, 5), CASE WHEN st.state = 'waiting' THEN now() + interval '20 hours' END, at,
    CASE WHEN st.state = 'resolved' THEN at + interval '1 hour' END
FROM spot s JOIN rec w ON w.num = mod(s.n * 7::bigint, %(records)s) + 1 JOIN run r ON r.r = 1 + mod(s.n, %(runs)s),
LATERAL (SELECT pg_temp.spread(s.n, %(troubles)s, 25) AS at, pg_temp.pick('{waiting,parked,parked,resolved,parked,ignored}', s.n / 10) AS state) st;

INSERT INTO conflicts (tenant_id, id, created_at, installation_id, stream, external_id, record_id, kind, state, key, base, ours, theirs, policy,
    resolution, read_at, run_id, settled_at, settled_by)
SELECT %(tenant)s, pg_temp.id('conflict', s.n, at), at, s.installation_id, s.stream, 'ext_' || w.num, w.id, 'fields', st.state, 'email',
    '{"phone": "+44 20 7946 0102"}', '{"phone": "+44 20 7946 0188"}', jsonb_build_object('phone', '+44 7700 9' || mod(s.n, 90)),
    CASE WHEN st.resolution = 'policy' THEN 'theirs' END, st.resolution, at, r.id,
    CASE WHEN st.state = 'settled' THEN at + interval '1 hour' END, CASE WHEN st.resolution = 'ours' THEN %(user)s::uuid END
FROM spot s JOIN rec w ON w.num = mod(s.n * 20::bigint, %(records)s) + 1 JOIN run r ON r.r = 1 + mod(s.n, %(runs)s),
LATERAL (SELECT pg_temp.spread(s.n, %(troubles)s, 80) AS at, CASE WHEN mod(s.n / 10, 5) < 2 THEN 'open' ELSE 'settled' END AS state,
    CASE WHEN mod(s.n / 10, 5) < 2 THEN NULL WHEN mod(s.n / 10, 5) = 2 THEN 'ours' ELSE 'policy' END AS resolution) st
ON CONFLICT DO NOTHING;

INSERT INTO problems (tenant_id, id, created_at, installation_id, signature, code, state, stops_sync, message, fix, detail, count, run_id, last_seen_at)
SELECT i.tenant_id, pg_temp.id('problem', i.g * 10 + k, at), at, i.id, p.signature, p.code, 'open', p.stops, p.message, 'Look at it.', '', 1 + mod(i.g, 50),
    CASE WHEN i.customer = 0 THEN (SELECT id FROM run WHERE r = 10) END, at
FROM inst i JOIN (VALUES
    (1, 'reconnect', 'reconnect', true, 'The access was taken back.'),
    (2, 'vendor_down', 'vendor_down', false, 'The other side did not answer.'),
    (3, 'records:contacts:mapping_failed:email', 'records_refused', false, 'Records could not be written.'),
    (4, 'records_out:contacts:invalid:phone', 'records_refused', false, 'Records were refused.'),
    (5, 'conflicts:contacts', 'conflicts_open', false, 'Fields were changed on both sides.'),
    (6, 'schema_drift:contacts', 'schema_drift', false, 'Fields have changed there.')
) AS p(k, signature, code, stops, message) ON (i.g = 1 AND k > 1) OR (i.blocked = 'reconnect' AND k = 1) OR (i.failures > 0 AND k = 2)
    OR (mod(i.g, 4) = 0 AND k = 2 + mod(i.g, 3)),
LATERAL (SELECT pg_temp.spread(i.g * 10 + k, (%(installations)s + %(tenants)s * 5) * 10 + 10, 20) AS at) t
WHERE i.state IN ('active', 'paused');

INSERT INTO problems (tenant_id, id, created_at, installation_id, signature, code, state, message, fix, count, run_id, last_seen_at, closed_at, closed_by)
SELECT %(tenant)s, pg_temp.id('solved', s.n, at), at, s.installation_id, pg_temp.pick('{vendor_down,records_out:contacts:invalid:phone,reconnect}', s.n),
    pg_temp.pick('{vendor_down,records_refused,reconnect}', s.n), 'closed', 'The other side did not answer.', 'Wait.', 2, r.id, at, at + interval '1 hour', 'run'
FROM spot s JOIN run r ON r.r = 1 + mod(s.n, %(runs)s), LATERAL (SELECT pg_temp.spread(s.n, %(troubles)s, 80) - interval '2 hours' AS at) t;

INSERT INTO intents (tenant_id, id, created_at, installation_id, stream, record_id, external_id, operation, state, cause, fields, mapping_version,
    tries, due_at, sent_at, settled_at, error_code, error_message)
SELECT %(tenant)s, pg_temp.id('intent', n, at), at, p.installation_id, p.name, w.id, 'ext_' || w.num, 'update', st.state, 'Maja Lindqvist', '["city"]', 2, 1,
    CASE WHEN st.state = 'planned' THEN now() + interval '2 days' ELSE at END, CASE WHEN st.state <> 'planned' THEN at END,
    CASE WHEN st.state IN ('confirmed', 'rejected') THEN at + interval '2 s' END, CASE WHEN st.state = 'rejected' THEN 'invalid' END,
    CASE WHEN st.state = 'rejected' THEN 'The value does not fit.' END
FROM generate_series(1, %(intents)s) n JOIN rec w ON w.num = CASE WHEN mod(n, 1000) = 0 THEN 20 ELSE mod(n * 20::bigint, %(records)s) + 1 END
JOIN (SELECT installation_id, name FROM stream WHERE g = 1 AND object_type = 'contact') p ON true,
LATERAL (SELECT pg_temp.spread(n, %(intents)s, 80) AS at,
    CASE WHEN mod(n, 50) = 1 THEN 'planned' WHEN mod(n, 40) = 7 THEN 'rejected' WHEN mod(n, 300) = 9 THEN 'parked' ELSE 'confirmed' END AS state) st
ON CONFLICT DO NOTHING;

INSERT INTO installation_status (tenant_id, id, created_at, tenant_name, connector, version, status, signature, last_success_at, late_at, changed_at)
SELECT i.tenant_id, i.id, i.since, i.customer_name, i.slug, i.label, CASE WHEN i.state = 'setting_up' THEN 'setting_up' WHEN i.blocked IS NOT NULL THEN 'action_needed'
    WHEN i.state = 'paused' THEN 'paused' WHEN i.failures > 0 THEN 'failing' WHEN b.id IS NOT NULL THEN 'incomplete' ELSE 'healthy' END,
    (SELECT p.signature FROM problems p WHERE p.tenant_id = i.tenant_id AND p.installation_id = i.id AND p.state = 'open' ORDER BY p.stops_sync DESC LIMIT 1),
    now() - interval '1 hour', CASE WHEN mod(i.g, 33) = 1 THEN now() - interval '1 minute' ELSE now() + interval '1 day' END, i.since
FROM inst i LEFT JOIN (
    SELECT installation_id AS id FROM failed_records WHERE tenant_id = %(tenant)s AND state IN ('waiting', 'parked')
    UNION SELECT installation_id FROM conflicts WHERE tenant_id = %(tenant)s AND state = 'open'
) b ON b.id = i.id WHERE i.state <> 'removed';

INSERT INTO breakers (id, created_at, kind, key, state, failures_in_row, open_until, updated_at)
SELECT gen_random_uuid(), now(), 'host', 'api.vendor-' || n || '.example:443', CASE WHEN mod(n, 9) = 0 THEN 'open' ELSE 'closed' END, 0, now() + interval '1 hour', now()
FROM generate_series(1, 60) n;

INSERT INTO audit (tenant_id, id, created_at, actor_id, actor, action, subject_type, subject_id, installation_id, subject, ip, request_id)
SELECT %(tenant)s, pg_temp.id('audit', n, t.at), t.at, p.id, p.name,
    pg_temp.pick('{installation.paused,installation.resumed,mapping.saved,installation.configured}', n),
    'installation', i.id::text, i.id, i.name, '192.0.2.7', substr(md5(n::text), 1, 12)
FROM generate_series(1, %(audit)s) n JOIN person p ON p.k = mod(n, %(people)s) + 1
JOIN inst i ON i.g = CASE WHEN mod(n, 2) = 0 THEN 1 ELSE 1 + mod(n, %(installations)s) END,
LATERAL (SELECT pg_temp.spread(n, %(audit)s, 300) AS at) t;
