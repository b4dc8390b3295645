"""Makes the AWS resources of OMS, as a deployment has them, and prints how to reach them as JSON.

What is there already stays as it is.
"""

import json
import os

import boto3

SOURCE = "openfoundry.oms"
BUS = "oms"
RULE = "oms-all"
TABLE = "oms-relay-marks"

endpoint = os.environ["AWS_ENDPOINT_URL"]
sqs = boto3.client("sqs")
events = boto3.client("events")
dynamodb = boto3.client("dynamodb")


def queue(name, **attributes):
    return sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]


def arn(url):
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


target = queue("oms-events-target")
dead_letters = queue("oms-relay-dlq")
poke = queue("oms-poke", VisibilityTimeout="30")
# Each message group has limits of its own: entities do not wait for each other.
fifo = queue(
    "oms-events.fifo",
    FifoQueue="true",
    ContentBasedDeduplication="false",
    DeduplicationScope="messageGroup",
    FifoThroughputLimit="perMessageGroupId",
)

if BUS not in [bus["Name"] for bus in events.list_event_buses()["EventBuses"]]:
    events.create_event_bus(Name=BUS)
events.put_rule(Name=RULE, EventBusName=BUS, EventPattern=json.dumps({"source": [SOURCE]}))
# The event as it is. Without a transformer moto builds eight parsers for each event, a tenth of a second of work.
whole = {"InputPathsMap": {"source": "$.source"}, "InputTemplate": "<aws.events.event.json>"}
events.put_targets(
    Rule=RULE, EventBusName=BUS, Targets=[{"Id": "oms-events-target", "Arn": arn(target), "InputTransformer": whole}]
)

if TABLE not in dynamodb.list_tables()["TableNames"]:
    dynamodb.create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "entity", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "entity", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.update_time_to_live(
        TableName=TABLE, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expiresAt"}
    )

print(
    json.dumps(
        {
            "endpoint": endpoint,
            "bus": BUS,
            "table": TABLE,
            "targetQueueUrl": target,
            "dlqUrl": dead_letters,
            "fifoUrl": fifo,
            "pokeQueueUrl": poke,
        }
    )
)
