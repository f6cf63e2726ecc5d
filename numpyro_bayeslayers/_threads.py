"""One thread at a time runs models.

NumPyro's handlers stand in one list of the process, which models read as they run: two threads
that run models at once would see each other's handlers, and get each other's values or
errors from deep inside. Whatever runs a user's model therefore holds this lock.
"""

import threading

#: Held while a model runs; one thread may take it again, as a callback that predicts does.
ALONE = threading.RLock()
