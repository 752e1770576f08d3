"""What the pipeline needs of the outside. Adapters fit these protocols; they do not inherit from them."""
