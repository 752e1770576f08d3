"""What clients and operators may do with a running server, one file for each wing. Each handler gets the two or three it uses.

Only these files tie what HTTP needs to the parts of the runtime. They raise the errors of `model.errors` and nothing else.
"""
