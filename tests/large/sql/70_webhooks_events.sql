-- One address for the accounts of all customers.
INSERT INTO endpoints (tenant_id, id, created_at, connector, address, state, registered_at)
VALUES ('00000000-0000-0000-0000-000000000000', pg_temp.id('shared', 1, now() - interval '60 days'), now() - interval '60 days', 'hubspot',
    md5('shared'), 'active', now() - interval '60 days');

INSERT INTO deliveries (tenant_id, id, created_at, endpoint_id, event_id, verdict, method, headers, body, size)
SELECT e.tenant_id, pg_temp.id('lost', n, at), at, e.id, 'evt_' || n, CASE WHEN mod(n, 3) = 0 THEN 'bad_signature' ELSE 'unknown_account' END, 'POST',
    '{"content-type": "application/json"}', convert_to('[{"portalId": 7, "objectId": ' || n || '}]', 'UTF8'), 40
FROM generate_series(1, %(deliveries)s / 20) n JOIN endpoints e ON e.address = md5('shared'),
LATERAL (SELECT pg_temp.spread(n, %(deliveries)s / 20, 13) AS at) t;

CREATE TEMP TABLE hook AS
SELECT row_number() OVER (ORDER BY g) - 1 AS k, count(*) OVER () AS most, e.id, e.installation_id, i.g,
    (SELECT s.name FROM stream s WHERE s.g = i.g ORDER BY s.number LIMIT 1) AS stream
FROM endpoints e JOIN inst i ON i.id = e.installation_id WHERE e.tenant_id = %(tenant)s;

INSERT INTO deliveries (tenant_id, id, created_at, endpoint_id, event_id, verdict, method, headers, body, size, copies)
SELECT %(tenant)s, pg_temp.id('delivery', n, at), at, h.id, 'evt_' || n, CASE WHEN mod(n, 60) = 1 THEN 'bad_signature' ELSE 'accepted' END, 'POST',
    '{"content-type": "application/json"}', convert_to('{"id": "evt_' || n || '", "type": "updated", "object": "contacts", "record_id": "ext_' || n || '"}', 'UTF8'), 90, 0
FROM generate_series(1, %(deliveries)s) n JOIN hook h ON h.k = CASE WHEN mod(n, 2) = 0 THEN 0 ELSE mod(n, h.most) END,
LATERAL (SELECT pg_temp.spread(n, %(deliveries)s, 25) AS at) t;

INSERT INTO hints (tenant_id, id, created_at, delivery_id, installation_id, stream, external_id, action, state, settled_at)
SELECT %(tenant)s, pg_temp.id('hint', n, at), at, pg_temp.id('delivery', n, at), h.installation_id, h.stream, 'ext_' || n, 'upsert',
    CASE WHEN mod(n, 200) = 3 THEN 'failed' WHEN mod(n, 3) = 0 THEN 'nothing' ELSE 'applied' END, at + interval '1 s'
FROM generate_series(1, %(deliveries)s) n JOIN hook h ON h.k = CASE WHEN mod(n, 2) = 0 THEN 0 ELSE mod(n, h.most) END,
LATERAL (SELECT pg_temp.spread(n, %(deliveries)s, 25) AS at) t WHERE mod(n, 60) <> 1;

INSERT INTO events (tenant_id, id, created_at, type, subject_id, data, fan_out)
SELECT %(tenant)s, pg_temp.id('event', n, at), at, 'run.finished', r.id, '{}', 'done'
FROM generate_series(1, %(dispatches)s) n JOIN run r ON r.r = 1 + mod(n, %(runs)s), LATERAL (SELECT pg_temp.spread(n, %(dispatches)s, 25) AS at) t;

CREATE TEMP TABLE ear AS
SELECT n - 1 AS k, c.tenant_id, pg_temp.id('subscription', n, now() - interval '60 days') AS id, 'Listener ' || n AS name FROM generate_series(1, 40) n
JOIN LATERAL (SELECT CASE WHEN n <= 25 THEN %(tenant)s::uuid ELSE '00000000-0000-0000-0000-000000000000'::uuid END AS tenant_id) c ON true;

-- Switched off by a person: what happens while one clicks about is sent to nobody.
INSERT INTO subscriptions (tenant_id, id, created_at, name, url, types, state, disabled_code, disabled_at, delivered_at)
SELECT tenant_id, id, now() - interval '60 days', name, 'https://hooks.example.com/in/' || k, '[]', 'disabled', 'person', now(), now() FROM ear;

INSERT INTO dispatches (tenant_id, id, created_at, subscription_id, event_id, type, subject_id, sequence, body, state, tries, attempts, due_at, finished_at, status, error)
SELECT e.tenant_id, pg_temp.id('dispatch', n, at), at, e.id, pg_temp.id('event', n, at), 'run.finished', r.id, n, '{"type": "run.finished"}', st.state, 1, 1, at, at,
    CASE WHEN st.state = 'delivered' THEN 204 ELSE 500 END, CASE WHEN st.state = 'failed' THEN 'It answered with 500.' END
FROM generate_series(1, %(dispatches)s) n JOIN ear e ON e.k = CASE mod(n, 4) WHEN 0 THEN 0 WHEN 1 THEN 25 ELSE mod(n, 40) END JOIN run r ON r.r = 1 + mod(n, %(runs)s),
LATERAL (SELECT pg_temp.spread(n, %(dispatches)s, 25) AS at, CASE WHEN mod(n, 9) = 0 THEN 'failed' ELSE 'delivered' END AS state) st;

INSERT INTO attempts (tenant_id, id, created_at, dispatch_id, number, outcome, ms, status)
SELECT e.tenant_id, pg_temp.id('attempt', n, at), at, pg_temp.id('dispatch', n, at), 1, CASE WHEN mod(n, 9) = 0 THEN 'failed' ELSE 'delivered' END, mod(n, 300), CASE WHEN mod(n, 9) = 0 THEN 500 ELSE 204 END
FROM generate_series(1, %(dispatches)s) n JOIN ear e ON e.k = CASE mod(n, 4) WHEN 0 THEN 0 WHEN 1 THEN 25 ELSE mod(n, 40) END, LATERAL (SELECT pg_temp.spread(n, %(dispatches)s, 25) AS at) t;

INSERT INTO tasks (tenant_id, id, created_at, lane, kind, key, state, due_at, attempts, finished_at)
SELECT %(tenant)s, pg_temp.id('task', n, at), at, 'sync', 'sync', 'installation-' || mod(n, 900), 'done', at, 1, at
FROM generate_series(1, %(deliveries)s / 10) n, LATERAL (SELECT pg_temp.spread(n, %(deliveries)s / 10, 2) AS at) t;

INSERT INTO volumes (tenant_id, hour, created, updated, deleted)
SELECT %(tenant)s, date_trunc('hour', now()) - h * interval '1 hour', mod(h * 7, 400), mod(h * 13, 900), mod(h, 9) FROM generate_series(0, 720) h;

-- Switched off, as the subscriptions are.
INSERT INTO destinations (tenant_id, id, created_at, kind, name, host, url_sealed, preference, state, disabled_code, disabled_at)
SELECT %(tenant)s, pg_temp.id('destination', n, now() - interval '60 days'), now() - interval '60 days', CASE WHEN mod(n, 2) = 0 THEN 'slack' ELSE 'webhook' END,
    'Channel ' || n, 'https://chat.example.com', '', 'problems', 'disabled', 'person', now() FROM generate_series(1, 20) n;

INSERT INTO notices (tenant_id, id, created_at, destination_id, subject, state, tries, status, finished_at)
SELECT %(tenant)s, pg_temp.id('notice', n, at), at, pg_temp.id('destination', CASE WHEN mod(n, 2) = 0 THEN 1 ELSE 1 + mod(n, 20) END, now() - interval '60 days'),
    'Main CRM needs you', CASE WHEN mod(n, 9) = 0 THEN 'failed' ELSE 'delivered' END, 1, CASE WHEN mod(n, 9) = 0 THEN 500 ELSE 200 END, at
FROM generate_series(1, %(dispatches)s / 4) n, LATERAL (SELECT pg_temp.spread(n, %(dispatches)s / 4, 25) AS at) t;

INSERT INTO exports (tenant_id, id, created_at, installation_id, format, state, requested_name, progress, parts, size, ready_at, expires_at)
SELECT %(tenant)s, pg_temp.id('export', n, now()), now(), i.id, 'csv', 'ready', 'Grace Holm', '{}', 0, 0, now(), now() + interval '20 hours'
FROM generate_series(1, 10) n JOIN inst i ON i.g = 1;

INSERT INTO exports (tenant_id, id, created_at, format, state, requested_name, progress, parts, size, ready_at, expires_at)
SELECT %(tenant)s, pg_temp.id('all', n, now()), now(), 'jsonl', 'ready', 'Grace Holm', '{}', 0, 0, now(), now() + interval '20 hours' FROM generate_series(1, 5) n;

INSERT INTO erasures (tenant_id, id, created_at, subject_id, subject_name, state, requested_name, erase_at, finished_at, report)
SELECT '00000000-0000-0000-0000-000000000000', pg_temp.id('erasure', n, t.at), t.at, pg_temp.id('gone', n, t.at), pg_temp.firm(n), 'done', 'Olga Operator', t.at, t.at, '{}'
FROM generate_series(1, 30) n, LATERAL (SELECT pg_temp.spread(n, 30, 200) AS at) t;
