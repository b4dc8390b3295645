"""Whether the messages of Kafka are CloudEvents.

Each line of the input is one: {"headers": {name: text}, "value": text}.
"""

import json
import sys
from datetime import datetime

from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event

events = 0
for line in filter(str.strip, sys.stdin):
    message = json.loads(line)
    headers = {name: text.encode() for name, text in message["headers"].items()}
    value = message["value"].encode()
    # It raises when something is missing or malformed.
    event = from_binary_event(KafkaMessage(headers=headers, key=headers["ce_subject"], value=value))
    data = json.loads(value)
    found = {
        "specversion": event.get_specversion(),
        "id": event.get_id(),
        "type": event.get_type(),
        "source": event.get_source(),
        "subject": event.get_subject(),
        "time": event.get_time(),
        "datacontenttype": event.get_datacontenttype(),
        "data": event.get_data(),
    }
    wanted = {
        "specversion": "1.0",
        "id": data["id"],
        "type": data["type"],
        "source": "openfoundry.oms",
        "subject": data["entityId"],
        "time": datetime.fromisoformat(data["timestamp"].replace("Z", "+00:00")),
        "datacontenttype": "application/json",
        "data": data,
    }
    for name, value in wanted.items():
        if found[name] != value:
            sys.exit(f"the {name} of {data['id']} is {found[name]!r}, not {value!r}")
    events += 1
if not events:
    sys.exit("there are no messages in the input")
print(f"ok: {events} events")
