"""What is seen, as HTML: fragments, whole pages, and what templates know."""
