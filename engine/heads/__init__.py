"""What is trained on features: labels, tasks, metrics, networks, and a head as it is saved."""
