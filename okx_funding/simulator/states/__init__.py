"""What becomes of orders: state machines that post to the ledger as they go."""
