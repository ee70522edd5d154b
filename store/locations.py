"""Where the features of a row are: a *location*, one 64-bit number for shard and row.

It is the index of the shard in the sorted list of shards, times 2^40, plus the number of the row in
the shard, from 0.
"""

ROW_BITS = 40
ROW_MASK = (1 << ROW_BITS) - 1
