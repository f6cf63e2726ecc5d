"""A lock that lets one thread at a time run models.

NumPyro keeps the stack of handlers in a global list, so two threads that run models at the same
time would see each other's handlers and get wrong values or obscure errors. Code that runs a
user's model therefore holds this lock.
"""

import threading

#: Held while a model runs; reentrant, since a callback may predict.
ALONE = threading.RLock()
