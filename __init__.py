"""enc: turn text into BERT features once, fast, and train on them ever after."""
