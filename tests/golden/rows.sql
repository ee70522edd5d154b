SELECT id, label FROM stage WHERE key IS NOT NULL AND (x > 1)
