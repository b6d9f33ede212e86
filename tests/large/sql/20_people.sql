CREATE TEMP TABLE customer AS
SELECT 0 AS number, %(tenant)s::uuid AS tenant_id, (SELECT name FROM tenants WHERE id = %(tenant)s) AS name
UNION ALL
SELECT t, pg_temp.id('tenant', t, pg_temp.spread(t, %(tenants)s, 600)), pg_temp.firm(t) FROM generate_series(1, %(tenants)s) t;

INSERT INTO tenants (id, created_at, name, external_id)
SELECT tenant_id, pg_temp.spread(number, %(tenants)s, 600), name, 'customer-' || number FROM customer WHERE number > 0;

CREATE TEMP TABLE person AS
SELECT n AS k, pg_temp.id('user', n, at) AS id, at AS since, pg_temp.first_name(n) || ' ' || pg_temp.last_name(n / 17) AS name,
    lower(pg_temp.first_name(n) || '.' || pg_temp.last_name(n / 17)) || '.' || n || '@large.example' AS email
FROM generate_series(1, %(people)s) n, LATERAL (SELECT pg_temp.spread(n, %(people)s, 500) AS at) t;

INSERT INTO users (id, created_at, email, name, password_hash, email_verified_at)
SELECT id, since, email, name, '', since FROM person;

INSERT INTO memberships (tenant_id, id, created_at, user_id, role)
SELECT %(tenant)s, pg_temp.id('membership', k, since), since, id, CASE WHEN mod(k, 20) = 0 THEN 'admin' ELSE 'member' END
FROM person;

INSERT INTO invitations (tenant_id, id, created_at, email, role, token_hash, invited_by, expires_at)
SELECT %(tenant)s, pg_temp.id('invitation', n, at), at, 'invited.' || n || '@large.example', 'member',
    sha256(('invitation' || n)::bytea), %(user)s, now() + interval '5 days'
FROM generate_series(1, greatest(2, %(people)s / 4)) n, LATERAL (SELECT pg_temp.spread(n, %(people)s, 2) AS at) t;

INSERT INTO sessions (id, created_at, token_hash, user_id, active_tenant, seen_at, expires_at, ip, user_agent)
SELECT gen_random_uuid(), now() - n * interval '1 hour', sha256(('session' || n)::bytea), %(user)s, %(tenant)s,
    now() - n * interval '1 hour', now() + interval '3 days', '192.0.2.' || n, 'Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0'
FROM generate_series(1, 20) n;

INSERT INTO api_keys (tenant_id, id, created_at, kind, name, start, token_hash, profile, scopes, created_by, last_used_at)
SELECT %(tenant)s, pg_temp.id('key', n, at), at, 'tenant', 'Key ' || n, 'pb_live_' || substr(md5(n::text), 1, 4),
    sha256(('key' || n)::bytea), 'full', '{}', %(user)s, now() - n * interval '1 hour'
FROM generate_series(1, greatest(3, %(people)s / 5)) n, LATERAL (SELECT pg_temp.spread(n, %(people)s, 300) AS at) t;

INSERT INTO integration_requests (tenant_id, id, created_at, connector, name, reason, user_id, user_name, state, decided_at)
SELECT c.tenant_id, pg_temp.id('request', n, at), at, CASE WHEN mod(n, 2) = 0 THEN m.slug END,
    CASE WHEN mod(n, 2) = 0 THEN m.name ELSE pg_temp.firm(n) || ' API' END, 'Our team keeps its data there.', p.id, p.name,
    CASE WHEN mod(n, 3) = 0 THEN 'open' ELSE 'declined' END, CASE WHEN mod(n, 3) > 0 THEN at END
FROM generate_series(1, %(people)s * 2) n
JOIN customer c ON c.number = CASE WHEN mod(n, 4) < 2 THEN 0 ELSE mod(n, %(tenants)s) + 1 END
JOIN market m ON m.k = mod(n, (SELECT count(*) FROM market)) JOIN person p ON p.k = mod(n, %(people)s) + 1,
LATERAL (SELECT pg_temp.spread(n, %(people)s * 2, 80) AS at) t
ON CONFLICT DO NOTHING;

INSERT INTO support_grants (tenant_id, id, created_at, granted_by, reason, expires_at)
VALUES (%(tenant)s, pg_temp.id('grant', 1, now()), now(), %(user)s, 'Contacts are missing since Monday', now() + interval '70 hours');
