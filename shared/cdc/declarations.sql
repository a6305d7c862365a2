-- What information_schema says of a table and the log does not; parameters: schema, table.

-- name: columns
SELECT column_name, data_type, COALESCE(generation_expression, '') <> ''
FROM information_schema.columns
WHERE table_schema = %s AND table_name = %s
