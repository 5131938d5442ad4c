"""OKX's funding section as data: structs, endpoints and the methods that ask for them."""
