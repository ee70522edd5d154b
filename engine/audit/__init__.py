"""Rows to mend and rows to label: doubtful labels, duplicates, outliers, and what to label next."""
