"""Taking money: one protocol, several providers, and the rules that all of them keep."""
