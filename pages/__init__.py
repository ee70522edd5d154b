"""What people look at: a page of figures, tables and charts as one HTML file that needs nothing else."""
