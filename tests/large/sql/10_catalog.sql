-- Listings made of the first-party manifests under other names, one version each.
CREATE TEMP TABLE base AS
SELECT row_number() OVER (ORDER BY l.slug) - 1 AS k, l.*, v.id AS version_id, v.label, v.manifest::jsonb AS manifest
FROM listings l JOIN listing_versions v ON v.id = l.current_version WHERE l.slug = ANY (%(slugs)s);

CREATE TEMP TABLE made AS
SELECT n, b.k, pg_temp.id('listing', n, m.at) AS id, pg_temp.id('version', n, m.at) AS version_id, m.at, m.name,
    replace(lower(m.name), ' ', '-') || '-' || n AS slug,
    'Keeps the ' || (b.manifest #>> '{streams,0,label}') || ' of ' || m.name || ' and yours the same.' AS summary
FROM generate_series(1, greatest(0, %(listings)s - (SELECT count(*) FROM base))) n
JOIN base b ON b.k = mod(n, (SELECT count(*) FROM base)),
LATERAL (SELECT pg_temp.spread(n, %(listings)s, 700) AS at,
    pg_temp.pick('{Amber,Beacon,Cedar,Delta,Ember,Fjord,Garnet,Harvest,Indigo,Jasper,Kestrel,Lumen,Maple,Nimbus,Opal,
        Prairie,Quartz,Raven,Saffron,Tundra,Umber,Vesper,Willow,Xenon,Yarrow,Zephyr,Aspen,Birch,Coral,Dune}', n) || ' '
    || pg_temp.pick('{CRM,Desk,Books,Mail,Forms,Ledger,Chat,Tickets,Events,Survey,Billing,Pipeline,Inbox,Contacts,
        Helpdesk,Campaigns,Payments,Projects,Stores,Signals,Reviews,Calls,Notes,Fields,Teams,Orders,Quotes,Leads,
        Reports,Visits,Plans,Cases,Routes,Shifts}', n / 30) AS name) m;

INSERT INTO listings (id, created_at, slug, name, summary, categories, publisher, stage, words, streams, capabilities,
    signs_in, hosts, featured, current_version, updated_at)
SELECT m.id, m.at, m.slug, m.name, m.summary, b.categories, pg_temp.pick('{Northbeam,Halyard Labs,Tidewater,Fieldstone}', m.n),
    CASE WHEN mod(m.n, 25) = 3 THEN 'beta' WHEN mod(m.n, 60) = 7 THEN 'deprecated' ELSE 'released' END,
    lower(m.name || ' ' || m.slug || ' ' || array_to_string(b.categories, ' ')) || ' '
        || coalesce((SELECT string_agg(lower(s ->> 'label') || ' ' || (s ->> 'object_type'), ' ')
            FROM jsonb_array_elements(b.streams) s), ''),
    b.streams, b.capabilities, b.signs_in, b.hosts, mod(m.n, 120) = 5, m.version_id, m.at
FROM made m JOIN base b USING (k);

INSERT INTO listing_versions (id, created_at, listing_id, number, label, manifest, digest, changes)
SELECT m.version_id, m.at, m.id, 1, b.label, j.text, encode(sha256(convert_to(j.text, 'UTF8')), 'hex'), 'First version.'
FROM made m JOIN base b USING (k),
LATERAL (SELECT jsonb_set(jsonb_set(b.manifest, '{slug}', to_jsonb(m.slug)), '{listing,name}', to_jsonb(m.name))::text
    AS text) j;

-- What is installed: the first-party ones and some hundred others.
CREATE TEMP TABLE market AS
SELECT row_number() OVER (ORDER BY n) - 1 AS k, slug, name, version_id, label, base, manifest FROM (
    SELECT k - 1000 AS n, slug, name, version_id, label, k AS base, manifest FROM base
    UNION ALL SELECT m.n, m.slug, m.name, m.version_id, b.label, b.k, b.manifest FROM made m JOIN base b USING (k)
) AS found ORDER BY n LIMIT 300;
