// Sends CloudEvents with the stock package `cloudevents` and its own transport: cloudevents_client.js URL. Prints what the
// server answered.
"use strict";

const { CloudEvent, HTTP, Mode, emitterFor, httpTransport } = require("cloudevents");

const url = process.argv[2];
const event = (id, more) =>
  new CloudEvent({ id, source: "/node", type: "com.example.node", time: "2026-01-02T03:04:05.678Z", ...more });
const emitter = (mode) => {
  const emit = emitterFor(httpTransport(url), { binding: HTTP, mode });
  return async (event) => JSON.parse((await emit(event)).body);
};
const binary = emitter(Mode.BINARY);
const structured = emitter(Mode.STRUCTURED);

async function main() {
  const answers = {
    binary: await binary(event("js-binary", { subject: "s-1", comexample: "x", data: { n: 1 } })),
    text: await binary(event("js-text", { subject: "s-1", datacontenttype: "text/plain", data: "1 < 2" })),
    bytes: await binary(
      event("js-bytes", { subject: "s-1", datacontenttype: "application/octet-stream", data: Uint8Array.of(0, 1, 255) }),
    ),
    structured: await structured(event("js-structured", { partitionkey: "p-1", subject: "s-1", data: { n: 2 } })),
    base64: await structured(event("js-base64", { subject: "s-1", data: Uint8Array.of(0, 1, 255) })),
    again: await structured(event("js-structured", { partitionkey: "p-1", subject: "s-1", data: { n: 2 } })),
  };
  // The package reads batches and does not write them: an array of its events is one.
  const batch = [event("js-batch-1", { data: "text" }), event("js-batch-2", { data: null }), { id: "no event" }];
  const headers = { "content-type": "application/cloudevents-batch+json" };
  const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(batch) });
  answers.batch = { status: answer.status, ...(await answer.json()) };
  console.log(JSON.stringify(answers));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
