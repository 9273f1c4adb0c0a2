"""What a model costs: parameters, operations, memory and time, each labelled with how it was had."""
