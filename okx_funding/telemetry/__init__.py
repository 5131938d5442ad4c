"""What a program can be told about its calls while it runs; no import of the rest."""
