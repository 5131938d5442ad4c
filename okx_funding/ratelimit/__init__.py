"""Rate limits: the rule, and where its state is kept."""
