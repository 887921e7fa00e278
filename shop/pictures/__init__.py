"""Pictures of products: an operator's photographs, made into what a browser is sent."""
