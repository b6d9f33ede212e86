CREATE TEMP TABLE rec AS
SELECT n AS num, pg_temp.id('record', n, at) AS id, at AS since, type, mod(n, 50) = 7 AS deleted
FROM generate_series(1, %(records)s) n, LATERAL (SELECT pg_temp.spread(n, %(records)s, 85) AS at,
    CASE WHEN mod(n, 20) < 16 THEN 'contact' WHEN mod(n, 20) < 19 THEN 'company' ELSE 'deal' END AS type) r;
CREATE UNIQUE INDEX ON rec (num);
ANALYZE rec;

INSERT INTO records (tenant_id, id, created_at, object_type, data, hash, version, updated_at, deleted_at)
SELECT %(tenant)s, id, since, type, CASE type
    WHEN 'contact' THEN jsonb_build_object('first_name', pg_temp.first_name(n), 'last_name', pg_temp.last_name(n / 17),
        'full_name', pg_temp.first_name(n) || ' ' || pg_temp.last_name(n / 17), 'email', 'person.' || n || '@large.example',
        'phone', '+44 20 7946 ' || lpad(mod(n, 10000)::text, 4, '0'), 'city', pg_temp.city(n), 'company_name', pg_temp.firm(n / 9),
        'stage', pg_temp.pick('{lead,customer,subscriber,other}', n), 'score', mod(n, 100))
    WHEN 'company' THEN jsonb_build_object('name', pg_temp.firm(n), 'domain', 'firm-' || n || '.example', 'city', pg_temp.city(n), 'employees', mod(n, 900))
    ELSE jsonb_build_object('name', 'Order of ' || pg_temp.firm(n), 'amount', mod(n * 13, 90000), 'currency', 'GBP', 'stage', 'open',
        'contact_email', 'person.' || n || '@large.example') END,
    sha256(n::text::bytea), 1 + mod(n, 4), since, CASE WHEN deleted THEN since + interval '1 minute' END
FROM (SELECT num AS n, rec.* FROM rec) r;

INSERT INTO record_keys (tenant_id, object_type, key, value, record_id)
SELECT %(tenant)s, type, CASE type WHEN 'contact' THEN 'email' ELSE 'domain' END,
    CASE type WHEN 'contact' THEN 'person.' || n || '@large.example' ELSE 'firm-' || n || '.example' END, id
FROM (SELECT num AS n, rec.* FROM rec) r WHERE NOT deleted AND type <> 'deal';

CREATE TEMP TABLE linked AS
SELECT r.num AS n, r.id AS record_id, r.type, r.since, r.deleted, p.installation_id, p.stream, p.g FROM rec r JOIN (
    SELECT object_type, installation_id, name AS stream, g FROM stream WHERE g = 1) p ON p.object_type = r.type WHERE mod(r.num, 10) < 4
UNION ALL
SELECT r.num, r.id, r.type, r.since, r.deleted, p.installation_id, p.stream, p.g FROM rec r
JOIN place p ON p.object_type = r.type AND p.k = mod(r.num / 10, p.most) WHERE mod(r.num, 10) > 3 OR mod(r.num, 10) = 0;

INSERT INTO links (tenant_id, id, created_at, installation_id, stream, external_id, record_id, base, external_version,
    source_hash, mapping_version, updated_at, deleted_at)
SELECT %(tenant)s, pg_temp.id('link' || g, n, since), since, installation_id, stream, 'ext_' || n, record_id,
    jsonb_build_object('city', pg_temp.city(n), 'first_name', pg_temp.first_name(n)), '1', sha256(n::text::bytea), 2, since,
    CASE WHEN deleted THEN since + interval '1 minute' END
FROM linked;
