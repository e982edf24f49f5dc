"""What people read: reports, plots, pictures."""
