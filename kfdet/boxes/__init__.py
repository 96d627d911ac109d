"""Tables of boxes and the arithmetic on them."""
