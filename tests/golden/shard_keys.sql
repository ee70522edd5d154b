SELECT key, ((file_index::BIGINT << 40) | file_row_number::BIGINT) AS location FROM read_parquet(['/s/p1.parquet', '/s/p2.parquet'], hive_partitioning=false)
