"""Sends events with the stock package `segment-analytics-python`: segment_client.py HOST. Prints the errors that the
package told its user, one string each."""

import json
import sys
from datetime import datetime, timezone

from segment.analytics.client import Client

errors = []
client = Client("write-key", host=sys.argv[1], gzip=True, on_error=lambda error, items: errors.append(str(error)))
when = {"timestamp": datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)}
client.identify("py-1", {"email": "a@example.com"}, **when)
client.track("py-1", "Order Completed", {"revenue": 39.95}, message_id="py-m-1", **when)
client.track("py-1", "Order Completed", {"revenue": 39.95}, message_id="py-m-1", **when)
client.page("py-1", "Docs", "Start", {"url": "https://example.com/ä"}, **when)
client.screen("py-1", "App", "Home", **when)
client.group("py-1", "group-1", {"plan": "x"}, **when)
client.alias("py-0", "py-1", **when)
client.track(anonymous_id="py-anonymous", event="Seen")
for i in range(250):
    client.track("py-2", "Many", {"i": i})
client.shutdown()
print(json.dumps(errors))
