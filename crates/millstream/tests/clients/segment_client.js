// Sends events with the stock package `@segment/analytics-node`: segment_client.js HOST. Prints the errors that the
// package told its user.
"use strict";

const { Analytics } = require("@segment/analytics-node");

async function main() {
  const errors = [];
  const analytics = new Analytics({ writeKey: "write-key", host: process.argv[2], flushAt: 20 });
  analytics.on("error", (error) => errors.push(String(error.reason ?? error)));
  const timestamp = "2026-01-02T03:04:05.678Z";
  analytics.identify({ userId: "js-1", traits: { email: "a@example.com" }, timestamp });
  analytics.track({ userId: "js-1", event: "Order Completed", properties: { revenue: 39.95 }, timestamp });
  analytics.page({ userId: "js-1", name: "Start", properties: { url: "https://example.com/ä" }, timestamp });
  analytics.screen({ userId: "js-1", name: "Home", timestamp });
  analytics.group({ userId: "js-1", groupId: "group-1", timestamp });
  analytics.alias({ userId: "js-1", previousId: "js-0", timestamp });
  analytics.track({ anonymousId: "js-anonymous", event: "Seen" });
  for (let i = 0; i < 50; i += 1) analytics.track({ userId: "js-2", event: "Many", properties: { i } });
  await analytics.closeAndFlush({ timeout: 60_000 });
  console.log(JSON.stringify(errors));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
