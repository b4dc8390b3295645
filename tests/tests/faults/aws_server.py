"""moto's server, with an SQS that can take twenty thousand messages.

moto's own counts all messages of a queue several times for each one that is sent, forgets a message that arrives while
it deletes another, and a FIFO queue forgets the deduplication id of a message that was deleted. SQS keeps it for five
minutes, and that is what the test is about.
"""

import functools
import logging
import os
import sys
import threading
import time

import jsonpath_ng.ext
import moto.backends
import moto.sqs.models
from moto.server import main

DEDUPLICATION_SECONDS = 300

# EventBridge compiles the same paths for each event.
jsonpath_ng.ext.parse = functools.lru_cache(maxsize=None)(jsonpath_ng.ext.parse)
# Each request looks for moto's folders.
modules = list(moto.backends.list_of_moto_modules())
moto.backends.list_of_moto_modules = lambda: modules
moto.sqs.models.unix_time_millis = lambda: time.time() * 1000

queue_class = moto.sqs.models.Queue
changes = threading.RLock()
deduplicated = {}
add, delete = queue_class.add_message, queue_class.delete_message
# Every message that is sent asks for all attributes of its queue, these among them.
queue_class.approximate_number_of_messages = property(lambda queue: len(queue._messages))
queue_class.approximate_number_of_messages_delayed = 0
queue_class.approximate_number_of_messages_not_visible = 0


def add_message(queue, message):
    with changes:
        if queue.fifo_queue:
            key = (queue.name, message.group_id, message.deduplication_id)
            if time.time() - deduplicated.get(key, 0) < DEDUPLICATION_SECONDS:
                return
            deduplicated[key] = time.time()
        add(queue, message)


def delete_message(queue, receipt_handle):
    with changes:
        delete(queue, receipt_handle)


queue_class.add_message, queue_class.delete_message = add_message, delete_message


def end_with_the_test():
    # Its end of the pipe closes whatever ends it.
    sys.stdin.read()
    os._exit(0)


threading.Thread(target=end_with_the_test, daemon=True).start()
logging.getLogger("werkzeug").setLevel(logging.ERROR)
main(["-H", "127.0.0.1", "-p", sys.argv[1]])
