// The scenario of `test_javascript_clients`, with the released clients of fal and Replicate.
import { fal } from "@fal-ai/client";
import Replicate from "replicate";

const { API_URL: url, API_TOKEN: token } = process.env;
const FLUX = "fal-ai/flux/schnell";
const small = { prompt: "a kite", image_size: { width: 64, height: 64 } };
const own = (mode, how = {}) => ({ prompt: "a kite", options: { studio: { mode, ...how } } });

async function catchError(work) {
  try {
    await work();
  } catch (error) {
    return error;
  }
}

async function runFal() {
  fal.config({ credentials: token, proxyUrl: { url: `${url}/fal/proxy`, when: "always" } });
  const seen = [];
  const polled = await fal.subscribe(FLUX, { input: small, logs: true, onQueueUpdate: (one) => seen.push(one.status) });
  const streamed = await fal.subscribe(FLUX, { input: small, logs: true, mode: "streaming" });
  const ran = await fal.run(FLUX, { input: small });
  const model = "taskreel/image-generation";
  const slow = await fal.queue.submit(model, { input: own("pending", { times: 100, seconds: 60 }) });
  await fal.queue.cancel(model, { requestId: slow.request_id });
  const cancelled = await fal.queue.status(model, { requestId: slow.request_id });
  const invalid = await catchError(() => fal.subscribe(FLUX, { input: { ...small, image_size: { width: 5, height: 64 } } }));
  const failed = await catchError(() => fal.subscribe(model, { input: own("fail-permanent") }));
  const shown = polled.data.images[0];
  const picture = await (await fetch(shown.url)).blob();
  const larger = await fal.subscribe("fal-ai/esrgan", { input: { image_url: picture, scale: 2 } });
  const text = await fal.storage.upload(new File(["some words"], "notes.txt", { type: "text/plain" }));
  return {
    polled: { id: polled.requestId, seen: seen.at(-1), type: shown.content_type, width: shown.width },
    streamed: streamed.data.images.length,
    larger: larger.data.image.width,
    text,
    ran: ran.data.images.length,
    cancelled: cancelled.error_type,
    invalid: { status: invalid.status, name: invalid.name, fields: invalid.fieldErrors.map((one) => one.loc) },
    failed: { status: failed.status, detail: failed.body.detail },
  };
}

async function runReplicate() {
  const replicate = new Replicate({ baseUrl: `${url}/replicate/v1`, auth: token });
  const model = "black-forest-labs/flux-schnell";
  const input = { prompt: "a kite", width: 64, height: 64 };
  const progress = [];
  const output = await replicate.run(model, { input }, (one) => progress.push(one.status));
  const bytes = new Uint8Array(await (await output.blob()).arrayBuffer());
  const polled = await replicate.run(model, { input, wait: { mode: "poll", interval: 100 } });
  const version = "taskreel/image-generation";
  const slow = await replicate.predictions.create({ version, input: own("pending", { times: 100, seconds: 60 }) });
  const cancelled = await replicate.predictions.cancel(slow.id);
  const listed = (await replicate.predictions.list()).results.length;
  const streamed = [];
  for await (const { event, data } of replicate.stream("taskreel/script-generation", { input: { prompt: "two bakers" } })) {
    streamed.push([event, data]);
  }
  const failed = await catchError(() => replicate.run(version, { input: own("fail-permanent") }));
  const invalid = await catchError(() => replicate.run(model, { input: { ...input, width: 5 } }));
  return {
    begins: [...bytes.slice(0, 4)],
    ended: progress.at(-1),
    polled: polled.url().protocol,
    cancelled: cancelled.status,
    listed,
    streamed,
    failed: failed.message,
    invalid: invalid.response.status,
  };
}

console.log(JSON.stringify({ fal: await runFal(), replicate: await runReplicate() }));
