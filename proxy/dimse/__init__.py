"""PS3.7: command sets, the requests that an association may carry, and the walk over its messages. Pure."""
