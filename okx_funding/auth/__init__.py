"""Who calls: credentials, what they sign, and where both come from."""
