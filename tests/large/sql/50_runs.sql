CREATE TEMP TABLE run AS
SELECT r, i.g, i.id AS installation_id, i.version_id, pg_temp.id('run', r, at) AS id, at AS began,
    CASE WHEN r > 10 AND mod(r, 41) = 3 THEN 'failed' WHEN r > 10 AND mod(r, 97) = 5 THEN 'stopped' ELSE 'done' END AS state
FROM generate_series(1, %(runs)s) r JOIN inst i ON i.g = CASE WHEN mod(r, 10) < 4 THEN 1 ELSE 2 + mod(r, %(installations)s - 1) END,
LATERAL (SELECT pg_temp.spread(r, %(runs)s, 85) AS at) t WHERE i.state <> 'setting_up';
CREATE UNIQUE INDEX ON run (r);
ANALYZE run;

INSERT INTO runs (tenant_id, id, created_at, installation_id, listing_version_id, trigger, mode, state, started_at,
    finished_at, error_code, error_message, error_fix)
SELECT %(tenant)s, id, began, installation_id, version_id, CASE WHEN r = 10 THEN 'first' WHEN mod(r, 9) = 0 THEN 'manual' ELSE 'schedule' END,
    CASE WHEN r = 10 OR mod(r, 40) = 0 THEN 'full' ELSE 'incremental' END, state, began + interval '1 s', began + make_interval(secs => 2 + mod(r, 50)),
    CASE WHEN state = 'failed' THEN 'vendor_down' END, CASE WHEN state = 'failed' THEN 'The other side did not answer.' END,
    CASE WHEN state = 'failed' THEN 'Wait; it is tried again by itself.' END
FROM run;

INSERT INTO run_streams (tenant_id, id, created_at, run_id, stream, position, mode, state, pass_id, mapping_version, pages,
    read, created, updated, unchanged, deleted, failed, conflicts, started_at, finished_at, updated_at)
SELECT %(tenant)s, pg_temp.id('run' || s.name, r.r, r.began), r.began, r.id, s.name, s.number, 'incremental', 'done', r.id, 2, 1 + mod(r.r, 9),
    mod(r.r * 7, 900), mod(r.r, 20), mod(r.r, 60), mod(r.r, 800), mod(r.r, 3), mod(r.r, 2), 0, r.began, r.began + interval '9 s', r.began
FROM run r JOIN stream s ON s.g = r.g;

-- One record has a long story, and the first run has brought a twentieth of all.
INSERT INTO changes (tenant_id, id, created_at, record_id, run_id, installation_id, stream, external_id, object_type, page,
    operation, before, after, writer, mapping_version, fan_out)
SELECT %(tenant)s, pg_temp.id('change', c, pg_temp.spread(c, %(changes)s, 85)), pg_temp.spread(c, %(changes)s, 85), w.id, r.id,
    r.installation_id, NULL, 'ext_' || w.num, w.type, c / 100, CASE WHEN c <= %(changes)s / 2 AND mod(c, 1000) > 0 THEN 'created' ELSE 'updated' END,
    CASE WHEN c > %(changes)s / 2 THEN jsonb_build_object('city', pg_temp.city(c)) ELSE '{}' END,
    jsonb_build_object('city', pg_temp.city(c + 1)), CASE WHEN mod(c, 5) = 0 THEN 'Fieldstone' ELSE 'Main CRM' END, 2, 'done'
FROM generate_series(1, %(changes)s) c
JOIN rec w ON w.num = CASE WHEN mod(c, 1000) = 0 THEN 20 ELSE 1 + mod(c * 7919::bigint, %(records)s) END
JOIN run r ON r.r = CASE WHEN mod(c, 20) = 1 THEN 10 ELSE 1 + mod(c * 31::bigint, %(runs)s) END;

INSERT INTO exchanges (tenant_id, id, created_at, installation_id, run_id, method, url, status, ms, request, response)
SELECT %(tenant)s, pg_temp.id('exchange', n, at), at, r.installation_id, r.id, 'GET', 'https://crm.example.com/contacts?page=' || n, 200,
    mod(n, 400), '{"headers": {"authorization": "[hidden]"}}', '{"headers": {"content-type": "application/json"}, "body": "{}"}'
FROM generate_series(1, %(exchanges)s) n JOIN run r ON r.r = CASE WHEN mod(n, 20) = 0 THEN 10 ELSE 1 + mod(n, %(runs)s) END,
LATERAL (SELECT pg_temp.spread(n, %(exchanges)s, 13) AS at) t;
