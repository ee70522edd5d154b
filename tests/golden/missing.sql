SELECT key, id FROM first ANTI JOIN (SELECT key FROM read_parquet(['p1.parquet', 'p2.parquet'])) USING (key)
