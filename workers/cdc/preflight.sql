-- name: tables
-- Of both schemas. Partitions of a table are one table.
SELECT table_schema, table_name, table_type, COALESCE(engine, '')
FROM information_schema.tables
WHERE table_schema IN %s

-- name: columns
SELECT table_schema, table_name, column_name, column_type
FROM information_schema.columns
WHERE table_schema IN %s

-- name: keys
-- Columns of unique keys in which no column may be NULL.
SELECT s.table_schema, s.table_name, s.index_name, s.column_name
FROM information_schema.statistics AS s
WHERE s.table_schema IN %s AND s.non_unique = 0 AND s.column_name IS NOT NULL
  AND NOT EXISTS (
    SELECT 1 FROM information_schema.statistics AS n
    WHERE n.table_schema = s.table_schema AND n.table_name = s.table_name
      AND n.index_name = s.index_name AND (n.nullable = 'YES' OR n.column_name IS NULL))
ORDER BY s.table_schema, s.table_name, s.index_name <> 'PRIMARY', s.index_name, s.seq_in_index
