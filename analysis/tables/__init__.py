"""Tables as values: built once, printed in the terminal, drawn on pages, written as files."""
