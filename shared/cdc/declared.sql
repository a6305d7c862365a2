-- A table as information_schema tells it today; parameters: schema, table.

-- name: columns
SELECT column_name, data_type, column_type, character_set_name, collation_name,
       COALESCE(character_octet_length, 0), COALESCE(numeric_precision, 0), COALESCE(numeric_scale, 0),
       COALESCE(datetime_precision, 0), is_nullable
FROM information_schema.columns
WHERE table_schema = %s AND table_name = %s
ORDER BY ordinal_position

-- name: collations_mariadb
SELECT full_collation_name, id
FROM information_schema.collation_character_set_applicability

-- name: collations_mysql
SELECT collation_name, id
FROM information_schema.collations
