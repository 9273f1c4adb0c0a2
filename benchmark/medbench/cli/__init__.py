"""The command line: arguments in, tables and progress out."""
