"""Who is sent when: callers, what they wait for, and the requests that serve them."""
