"""OKX's wire: pure functions from a call to a request and from an answer to rows, and the pool."""
