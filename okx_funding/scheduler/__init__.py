"""Who is sent when."""
