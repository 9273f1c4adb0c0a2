"""Parts for medbench of an installed package: nothing here imports medbench's code before it is asked for."""
