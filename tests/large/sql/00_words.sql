-- Ids and words are made of numbers, so that each statement finds what an earlier one has made without looking it up.
CREATE FUNCTION pg_temp.id(kind text, n bigint, at timestamptz) RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(kind || n), 1, 3) || '8'
        || substr(md5(kind || n), 5, 15))::uuid
$$;
CREATE FUNCTION pg_temp.pick(words text[], n bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT words[1 + mod(n, cardinality(words))]
$$;
-- The moment of the n-th of `total` things that have happened evenly over the last `days`.
CREATE FUNCTION pg_temp.spread(n bigint, total bigint, days int) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT now() - make_interval(secs => days * 86400 * (1 - n::float8 / total))
$$;
CREATE FUNCTION pg_temp.first_name(n bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT pg_temp.pick('{Ada,Maja,Tom,Ravi,Lea,Priya,Noor,Jonas,Elif,Marta,Kofi,Yuki,Ines,Luca,Freya,Omar,Anna}', n)
$$;
CREATE FUNCTION pg_temp.last_name(n bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT pg_temp.pick('{Lindqvist,Okafor,Menon,Brandt,Raman,Haddad,Weber,Demir,Nowak,Mensah,Tanaka,Costa,Rossi}', n)
$$;
CREATE FUNCTION pg_temp.city(n bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT pg_temp.pick('{London,Oslo,Bonn,Lyon,Porto,Gdansk,Turin,Accra,Kyoto,Izmir,Leeds}', n)
$$;
CREATE FUNCTION pg_temp.firm(n bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT pg_temp.pick('{Aldgate,Brightwater,Cobalt,Dunmore,Elmwood,Fairfield,Granite,Harbour,Ironbridge,Juniper}', n)
        || ' ' || pg_temp.pick('{Joinery,Logistics,Foods,Clinics,Motors,Textiles,Books}', n / 10) || ' ' || n
$$;
