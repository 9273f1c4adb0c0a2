"""Cost of models: parameters, operations, memory and time, each with the way it was counted or measured."""
