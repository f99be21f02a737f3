-- What somebody who knows the tables would write by hand, and nothing more: no checks, no plan, no history, no report.
-- psql reads the file of contacts from its standard input. README.md says where this is generous and where not.
\set ON_ERROR_STOP on
\timing on
SET jit = off;
-- As our import does: whole tables are joined, and nobody would look up a million rows one by one.
SET random_page_cost = 4;
SET work_mem = '384MB';

CREATE TEMPORARY TABLE staging (
    email text COLLATE "C",
    identifier text COLLATE "C",
    mobile_number text COLLATE "C",
    first_name text,
    last_name text,
    zip_code text,
    country_code text,
    language_code text,
    date_of_birth text,
    title smallint,
    colour text,
    shop text
);

\echo STEP copy
\copy staging FROM PSTDIN WITH (FORMAT csv, HEADER)
\echo STEP analyze
ANALYZE staging;
BEGIN;

\echo STEP update
UPDATE engage.contact AS c
SET email = s.email,
    email_key = lower(s.email),
    mobile_number = s.mobile_number,
    mobile_key = s.mobile_number,
    first_name = s.first_name,
    last_name = s.last_name,
    zip_code = s.zip_code,
    country_code = s.country_code,
    language_code = s.language_code,
    date_of_birth = s.date_of_birth,
    title = s.title,
    custom = c.custom || jsonb_build_object('colour', s.colour, 'favourite shop', s.shop),
    version = c.version + 1,
    updated_at = now()
FROM staging AS s
WHERE c.identifier = s.identifier :unchanged;

-- New contacts and their memberships, in one statement.
\echo STEP insert
WITH created AS (
    INSERT INTO engage.contact (
        email, email_key, mobile_number, mobile_key, identifier, first_name, last_name, zip_code, country_code,
        language_code, date_of_birth, title, custom
    )
    SELECT
        s.email, lower(s.email), s.mobile_number, s.mobile_number, s.identifier, s.first_name, s.last_name, s.zip_code,
        s.country_code, s.language_code, s.date_of_birth, s.title,
        jsonb_build_object('colour', s.colour, 'favourite shop', s.shop)
    FROM staging AS s
    WHERE (s.email IS NOT NULL OR s.mobile_number IS NOT NULL)
        AND NOT EXISTS (SELECT FROM engage.contact AS c WHERE c.identifier = s.identifier)
    RETURNING contact_id
)
INSERT INTO engage.membership (group_id, contact_id)
SELECT g.group_id, created.contact_id
FROM created CROSS JOIN engage.contact_group AS g
WHERE g.name_key = 'newsletter';

\echo STEP commit
COMMIT;
